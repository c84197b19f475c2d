"""What crosses the pipe between the API process and the engine process: small msgpack frames, never pixels.

A frame is four bytes of length (big endian) and a message. `ToEngine` goes one way, `FromEngine` the other.
"""

from __future__ import annotations

import asyncio

import msgspec

from pergai.engine.core import Job, Progress, Result
from pergai.settings import Settings

MAX_FRAME = 16 * 1024 * 1024


class Boot(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The first message: all the engine process has to know."""

    home: str
    weights: str
    device: str
    memory_mib: int
    host_mib: int = 0
    warm: tuple[str, ...] = ()
    safety_checker: str = ""
    cpu_workers: int
    job_seconds: float
    certificate: str = ""
    certificate_key: str = ""
    log_level: str
    log_format: str


def boot_of(settings: Settings) -> Boot:
    """What an engine process has to know of the settings."""
    return Boot(
        home=str(settings.paths.root),
        weights=str(settings.paths.weights),
        device=settings.engine.device,
        memory_mib=settings.engine.memory_mib,
        host_mib=settings.engine.host_mib,
        warm=tuple(settings.engine.warm),
        safety_checker=settings.engine.safety_checker,
        cpu_workers=settings.engine.cpu_workers,
        job_seconds=settings.engine.job_seconds,
        certificate=str(settings.credentials.certificate or ""),
        certificate_key=str(settings.credentials.key or ""),
        log_level=settings.log.level,
        log_format=settings.log.format,
    )


class Submit(msgspec.Struct, frozen=True, tag=True):
    job: Job
    urgent: bool = False


class Cancel(msgspec.Struct, frozen=True, tag=True):
    job: str


class Stop(msgspec.Struct, frozen=True, tag=True):
    """Leave; jobs still in the engine are dropped."""


ToEngine = Boot | Submit | Cancel | Stop


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The engine is up."""

    device: str
    """What it is, in words."""
    kind: str
    """ "cpu" or "cuda"."""
    memory_mib: int
    """Budget for resident models."""
    jobs: int
    """How many jobs it likes to hold at once."""
    versions: dict[str, str] = {}


class Moved(msgspec.Struct, frozen=True, tag=True):
    """A job made progress."""

    progress: Progress


class Ended(msgspec.Struct, frozen=True, tag=True):
    result: Result


class Ran(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The device ran a batch."""

    model: str
    size: int
    seconds: float


class Loaded(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    model: str
    mib: int
    seconds: float


class Unloaded(msgspec.Struct, frozen=True, tag=True):
    model: str


class Beat(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Once a second: the engine's event loop turns."""

    busy_seconds: float
    """How long the device has been in its current call; 0 when idle."""
    resident_bytes: int
    """Memory of the process."""
    device_used_bytes: int = 0
    device_total_bytes: int = 0


FromEngine = Hello | Moved | Ended | Ran | Loaded | Unloaded | Beat

_encoder = msgspec.msgpack.Encoder()
_to_engine: msgspec.msgpack.Decoder[ToEngine] = msgspec.msgpack.Decoder(ToEngine)
_from_engine: msgspec.msgpack.Decoder[FromEngine] = msgspec.msgpack.Decoder(FromEngine)


def frame(message: ToEngine | FromEngine) -> bytes:
    body = _encoder.encode(message)
    return len(body).to_bytes(4) + body


async def read_to_engine(reader: asyncio.StreamReader) -> ToEngine:
    """The next message. Raises asyncio.IncompleteReadError when the other process is gone."""
    return _to_engine.decode(await _read(reader))


async def read_from_engine(reader: asyncio.StreamReader) -> FromEngine:
    """The next message. Raises asyncio.IncompleteReadError when the other process is gone."""
    return _from_engine.decode(await _read(reader))


async def _read(reader: asyncio.StreamReader) -> bytes:
    length = int.from_bytes(await reader.readexactly(4))
    return await reader.readexactly(min(length, MAX_FRAME))
