"""An upload is decoded whole in a process of its own, with limits on memory and time, before it is accepted.

A decoder that is made to crash, to hang or to eat memory costs that process and nothing else. The processes are forked
from a warm one, `python -m pergai.imaging.inspect`, that has its libraries loaded and never touches a picture itself:
0.01 s beyond the decoding, where a new interpreter takes 0.4 s. It reads one request a line, answers one line, and ends
when its standard input does.
"""

from __future__ import annotations

import math
import os
import resource
import select
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import msgspec

from pergai.errors import PergaiError, TooLarge, UnreadableImage
from pergai.imaging.decode import ImageInfo, decode, probe

SHORTEST_SIDE, LONGEST_SIDE = 16, 32_768
"""Pixels. No product photo is smaller or longer."""

MIB = 1024 * 1024
KEPT_WARM = 2
GRACE_SECONDS = 5.0
"""Beyond its time limit, before a warm process is given up for lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectLimits:
    max_bytes: int = 64 * MIB
    max_pixels: int = 100_000_000
    max_frames: int = 500
    seconds: float = 30.0
    """On the clock, and of work."""
    memory_mib: int = 2048
    """Address space of the process. A photo of 100 megapixels needs about 1.6 GiB."""


class _Request(msgspec.Struct):
    path: str
    limits: InspectLimits


class _Answer(msgspec.Struct):
    info: ImageInfo | None = None
    too_large: str = ""
    unreadable: str = ""


def inspect_file(path: Path, *, limits: InspectLimits | None = None) -> ImageInfo:
    """Decode the whole file elsewhere; say what it is. Blocks: call it in a thread. Any number of threads may.

    Raises TooLarge (bytes, pixels, frames, sides, memory, time) or UnreadableImage, each saying what was wrong and
    what is allowed.
    """
    limits = limits or InspectLimits()
    size = path.stat().st_size
    if size > limits.max_bytes:
        raise TooLarge(f"the file has {size / MIB:.1f} MiB; at most {limits.max_bytes / MIB:g} are allowed")
    answer = _pool.ask(_Request(str(path.resolve()), limits))
    if answer.too_large:
        raise TooLarge(answer.too_large)
    if answer.info is None:
        raise UnreadableImage(answer.unreadable)
    return answer.info


# --- in the asking process -------------------------------------------------------------------------


class _Lost(Exception):
    """The warm process is gone."""


class _Warm:
    """One warm process. One request at a time."""

    def __init__(self) -> None:
        # One thread each: pools of threads do not survive a fork, and their stacks count as memory.
        alone = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "VIPS_CONCURRENCY": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pergai.imaging.inspect"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **alone},
            start_new_session=True,  # a Ctrl-C for the server lets the uploads in hand finish
            bufsize=0,
        )
        self._requests = cast(IO[bytes], self._process.stdin)
        self._answers = cast(IO[bytes], self._process.stdout)

    def ask(self, request: _Request) -> _Answer:
        """Raises _Lost."""
        try:
            self._requests.write(msgspec.json.encode(request) + b"\n")
            return msgspec.json.decode(self._line(request.limits.seconds + GRACE_SECONDS), type=_Answer)
        except (OSError, msgspec.DecodeError) as error:
            self.end()
            raise _Lost from error

    def end(self) -> None:
        self._process.kill()
        self._process.wait()

    def _line(self, seconds: float) -> bytes:
        ready = select.poll()
        ready.register(self._answers, select.POLLIN)
        return self._answers.readline() if ready.poll(seconds * 1000) else b""


class _Pool:
    """Warm processes, started when they are needed; a few are kept."""

    def __init__(self) -> None:
        self._idle: list[_Warm] = []
        self._lock = threading.Lock()

    def ask(self, request: _Request) -> _Answer:
        """A process that was lost is replaced once: it may have been killed while it was idle."""
        try:
            return self._ask(request)
        except _Lost:
            try:
                return self._ask(request)
            except _Lost:
                return _Answer(unreadable="the image could not be decoded")

    def _ask(self, request: _Request) -> _Answer:
        with self._lock:
            warm = self._idle.pop() if self._idle else None
        warm = warm or _Warm()
        answer = warm.ask(request)
        with self._lock:
            if keep := len(self._idle) < KEPT_WARM:
                self._idle.append(warm)
        if not keep:
            warm.end()
        return answer


_pool = _Pool()


# --- in the warm process ---------------------------------------------------------------------------


def serve() -> None:
    """Answer requests until standard input ends."""
    while line := sys.stdin.buffer.readline():
        answer = _in_a_child(msgspec.json.decode(line, type=_Request))
        sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
        sys.stdout.buffer.flush()


def _in_a_child(request: _Request) -> _Answer:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _limit_this_process(request.limits)
        os.write(writer, msgspec.json.encode(_inspected(request)))
        # No clean-up: exit handlers must not run on a heap that a hostile file may have damaged.
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if -code in (signal.SIGALRM, signal.SIGXCPU):
        return _Answer(too_large=f"decoding the image took longer than {request.limits.seconds:g} seconds")
    if -code == signal.SIGKILL:
        return _Answer(too_large="the image needs more memory to decode than the server has")
    try:
        return msgspec.json.decode(said, type=_Answer)
    except msgspec.DecodeError:
        return _Answer(unreadable="the image made its decoder crash; it is damaged, or not what it claims to be")


def _inspected(request: _Request) -> _Answer:
    try:
        return _Answer(info=_decoded_whole(Path(request.path), request.limits))
    except TooLarge as error:
        return _Answer(too_large=error.detail)
    except PergaiError as error:
        return _Answer(unreadable=error.detail)


def _decoded_whole(path: Path, limits: InspectLimits) -> ImageInfo:
    info = probe(path, max_pixels=limits.max_pixels)
    if min(info.width, info.height) < SHORTEST_SIDE:
        raise UnreadableImage(
            f"the image is {info.width}×{info.height} pixels; each side must have at least {SHORTEST_SIDE}"
        )
    if max(info.width, info.height) > LONGEST_SIDE:
        raise TooLarge(f"the image is {info.width}×{info.height} pixels; a side may have at most {LONGEST_SIDE}")
    if info.frames > limits.max_frames:
        raise TooLarge(f"the image has {info.frames} frames; at most {limits.max_frames} are allowed")
    picture = decode(path, max_pixels=limits.max_pixels)
    if (picture.width, picture.height) != (info.width, info.height):
        raise UnreadableImage("the image's header and its content disagree about its size")
    return info


def _limit_this_process(limits: InspectLimits) -> None:
    """Set by itself, before the first byte of the file is read. Running out of time kills it, by a signal it does not catch."""
    for kind, value in (
        (resource.RLIMIT_AS, limits.memory_mib * MIB),
        (resource.RLIMIT_CPU, math.ceil(limits.seconds)),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (allowed, allowed))
    signal.setitimer(signal.ITIMER_REAL, limits.seconds)


if __name__ == "__main__":
    serve()
