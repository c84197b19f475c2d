"""A real `pergai serve` on models made for a benchmark, and clients that wait for their pictures. Only the standard library here,
so that it runs wherever the server does.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

BASE = "/api/external/v1"
CUT_OUT = 'title = "None"\nfamily = "rembg"\nlicence = "none"\nmemory_mib = 1\nsource = { kind = "builtin", package = "numpy" }\n'
"""A matte model that is never asked: the product comes cut out."""


WORDS = "a red cup on a marble counter, soft light"
"""What is painted, whatever the scene: random models read letter by letter, and the words of a scene would be twice as long as
those of the bare engine's requests. With a vocabulary both are one window of 77."""


@dataclass(frozen=True, slots=True)
class Painter:
    """A diffusion model on the disk, and how it is used: provider, pipeline and model have its name."""

    name: str
    folder: Path
    side: int
    steps: int
    guidance: float = 7.5
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of the model card."""


@dataclass(frozen=True, slots=True)
class Enlarger:
    """A Real-ESRGAN net (`name`.safetensors in `folder`)."""

    name: str
    folder: Path
    options: Mapping[str, Any]
    tile: int


class Account(NamedTuple):
    """Where the seconds of one request went."""

    all: float
    """As the client sees it."""
    device: float
    """In the model's turns."""
    pixels: float
    """Decoding, placing, compositing, encoding."""


class Served:
    """`with Served(...) as server`: up and ready, with a product in its library. Raises RuntimeError with the log's end."""

    def __init__(
        self, painters: Sequence[Painter], enlargers: Sequence[Enlarger] = (), *, jobs: int, device: str
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="pergai-bench-")
        self.home = Path(self._folder.name)
        self._lay_out(painters, enlargers)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PERGAI_")},
            "PERGAI_HOME": str(self.home),
            "PERGAI_WEIGHTS": str(self.home / "weights"),
            "PERGAI_PORT": str(self.port),
            "PERGAI_CONFIG": str(self.home / "profile.toml"),
            "PERGAI_OFFLINE": "1",
            "PERGAI_LOG__LEVEL": "warning",
            "PERGAI_ENGINE__JOBS": str(jobs),
            "PERGAI_ENGINE__DEVICE": device,
            "PERGAI_ENGINE__START_SECONDS": "300",
        }
        self._log = self.home / "server.log"
        self._key = ""
        self.started = 0.0
        self.product = ""

    def __enter__(self) -> Self:
        self.started = time.perf_counter()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pergai", "serve"], stdout=log, stderr=log, env=self._environment
            )
        try:
            self._wait_ready(240)
            found = re.search(r"pk_\w+", self._log.read_text())
            if found is None:
                raise RuntimeError("the server showed no key")
            self._key = found[0]
            self.product = self._make_product()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    @property
    def pid(self) -> int:
        return self._process.pid

    # --- clients -------------------------------------------------------------------------------------

    def scene(self, painter: str, side: int, seed: int, **fields: Any) -> float:
        """A scene asked for, waited for and fetched; seconds. Raises RuntimeError when it fails."""
        return self.account(painter, side, seed, **fields).all

    def account(self, painter: str, side: int, seed: int, **fields: Any) -> Account:
        """The same, with what its record says."""
        body = {"scene": "studio", "aiProvider": painter, "resolution": f"{side}x{side}", "seed": seed, **fields}
        spent, record = self._job("/generations", body)
        return Account(spent, device=record["seconds"][painter], pixels=record["seconds"]["cpu"])

    def enlarge(self, enlarger: str, seed: int, scale: str = "2x") -> float:
        body = {"aiProvider": enlarger, "seed": seed, "scale": scale, "useSharp": False}
        return self._job("/tools/upscale", body)[0]

    def together(self, clients: int, count: int, ask: Callable[[int], float]) -> tuple[float, list[float]]:
        """`count` requests by so many clients, each of which sends its next one when it has its picture: seconds in all, and of
        each. `ask` is called with the request's number."""
        numbers, times, errors = iter(range(count)), list[float](), list[BaseException]()
        lock = threading.Lock()

        def client() -> None:
            while not errors:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return
                try:
                    times.append(ask(number))
                except BaseException as error:
                    errors.append(error)

        started = time.perf_counter()
        threads = [threading.Thread(target=client, daemon=True) for _ in range(clients)]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        except BaseException as error:
            errors.append(error)  # the clients stop, too
            raise
        if errors:
            raise errors[0]
        return time.perf_counter() - started, times

    def _job(self, path: str, fields: dict[str, Any]) -> tuple[float, dict[str, Any]]:
        """Seconds, and the record."""
        started = time.perf_counter()
        record = self._post(path, {"productId": self.product, **fields}, {"Prefer": "wait=300"})
        if record["status"] != "completed":
            raise RuntimeError(f"{path}: {record['status']}: {record['error']}")
        url = urllib.parse.urlsplit(record["resultImagePath"])
        self._request("GET", f"{url.path}?{url.query}", None, {})
        return time.perf_counter() - started, record

    def _post(self, path: str, body: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
        sent = {"Content-Type": "application/json", **headers}
        answer: dict[str, Any] = json.loads(self._request("POST", BASE + path, json.dumps(body).encode(), sent))
        return answer

    def _request(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=400)
        try:
            connection.request(method, path, body, {"Authorization": f"Bearer {self._key}", **headers})
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {content[:400]!r}")
        return content

    # --- its house -----------------------------------------------------------------------------------

    def _make_product(self) -> str:
        boundary = "pergai-bench"
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="cup.png"\r\n\r\n'.encode()
        content = head + cut_out_png() + f"\r\n--{boundary}--\r\n".encode()
        sent = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        image = json.loads(self._request("POST", BASE + "/uploads", content, sent))["imagePath"]
        return str(self._post("/products", {"name": "Disc", "category": "other", "imagePath": image}, {})["id"])

    def _lay_out(self, painters: Sequence[Painter], enlargers: Sequence[Enlarger]) -> None:
        for folder in ("models", "pipelines", "weights"):
            (self.home / folder).mkdir()
        (self.home / "models" / "none.toml").write_text(CUT_OUT)
        profile = []
        for painter in painters:
            options = dict(painter.options)
            self._card("models", painter.name, family="diffusers", files="model_index.json", options=options)
            self._card(
                "pipelines", painter.name, runner="diffusion", tasks=["scene"],
                models={"diffusion": painter.name, "matte": "none"},
                options={"side": painter.side, "steps": painter.steps, "guidance": painter.guidance, "scheduler": "euler",
                         "template": WORDS, "negative": ""},
            )  # fmt: skip
            (self.home / "weights" / painter.name).symlink_to(painter.folder.resolve())
            profile.append(f'[providers.{painter.name}]\ntitle = "{painter.name}"\nscene = "{painter.name}"\n')
        for net in enlargers:
            self._card("models", net.name, family="realesrgan", files=f"{net.name}.safetensors", options=net.options)
            self._card(
                "pipelines", net.name, runner="upscale", tasks=["upscale"], models={"upscale": net.name},
                options={"tile": net.tile, "margin": 8, "blend": 8},
            )  # fmt: skip
            (self.home / "weights" / net.name).symlink_to(net.folder.resolve())
            profile.append(f'[providers.{net.name}]\ntitle = "{net.name}"\nupscale = "{net.name}"\n')
        (self.home / "profile.toml").write_text("".join(profile))

    def _card(self, folder: str, name: str, **fields: Any) -> None:
        if folder == "models":
            fields["files"] = [{"name": fields["files"]}]
            fields |= {"licence": "none", "memory_mib": 1000}
            fields["source"] = {"kind": "hub", "repository": "none/none", "revision": "none"}
        lines = [f"{key} = {toml(value)}" for key, value in {"title": name, **fields}.items()]
        (self.home / folder / f"{name}.toml").write_text("\n".join(lines) + "\n")

    def _wait_ready(self, seconds: float) -> None:
        deadline = time.perf_counter() + seconds
        while time.perf_counter() < deadline and self._process.poll() is None:
            try:
                self._request("GET", "/readyz", None, {})
            except (OSError, RuntimeError, http.client.HTTPException):
                time.sleep(0.1)
            else:
                return
        raise RuntimeError(f"the server is not ready: {self._log.read_text()[-600:]}")


def cut_out_png(side: int = 256) -> bytes:
    """A disc with a gradient on nothing."""
    import io

    import numpy as np
    from PIL import Image

    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    alpha = np.clip((0.45 * side - np.hypot(x, y)) * 128, 0, 255)
    planes = [128 + 200 * x / side, 128 + 200 * y / side, np.full_like(x, 90), alpha]
    file = io.BytesIO()
    Image.fromarray(np.stack(planes, -1).clip(0, 255).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def toml(value: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {toml(one)}" for key, one in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)
