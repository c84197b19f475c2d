"""The engine process: cards, runners, the device thread and the Engine, at its end of the pipe.

Started by `engine/client.py` as `python -m pergai.worker FD`; it lives as long as the API process does.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import sys
from pathlib import Path

import psutil
import structlog

from pergai.cards.catalogue import Catalogue, load_catalogue
from pergai.engine.core import Model, Progress, Result
from pergai.engine.device import DeviceLoop
from pergai.engine.engine import Engine
from pergai.engine.wire import (
    Beat,
    Boot,
    Cancel,
    Ended,
    FromEngine,
    Hello,
    Loaded,
    Moved,
    Ran,
    Stop,
    Submit,
    Unloaded,
    frame,
    read_to_engine,
)
from pergai.imaging.credentials import load_identity
from pergai.paths import Home
from pergai.runners import registry
from pergai.runners.hardware import Hardware, find_hardware, read_ahead
from pergai.telemetry import logs

log = structlog.get_logger(__name__)

NICENESS = 10
"""Where models run on the CPU, the API's answers go before them."""


class Outbox:
    """Tells the API process; safe to call from the event loop and from the device thread."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._loop = asyncio.get_running_loop()

    def send(self, message: FromEngine) -> None:
        self._loop.call_soon_threadsafe(self._writer.write, frame(message))

    def moved(self, progress: Progress) -> None:
        self.send(Moved(progress))

    def ended(self, result: Result) -> None:
        self.send(Ended(result))

    def ran(self, model: str, size: int, seconds: float) -> None:
        self.send(Ran(model=model, size=size, seconds=seconds))

    def loaded(self, model: str, mib: int, seconds: float) -> None:
        log.info("model loaded", model=model, mib=mib, seconds=round(seconds, 2))
        self.send(Loaded(model=model, mib=mib, seconds=seconds))

    def unloaded(self, model: str) -> None:
        log.info("model unloaded", model=model)
        self.send(Unloaded(model))


async def work(channel: socket.socket) -> None:
    """Serve jobs until the other end says Stop or is gone."""
    reader, writer = await asyncio.open_connection(sock=channel)
    try:
        boot = await read_to_engine(reader)
    except (OSError, asyncio.IncompleteReadError):  # the API process died while this one was starting
        return
    if not isinstance(boot, Boot):
        raise TypeError(f"the first message must be Boot, not {type(boot).__name__}")
    logs.configure(level=boot.log_level, format=boot.log_format)
    home = Home(Path(boot.home), Path(boot.weights))
    os.environ.setdefault("DRJIT_CACHE_DIR", str(home.cache / "kernels"))  # of the renderer, which else has only $HOME
    outbox = Outbox(writer)
    catalogue = load_catalogue(home).as_found(home.weights).checked_by(boot.safety_checker)
    hardware = find_hardware(boot.device)
    if hardware.kind == "cpu":
        os.nice(NICENESS)
    budget = boot.memory_mib or hardware.budget_mib
    device = DeviceLoop(
        load=lambda name: _load(catalogue, home, hardware, name),
        stated_mib=lambda name: catalogue.models[name].memory_mib,
        release=hardware.release,
        wait=hardware.wait,
        budget_mib=budget,
        watcher=outbox,
        host_mib=hardware.host_mib if boot.host_mib < 0 else boot.host_mib,
        warm=boot.warm,
        read_ahead=lambda name: read_ahead(home.weights / name),
    )
    engine = Engine(
        catalogue=catalogue,
        runners=registry.runner,
        device=device,
        listener=outbox,
        cache=home.cache,
        cpu_workers=boot.cpu_workers or max(2, os.cpu_count() or 2),
        job_seconds=boot.job_seconds,
        identity=load_identity(_path(boot.certificate), _path(boot.certificate_key)),
    )
    device.start()
    outbox.send(
        Hello(
            device=hardware.name,
            kind=hardware.kind,
            memory_mib=budget,
            jobs=4 if hardware.kind == "cpu" else 32,
            versions=hardware.versions,
        )
    )
    beating = asyncio.create_task(_beat(outbox, device, hardware))
    try:
        await _serve(reader, engine)
    finally:
        beating.cancel()
        await engine.close()


async def _serve(reader: asyncio.StreamReader, engine: Engine) -> None:
    while True:
        try:
            message = await read_to_engine(reader)
        except (OSError, asyncio.IncompleteReadError):
            return
        match message:
            case Submit(job, urgent):
                engine.submit(job, urgent=urgent)
            case Cancel(job):
                engine.cancel(job)
            case Stop():
                return


async def _beat(outbox: Outbox, device: DeviceLoop, hardware: Hardware) -> None:
    process = psutil.Process()
    while True:
        used, total = hardware.memory()
        outbox.send(
            Beat(
                busy_seconds=device.busy_seconds,
                resident_bytes=process.memory_info().rss,
                device_used_bytes=used,
                device_total_bytes=total,
            )
        )
        await asyncio.sleep(1)


def _load(catalogue: Catalogue, home: Home, hardware: Hardware, name: str) -> tuple[Model, int]:
    card = catalogue.models[name]
    return registry.load_model(card, home.weights / card.id, hardware.kind), card.memory_mib


def _path(name: str) -> Path | None:
    return Path(name) if name else None


def _die_with_parent() -> None:
    """Linux: be killed when the API process goes, even while a call in C holds everything up."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def main() -> None:
    _die_with_parent()
    os.environ["HF_HUB_OFFLINE"] = "1"  # read when a hub library is imported; the engine never downloads anything
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the API process drains first, then says Stop
    asyncio.run(work(socket.socket(fileno=int(sys.argv[1]))))
    os._exit(0)  # the device thread may be inside a long call; nothing here needs a farewell


if __name__ == "__main__":
    main()
