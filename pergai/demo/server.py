"""The demo's server: `pergai serve` as a process of its own, as a studio would run it."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from pergai.errors import NotReady
from pergai.settings import Settings
from pergai.storage.lock import lock_home

START_SECONDS = 120.0
STOP_SECONDS = 30.0


@contextmanager
def server(settings: Settings, log: Path) -> Iterator[str]:
    """Start it, wait until it is ready, give its origin, stop it at the end. Its log lines go to `log`.

    Raises HomeLocked when a server uses the data folder already, NotReady with the log's end when it does not come up.
    """
    settings.paths.create()
    with lock_home(settings.paths):  # say so now, not in the log
        port = free_port(settings.port)
    command = [sys.executable, "-m", "pergai", "serve", "--home", str(settings.home), "--host", "127.0.0.1"]
    command += ["--port", str(port), "--config", settings.config]
    with log.open("wb") as lines, subprocess.Popen(command, stderr=lines, stdin=subprocess.DEVNULL) as process:
        try:
            _wait_until_ready(process, f"http://127.0.0.1:{port}", log)
            yield f"http://localhost:{port}"
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def free_port(wanted: int) -> int:
    """The wanted port, or another one when something listens on it."""
    for port in (wanted, 0):
        try:
            with socket.create_server(("127.0.0.1", port)) as probe:
                found: int = probe.getsockname()[1]
                return found
        except OSError:
            continue
    raise NotReady("no port is free on 127.0.0.1")


def _wait_until_ready(process: subprocess.Popen[bytes], origin: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    reasons = "it does not answer"
    while time.monotonic() < deadline and process.poll() is None:
        try:
            answer = httpx.get(f"{origin}/readyz", timeout=5, trust_env=False)
            if answer.is_success:
                return
            reasons = ", ".join(answer.json()["reasons"])
        except httpx.TransportError:
            pass  # not listening yet
        time.sleep(0.1)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
    raise NotReady(f"the server did not come up ({reasons}); its last words, in {log}:\n{tail}")
