"""Between the queue and the engine: claims jobs fairly, sends them, and makes their ends durable.

The order of an end: the engine's file is renamed into place and fsynced, one transaction completes the row and writes the
webhook's outbox, then the event goes out. A crash between any two of them leaves a job that runs again, or a file that
`doctor` removes; never a completed row without its file. While the disk is full or the database is locked, what has to be written
is kept and tried again; a mistake of ours would be the same again, so it fails the job.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import structlog
from sqlalchemy import Row

from pergai.db import queue
from pergai.db.database import Database
from pergai.db.refusals import passes
from pergai.db.tables import Generation, Image, Status
from pergai.engine.client import EngineClient
from pergai.engine.core import Job, Result
from pergai.engine.wire import Beat, Ended, FromEngine, Hello, Loaded, Moved, Ran, Unloaded
from pergai.errors import EngineCrashed, JobError, NotFound, SourceUnreadable
from pergai.services import webhooks
from pergai.services.events import Event, Events
from pergai.services.images import MEDIA_TYPES
from pergai.settings import MIB
from pergai.storage.files import FileStore
from pergai.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

EXTENSION = {"png": "png", "jpeg": "jpg", "webp": "webp", "avif": "avif", "tiff": "tif", "psd": "psd"}
LONE_CRASHES = 3
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 15.0
"""Between attempts to write what must be written."""

T = TypeVar("T")


class Dispatcher:
    """Hears of the engine (it is the client's Listener) and keeps it fed."""

    def __init__(self, *, database: Database, files: FileStore, events: Events, metrics: Metrics, jobs: int) -> None:
        self._database = database
        self._files = files
        self._events = events
        self._metrics = metrics
        self._jobs = jobs
        self._engine: EngineClient | None = None
        self._inside: dict[str, Row[Any]] = {}
        self._last_served: dict[str, int] = {}
        self._turn = 0
        self._wake = asyncio.Event()
        self._resident: set[str] = set()
        self._device = ""
        self._ending: set[asyncio.Task[None]] = set()
        self.draining = False

    def attach(self, engine: EngineClient) -> None:
        self._engine = engine

    def wake(self) -> None:
        """Something may be waiting."""
        self._wake.set()

    def forget(self, row: Row[Any], outcome: str) -> None:
        """The row has ended without the engine; stop working on it."""
        if self._engine is not None:
            self._engine.cancel(str(row.id))
        self._ended(row, outcome)

    async def recover(self) -> int:
        """At start: what a dead process was working on goes back, as suspects. Returns how many."""
        async with self._database.write() as session:
            return await queue.recover(session)

    async def run(self) -> None:
        """Feed the engine until cancelled."""
        while True:
            self._wake.clear()
            try:
                while await self._feed():
                    pass
            except Exception:
                log.exception("the queue could not be read; trying again")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), 2)

    async def drain(self, seconds: float) -> None:
        """Claim nothing more, let what is inside end, put back what does not."""
        self.draining = True
        deadline = time.monotonic() + seconds
        while (self._inside or self._ending) and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        if self._engine is not None:
            await self._engine.stop()
        if self._ending:
            _, stuck = await asyncio.wait(self._ending, timeout=10)
            for task in stuck:
                task.cancel()
        ids = [row.id for row in self._inside.values()]
        if ids:
            await self._release(ids)
        log.info("drained", back_in_queue=len(ids))

    # --- towards the engine ------------------------------------------------------------------------

    async def _feed(self) -> bool:
        """Send what there is room for; True when something was sent."""
        engine = self._engine
        hello = engine.hello if engine is not None and engine.ready else None
        if engine is None or hello is None or self.draining:
            return False
        async with self._database.read() as connection:
            waiting = await queue.waiting_libraries(connection)
            suspects = await queue.suspect_libraries(connection) if waiting else []
        if suspects and self._inside:
            return False  # a suspect runs alone: first let the engine run empty
        room = 1 if suspects else (self._jobs or hello.jobs) - len(self._inside)
        if room <= 0 or not waiting or any(row.crashes for row in self._inside.values()):
            return False
        library = min(suspects or waiting, key=lambda name: self._last_served.get(name, 0))
        share = max(1, room // len(waiting))
        self._turn += 1
        self._last_served[library] = self._turn
        async with self._database.write() as session:
            rows = await queue.claim(session, library, share, suspects=bool(suspects))
        unsent: list[UUID] = []
        hopeless: list[tuple[Row[Any], JobError]] = []
        for row in rows:  # without a pause: whoever takes a claimed job back finds it in the engine
            try:
                self._send(engine, row)
            except ConnectionError:
                unsent.append(row.id)
            except NotFound as missing:
                hopeless.append((row, SourceUnreadable(f"the source image cannot be opened: {missing.detail}")))
            except Exception:
                log.exception("a job cannot be sent; it fails", generation_id=str(row.id))
                hopeless.append((row, JobError("the job could not be sent to the engine; the server's log says why")))
        if unsent:
            await self._keep_trying(partial(self._release, unsent))
        for row, reason in hopeless:
            await self._fail(row, reason)
        return bool(rows)

    def _send(self, engine: EngineClient, row: Row[Any]) -> None:
        """Raises NotFound when the source must not be opened, ConnectionError when the engine is down."""
        job = Job(
            id=str(row.id),
            kind=row.kind,
            library=row.library,
            pipeline=row.pipeline,
            provider=row.provider,
            source=str(self._files.local_path(row.library, row.source_key)),
            source_sha256=row.source_sha256,
            further_sources=tuple(
                str(self._files.local_path(row.library, other["source_key"])) for other in row.params.get("further", ())
            ),
            params=row.params,
            seed=row.seed,
            format=row.format,
            target=str(self._files.temp_file(f".{EXTENSION[row.format]}")),
            alone=row.crashes > 0,
            rerun_of=str(row.rerun_of or ""),
        )
        engine.submit(job, urgent=row.priority == 0)
        self._inside[job.id] = row
        waited = (row.started_at - row.created_at).total_seconds() if row.started_at else 0.0
        self._metrics.queue_wait_seconds.labels(provider=row.provider).observe(max(0.0, waited))
        self._events.publish(Event(row.id, Status.PROCESSING, 0.0, "started"))

    async def _release(self, ids: Sequence[UUID]) -> None:
        async with self._database.write() as session:
            await queue.release(session, ids)

    # --- from the engine ---------------------------------------------------------------------------

    async def up(self, hello: Hello) -> None:
        self._metrics.engine_up.set(1)
        self._metrics.build(hello.versions)
        self._device = hello.device
        self.wake()

    async def down(self, jobs: Sequence[str]) -> None:
        """The engine died. What was inside goes back as suspects; what killed it alone three times fails."""
        self._metrics.engine_up.set(0)
        self._metrics.engine_restarts_total.inc()
        self._metrics.forget_models()
        self._resident.clear()
        rows = [row for job in jobs if (row := self._inside.pop(job, None)) is not None]
        for row in rows:
            self._events.forget(row.id)
        if self.draining or not rows:
            return
        # Not awaited: the next engine process must not wait for a full disk.
        self._in_background(self._keep_trying(partial(self._blame, rows)))

    async def _blame(self, rows: Sequence[Row[Any]]) -> None:
        reason = EngineCrashed(f"the engine died {LONE_CRASHES} times while it worked on this job alone")
        lone = len(rows) == 1
        guilty = [row for row in rows if lone and row.lone_crashes + 1 >= LONE_CRASHES]
        failed = []
        async with self._database.write() as session:
            await queue.blame(session, [row.id for row in rows if row not in guilty], lone=lone)
            for row in guilty:
                ended = await queue.finish(
                    session, row.id, status=Status.FAILED, error_code=reason.code, error_detail=reason.detail
                )
                if ended is not None:
                    webhooks.enqueue(session, ended)
                    failed.append(ended)
        for ended in failed:
            self._ended(ended, reason.code)
        self.wake()

    async def heard(self, message: FromEngine) -> None:
        match message:
            case Moved(progress):
                row = self._inside.get(progress.job)
                if row is not None:
                    self._events.publish(Event(row.id, Status.PROCESSING, progress.fraction, progress.phase))
            case Ended(result):
                row = self._inside.get(result.job)
                if row is not None:
                    self._in_background(self._finish(row, result))
            case Ran(model=model, size=size, seconds=seconds):
                self._metrics.ran(model, size, seconds)
            case Loaded(model=model, mib=mib, seconds=seconds):
                self._resident.add(model)
                self._metrics.loaded(model, seconds, mib * MIB)
            case Unloaded(model):
                self._resident.discard(model)
                self._metrics.unloaded(model)
            case Beat() as beat:
                self._metrics.beat(
                    self._device,
                    resident=beat.resident_bytes,
                    busy_seconds=beat.busy_seconds,
                    used=beat.device_used_bytes,
                    total=beat.device_total_bytes,
                )

    @property
    def resident_models(self) -> frozenset[str]:
        """Models on the device now."""
        return frozenset(self._resident)

    async def _finish(self, row: Row[Any], result: Result) -> None:
        try:
            if result.error:
                outcome = await self._keep_trying(partial(self._failed, row, result))
            else:
                key = f"generations/{row.id}.{EXTENSION[row.format]}"
                place = partial(self._files.place, Path(result.target), row.library, key)
                await self._keep_trying(partial(asyncio.to_thread, place))
                outcome = await self._keep_trying(partial(self._completed, row, result, key))
            self._ended(row, outcome)
        except FileNotFoundError:
            log.error("a result's file is gone; the job runs again", generation_id=result.job)
            await self._keep_trying(partial(self._release, [row.id]))
        except Exception:
            log.exception("a result cannot be written down; its job fails", generation_id=result.job)
            await self._fail(row, JobError("the result could not be written down; the server's log says why"))
        finally:
            self._inside.pop(result.job, None)
            self.wake()

    async def _fail(self, row: Row[Any], reason: JobError) -> None:
        """End a job that the engine does not end."""
        result = Result(job=str(row.id), error=reason.code, detail=reason.detail)
        self._ended(row, await self._keep_trying(partial(self._failed, row, result)))

    async def _keep_trying(self, write: Callable[[], Awaitable[T]]) -> T:
        """Until it is written. A full disk or a locked database passes, and a job must not hang in `processing` for it. Raises
        what does not pass: a file that is gone, a mistake of ours."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                return await write()
            except FileNotFoundError:
                raise
            except Exception as error:
                if not (isinstance(error, OSError) or passes(error)):
                    raise
                log.exception("a job's state could not be written; trying again", pause_seconds=pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._ending.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._ending.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the end of a job could not be written down", exc_info=error)

    async def _completed(self, row: Row[Any], result: Result, key: str) -> str:
        """The outcome; empty when the job had ended already."""
        async with self._database.write() as session:
            first = await session.get(Generation, row.rerun_of) if row.rerun_of else None
            ended = await queue.finish(
                session,
                row.id,
                status=Status.COMPLETED,
                result_key=key,
                model=result.model,
                width=result.width,
                height=result.height,
                report=_report(result, first),
            )
            if ended is not None:
                session.add(
                    Image(
                        library=row.library,
                        key=key,
                        sha256=result.sha256,
                        media_type=MEDIA_TYPES[row.format],
                        bytes=result.bytes,
                        width=result.width,
                        height=result.height,
                    )
                )
                webhooks.enqueue(session, ended)
        if ended is None:  # cancelled, or its product was deleted, while it ran
            log.info("a result is dropped: its generation has ended", generation_id=result.job)
            await asyncio.to_thread(self._files.remove, row.library, key)
            return ""
        for phase, seconds in result.seconds.items():
            self._metrics.inference_duration_seconds.labels(provider=row.provider, phase=phase).observe(seconds)
        return "completed"

    async def _failed(self, row: Row[Any], result: Result) -> str:
        """The outcome; empty when the job had ended already."""
        async with self._database.write() as session:
            ended = await queue.finish(
                session, row.id, status=Status.FAILED, error_code=result.error, error_detail=result.detail
            )
            if ended is not None:
                webhooks.enqueue(session, ended)
        return result.error if ended is not None else ""

    def _ended(self, row: Row[Any], outcome: str) -> None:
        """Without an `outcome` it had ended before, and was counted then."""
        if outcome:
            self._metrics.generations_total.labels(provider=row.provider, task=row.kind, outcome=outcome).inc()
        status = Status.COMPLETED if outcome == "completed" else Status.FAILED
        self._events.publish(Event(row.id, status, 1.0, status))


def _report(result: Result, first: Generation | None) -> dict[str, Any]:
    """`first`: the generation that this one repeats."""
    return {
        "notes": [*result.notes, *(_changes(first, result) if first else [])],
        "words": list(result.words),
        "details": result.details,
        "fidelity": asdict(result.fidelity) if result.fidelity else None,
        "seconds": result.seconds,
        "bytes": result.bytes,
        "sha256": result.sha256,
    }


def _changes(first: Generation, result: Result) -> list[str]:
    """Notes of a rerun. `model_changed:IDS`: what made the first, where that was something else, such as a stand-in.
    `weights_changed:ID`: a model whose revision, bytes or precision are known to be others than then."""
    known, now = (first.report or {}).get("details", {}).get("weights", {}), result.details.get("weights", {})
    changed = [
        f"weights_changed:{name}"
        for name in sorted(known.keys() & now.keys())
        if any(known[name][what] != now[name][what] for what in known[name].keys() & now[name].keys())
    ]
    return changed if first.model in (None, result.model) else [f"model_changed:{first.model}", *changed]
