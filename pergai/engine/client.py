"""The API process's handle on the engine process: start it, talk to it, watch it, start it again.

The engine process may die at any time (a sticky CUDA error, a segfault, the OOM killer): the caller hears of it with the
jobs that were inside, and a new process is on its way at once.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

import structlog

from pergai.engine.core import Job
from pergai.engine.wire import Beat, Boot, Cancel, FromEngine, Hello, Stop, Submit, ToEngine, frame, read_from_engine

log = structlog.get_logger(__name__)

LARGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
"""Pictures, paths and tensors are megabytes that come and go: glibc asks the kernel for large pages, and what is given back costs
little to get again."""
SILENCE_SECONDS = 30.0
"""An engine process whose event loop has not said a word for so long is dead."""


class Listener(Protocol):
    """Hears of the engine; called on the event loop, one call at a time."""

    async def heard(self, message: FromEngine) -> None:
        """Any message but Hello."""
        ...

    async def up(self, hello: Hello) -> None: ...

    async def down(self, jobs: Sequence[str]) -> None:
        """The process died with these jobs inside, in the order they went in."""
        ...


class EngineClient:
    """Supervises one engine process. `run()` is its life; cancel it to end."""

    def __init__(self, boot: Boot, listener: Listener, *, start_seconds: float, hang_seconds: float) -> None:
        self._boot = boot
        self._listener = listener
        self._start_seconds = start_seconds
        self._hang_seconds = hang_seconds
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._inside: dict[str, None] = {}
        self._deadline = 0.0
        self._stopping = False
        self.hello: Hello | None = None
        """What the engine said when it came up; None while it is down."""
        self.beat: Beat | None = None
        self.restarts = 0

    @property
    def ready(self) -> bool:
        return self.hello is not None and not self._stopping

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def inside(self) -> tuple[str, ...]:
        """Jobs sent and not yet answered."""
        return tuple(self._inside)

    def submit(self, job: Job, *, urgent: bool = False) -> None:
        """Raises ConnectionError when the engine is down."""
        self._send(Submit(job, urgent))
        self._inside[job.id] = None

    def cancel(self, job: str) -> None:
        """Work on it no more. An engine that is dying has forgotten it."""
        if job in self._inside:
            with suppress(ConnectionError):
                self._send(Cancel(job))

    async def run(self) -> None:
        """Keep an engine process alive until cancelled or stopped."""
        pause = 0.0
        while not self._stopping:
            started = time.monotonic()
            try:
                await self._live_once()
            except OSError:  # no more processes or open files: that passes
                log.exception("the engine process could not be started; trying again")
            self.restarts += 1
            # A process that dies young is started again with growing pauses; one that worked a while, at once.
            pause = 0.0 if time.monotonic() - started > 30 else min(10.0, pause * 2 + 0.25)
            if not self._stopping:
                await asyncio.sleep(pause)

    async def stop(self) -> None:
        """End the engine process; what is inside is dropped and stays the caller's to release."""
        self._stopping = True
        process = self._process
        if process is None:
            return
        with suppress(ConnectionError):  # it is dying by itself
            self._send(Stop())
        try:
            await asyncio.wait_for(process.wait(), 5)
        except TimeoutError:
            process.kill()

    async def _live_once(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "pergai.worker",
                str(theirs.fileno()),
                pass_fds=(theirs.fileno(),),
                env={**LARGE_PAGES, **os.environ},
                stdin=asyncio.subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the API process, which says when to leave
            )
        reader, self._writer = await asyncio.open_connection(sock=ours)
        self._deadline = time.monotonic() + self._start_seconds
        log.info("engine process started", pid=self._process.pid)
        try:
            self._send(self._boot)
            async with asyncio.TaskGroup() as group:
                watch = group.create_task(self._watch(self._process))
                await self._listen(reader)
                watch.cancel()
        except (OSError, asyncio.IncompleteReadError) as error:
            log.debug("engine connection ended", error=repr(error))
        finally:
            await self._clear_away(self._process)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while True:
            try:
                message = await read_from_engine(reader)
            except (OSError, asyncio.IncompleteReadError):
                return
            if isinstance(message, Hello):
                self.hello = message
                self._deadline = time.monotonic() + SILENCE_SECONDS
                log.info("engine ready", device=message.device, pid=self.pid)
                await self._listener.up(message)
                continue
            if isinstance(message, Beat):
                self.beat = message
                self._deadline = time.monotonic() + SILENCE_SECONDS
            elif (result := getattr(message, "result", None)) is not None:
                self._inside.pop(result.job, None)
            await self._listener.heard(message)

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        """Kill a process that does not come up, falls silent, or whose device call never ends."""
        while True:
            await asyncio.sleep(1)
            hung = self.beat is not None and self.beat.busy_seconds > self._hang_seconds
            if hung or time.monotonic() > self._deadline:
                log.error("engine process hangs and is killed", pid=process.pid, device_call=hung)
                process.kill()
                return

    async def _clear_away(self, process: asyncio.subprocess.Process) -> None:
        """Whatever ended it: nobody can talk to it, the process is gone, and the listener knows what was inside."""
        self.hello = None
        self.beat = None
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        if process.returncode is None:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                log.debug("engine process was gone already", pid=process.pid)
        code = await process.wait()
        inside, self._inside = list(self._inside), {}
        if not self._stopping:
            log.error("engine process died", pid=process.pid, exit_code=code, jobs_inside=len(inside))
            await self._listener.down(inside)

    def _send(self, message: ToEngine) -> None:
        if self._writer is None or self._writer.is_closing():
            raise ConnectionError("the engine process is down")
        self._writer.write(frame(message))
