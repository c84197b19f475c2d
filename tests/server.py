"""A real `pergai serve` for tests: its own data folder, a free port, and the signals a bad night sends."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import psutil

REPOSITORY = Path(__file__).resolve().parent.parent
API = "/api/external/v1"


class Server:
    """`with Server() as server:` starts it and waits until it is ready; the end stops it and removes its folder.

    `variables` are settings: `limits__queue=5` is `PERGAI_LIMITS__QUEUE=5`. Without `wait` it need not become ready, only alive.
    `planted` names a bug of tests/planted.py. With `recorded`, its changes to the disk are kept in `recording`.
    """

    def __init__(self, *, wait: bool = True, planted: str = "", recorded: bool = False, **variables: object) -> None:
        self._wait = wait
        self.home = Path(tempfile.mkdtemp(prefix="pergai-test-"))
        self.recording = self.home.with_name(f"{self.home.name}.recording")
        before = [f"import planted; planted.{planted}()"] * bool(planted)
        before += [f"import recorder; recorder.record({str(self.home)!r}, {str(self.recording)!r})"] * recorded
        self._program = (
            ["-c", "; ".join((*before, "from pergai.cli import main; main()"))] if before else ["-m", "pergai"]
        )
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = self.home / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PERGAI_")},
            "PERGAI_HOME": str(self.home),
            "PERGAI_PORT": str(self.port),
            "PERGAI_WEIGHTS": os.environ.get("PERGAI_WEIGHTS") or str(REPOSITORY / "data" / "weights"),
            "PERGAI_CONFIG": os.environ.get("PERGAI_CONFIG") or "embedded",
            "PERGAI_OFFLINE": "1",
            "PERGAI_LOG__FORMAT": "json",
        }
        self.set(**variables)

    def __enter__(self) -> Self:
        try:
            self.start()
            self.wait_ready() if self._wait else self.wait_alive()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it, if it has not ended by itself, and remove its folder."""
        if self._process is not None and self._process.poll() is None:
            self.kill9_api()
        shutil.rmtree(self.home, ignore_errors=True)
        self.recording.unlink(missing_ok=True)

    def set(self, **variables: object) -> None:
        """Change settings; they hold from the next start."""
        self._environment |= {f"PERGAI_{name.upper()}": str(value) for name, value in variables.items()}

    # --- its life ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the process; it may not answer yet."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *self._program, "serve"],
                env=self._environment | {"PYTHONPATH": str(REPOSITORY / "tests")},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_ready(self, seconds: float = 90) -> None:
        """Raises AssertionError with the log's end when it does not become ready."""
        self.wait_until(lambda: self._status("/readyz") == 200, seconds, "the server is not ready")

    def wait_alive(self, seconds: float = 60) -> None:
        """It answers, ready or not."""
        self.wait_until(lambda: self._status("/healthz") == 200, seconds, "the server does not answer")

    def wait_until(self, true: object, seconds: float, what: str) -> None:
        """Ask again and again. Raises AssertionError with the log's end when the server dies or the time is over."""
        deadline = time.monotonic() + seconds
        while not true():  # type: ignore[operator]
            if self._process is not None and self._process.poll() is not None:
                raise AssertionError(f"the server ended with {self._process.returncode}:\n{self.log_end()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"{what} after {seconds:g} s:\n{self.log_end()}")
            time.sleep(0.05)

    def restart(self) -> None:
        """Start again on the same data folder and port, and wait until it is ready."""
        self.start()
        self.wait_ready()

    def sigterm(self, seconds: float = 120) -> int:
        """Ask it to end, wait, and give back its exit status."""
        process = self._running()
        process.terminate()
        return process.wait(seconds)

    def kill9_api(self) -> None:
        """Kill the API process; its engine process has to notice and leave by itself."""
        if self._process is None:
            return
        children = []
        with suppress(psutil.NoSuchProcess):
            children = psutil.Process(self._process.pid).children(recursive=True)
        self._process.kill()
        self._process.wait()
        _, alive = psutil.wait_procs(children, timeout=15)
        for child in alive:
            child.kill()
        assert not alive, f"processes outlived their server: {[child.pid for child in alive]}"

    def kill9_engine(self) -> int | None:
        """Kill the engine process; gives back its id, None when none was there."""
        pid = self.engine_pid()
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return pid

    def engine_pid(self) -> int | None:
        """The engine process, found among the children: also while it is still starting."""
        for child in psutil.Process(self._running().pid).children():
            with suppress(psutil.NoSuchProcess):
                if any("pergai.worker" in argument for argument in child.cmdline()):  # also with a bug planted into it
                    return child.pid
        return None

    def wait_ended(self, seconds: float = 60) -> int:
        """Wait for it to end by itself, and give back its exit status."""
        return self._running().wait(seconds)

    @property
    def pid(self) -> int:
        return self._running().pid

    # --- what tests ask of it ----------------------------------------------------------------------

    def create_key(self, name: str = "test", library: str = "default", *, read_only: bool = False) -> str:
        """Made by the command line, as a studio makes one."""
        made = self.command("keys", "create", name, "--library", library, *(["--read-only"] if read_only else []))
        return made.stdout.strip()

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`pergai …` on this server's data folder."""
        ended = subprocess.run(
            [sys.executable, "-m", "pergai", *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return ended

    def client(self, key: str | None = None, **options: object) -> httpx.Client:
        """A client of the external API (`client.get("/products")`), with a key or without."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        given = {"base_url": self.url + API, "headers": headers, "timeout": 180, "verify": False, **options}
        return httpx.Client(**given)  # type: ignore[arg-type]  # verify: certificates take 20 ms to read, and this is HTTP

    def log_end(self, lines: int = 60) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""

    def _status(self, path: str) -> int:
        try:
            return httpx.get(self.url + path, timeout=10, verify=False).status_code
        except httpx.TransportError:
            return 0

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "the server was not started"
        return self._process


def _free_port() -> int:
    """Free now, and while the server restarts: from below where systems take the ports of outgoing connections, which other
    tests make all the time."""
    ports = random.SystemRandom().sample(range(12_000, 32_000), 100)
    return next(port for port in ports if _is_free(port))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
