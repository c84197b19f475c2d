"""The engine: takes jobs, lets their runners work, hands their results over. It knows no HTTP, no SQL and no torch.

A runner reads like a recipe: it awaits pure work on pixels in the CPU pool (`desk.cpu`) and models on the device
(`desk.device`). Many recipes are under way at once, so while the device works on one job others decode and encode.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import structlog

from pergai.cards.catalogue import Catalogue
from pergai.cards.structs import PipelineCard, SceneCard
from pergai.engine.core import Job, Outcome, Progress, Result, Runner
from pergai.engine.delivery import deliver
from pergai.engine.device import DeviceLoop
from pergai.engine.scheduler import Work
from pergai.errors import (
    Cancelled,
    JobError,
    JobTimedOut,
    OutOfMemory,
    PergaiError,
    SourceUnreadable,
    UnreadableImage,
)
from pergai.imaging.credentials import Identity

T = TypeVar("T")
log = structlog.get_logger(__name__)


class Listener(Protocol):
    """Hears of every job; called on the event loop."""

    def moved(self, progress: Progress) -> None: ...
    def ended(self, result: Result) -> None: ...


class Engine:
    """Runs jobs on the event loop it is made on. `runners` maps the key of a pipeline card to its runner."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        runners: Callable[[str], Runner],
        device: DeviceLoop,
        listener: Listener,
        cache: Path,
        cpu_workers: int,
        job_seconds: float,
        identity: Identity | None = None,
    ) -> None:
        self.catalogue = catalogue
        self.cache = cache
        self.device = device
        self.pool = ThreadPoolExecutor(cpu_workers, thread_name_prefix="cpu")
        self.listener = listener
        self._runners = runners
        self._job_seconds = job_seconds
        self._identity = identity
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._closing = False

    def submit(self, job: Job, *, urgent: bool = False) -> None:
        """The listener hears of its end, whatever it is."""
        if job.id not in self._tasks:
            task = asyncio.create_task(self._work(job, urgent), name=job.id)
            self._tasks[job.id] = task
            task.add_done_callback(partial(self._over, job))

    def cancel(self, job: str) -> None:
        """The job ends as cancelled at its next wait, or before its first step."""
        if task := self._tasks.get(job):
            self.device.withdraw(job)
            task.cancel()

    async def close(self) -> None:
        """Drop every job without a word, and stop the device."""
        self._closing = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.device.stop()
        self.pool.shutdown(wait=False, cancel_futures=True)

    async def _work(self, job: Job, urgent: bool) -> None:
        desk = JobDesk(self, job, urgent)
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._job_seconds):
                result = await self._picture(job, desk)
        except asyncio.CancelledError:
            result = _cancelled(job)
        except TimeoutError:
            self.device.withdraw(job.id)
            result = _failure(job, JobTimedOut(f"the job took longer than {self._job_seconds:g} seconds"))
        except MemoryError:
            result = _failure(job, OutOfMemory("the job needs more memory than there is; ask for a smaller result"))
        except UnreadableImage as error:
            result = _failure(job, SourceUnreadable(error.detail))
        except PergaiError as error:
            result = _failure(job, error)
        except Exception as error:
            log.exception("job failed unexpectedly", generation_id=job.id, kind=job.kind, pipeline=job.pipeline)
            result = _failure(job, JobError(f"{type(error).__name__}: {error}"[:500]))
        if result.error:
            Path(job.target).unlink(missing_ok=True)
        log.info(
            "job ended",
            generation_id=job.id,
            kind=job.kind,
            outcome=result.error or "completed",
            seconds=round(time.monotonic() - started, 3),
        )
        self._tell(result)

    def _over(self, job: Job, task: asyncio.Task[None]) -> None:
        self._tasks.pop(job.id, None)
        if task.cancelled():  # before its first step, where `_work` could not see it
            self._tell(_cancelled(job))

    def _tell(self, result: Result) -> None:
        if not self._closing:
            self.listener.ended(result)

    async def _picture(self, job: Job, desk: JobDesk) -> Result:
        runner = self._runners(desk.pipeline.runner)
        outcome: Outcome = await runner.run(job, desk)
        desk.progress(0.95, "encode")
        result = await desk.cpu(partial(deliver, job, outcome, pipeline=desk.pipeline, identity=self._identity))
        return desk.signed_off(result)


class JobDesk:
    """The Desk of one job (see engine/core.py): its way to the CPU pool, the device and the listener."""

    def __init__(self, engine: Engine, job: Job, urgent: bool) -> None:
        self.cache = engine.cache
        self._engine = engine
        self._job = job
        self._urgent = urgent
        self._fraction = 0.0
        self._seconds: dict[str, float] = {}

    @property
    def pipeline(self) -> PipelineCard:
        return _card(self._engine.catalogue.pipelines, self._job.pipeline, "pipeline")

    def scene(self, id: str) -> SceneCard:
        return _card(self._engine.catalogue.scenes, id, "scene")

    async def cpu(self, work: Callable[..., T], *args: Any) -> T:
        def timed() -> tuple[T, float]:
            started = time.monotonic()
            result = work(*args)
            return result, time.monotonic() - started

        result, seconds = await asyncio.get_running_loop().run_in_executor(self._engine.pool, timed)
        self._spent("cpu", seconds)
        return result

    async def device(
        self, model: str, payload: Any, *, shape: Hashable = None, setup: Hashable = None, turns: int = 1
    ) -> Any:
        work = Work(
            job=self._job.id,
            library=self._job.library,
            model=model,
            shape=shape,
            payload=payload,
            setup=setup,
            urgent=self._urgent,
            turns=turns,
        )
        result = await asyncio.wrap_future(self._engine.device.submit(work))
        self._spent(model, work.seconds)
        return result

    def progress(self, fraction: float, phase: str) -> None:
        self._fraction = min(1.0, max(self._fraction, fraction))
        self._engine.listener.moved(Progress(job=self._job.id, fraction=round(self._fraction, 3), phase=phase))

    def signed_off(self, result: Result) -> Result:
        """The result with the seconds of work this job took, on the CPU and by each model; waiting does not count."""
        return replace(
            result, target=self._job.target, seconds={name: round(value, 3) for name, value in self._seconds.items()}
        )

    def _spent(self, phase: str, seconds: float) -> None:
        self._seconds[phase] = self._seconds.get(phase, 0.0) + seconds


def _cancelled(job: Job) -> Result:
    return _failure(job, Cancelled("cancelled on request"))


def _failure(job: Job, error: PergaiError) -> Result:
    return Result(job=job.id, error=error.code, detail=error.detail)


def _card(cards: Mapping[str, T], id: str, kind: str) -> T:
    try:
        return cards[id]
    except KeyError:
        raise JobError(f"the {kind} {id!r} is not among this server's cards any more") from None
