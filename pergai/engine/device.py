"""The one thread that owns the device. Every load, run and unload of a model happens here: `from_pretrained` patches torch
process-wide, and a device has one queue.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol

from pergai.engine.core import UNFINISHED, Model
from pergai.engine.residency import Residency
from pergai.engine.scheduler import Scheduler, Work
from pergai.errors import ModelUnavailable, OutOfMemory, PergaiError


class Watcher(Protocol):
    """Told what the device does; called on the device thread."""

    def ran(self, model: str, size: int, seconds: float) -> None: ...
    def loaded(self, model: str, mib: int, seconds: float) -> None: ...
    def unloaded(self, model: str) -> None: ...


class DeviceLoop(threading.Thread):
    """Takes batches from the scheduler, makes sure of their model, runs them, answers each payload's future.

    `load(model id) -> (model, MiB)` and `release()` (give freed memory back to the device) are the caller's.
    """

    def __init__(
        self,
        *,
        load: Callable[[str], tuple[Model, int]],
        stated_mib: Callable[[str], int],
        release: Callable[[], None],
        budget_mib: int,
        watcher: Watcher,
    ) -> None:
        super().__init__(name="device", daemon=True)
        self._load = load
        self._stated_mib = stated_mib
        self._release = release
        self._watcher = watcher
        self._residency = Residency(budget_mib)
        self._models: dict[str, Model] = {}
        self._scheduler = Scheduler()
        self._futures: dict[int, Future[Any]] = {}
        self._changed = threading.Condition()
        self._stopping = False
        self._running_since: float | None = None

    @property
    def busy_seconds(self) -> float:
        """How long the device has been in its current call; 0 when idle."""
        since = self._running_since
        return 0.0 if since is None else time.monotonic() - since

    def submit(self, work: Work) -> Future[Any]:
        future: Future[Any] = Future()
        with self._changed:
            self._scheduler.add(work)
            self._futures[id(work)] = future
            self._changed.notify()
        return future

    def withdraw(self, job: str) -> None:
        """Forget what has not started of a job that was cancelled."""
        with self._changed:
            for work in self._scheduler.withdraw(job):
                self._futures.pop(id(work)).cancel()

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def run(self) -> None:
        while batch := self._next_batch():
            self._running_since = time.monotonic()
            try:
                self._run(batch)
            finally:
                seconds = time.monotonic() - self._running_since
                self._running_since = None
                with self._changed:
                    self._scheduler.charge(batch, seconds)

    def _next_batch(self) -> list[Work]:
        with self._changed:
            while not self._stopping:
                if batch := self._scheduler.next(self._models, self._max_batch):
                    return batch
                self._changed.wait()
        return []

    def _max_batch(self, model: str) -> int:
        return self._models[model].max_batch if model in self._models else 1

    def _run(self, batch: list[Work]) -> None:
        try:
            model = self._ensure(batch[0].model)
        except PergaiError as error:
            self._fail(batch, error)
        except MemoryError:
            self._fail(batch, OutOfMemory(f"the model {batch[0].model} does not fit into the device's memory"))
        except Exception as error:  # a loader can raise anything, and this thread must live
            self._fail(batch, ModelUnavailable(f"{batch[0].model} could not be loaded: {error}"))
        else:
            self._run_on(model, batch)

    def _run_on(self, model: Model, batch: list[Work]) -> None:
        """Run a batch; one bad payload fails alone, and a batch too large for the memory is halved."""
        started = time.monotonic()
        try:
            results = model.run([work.payload for work in batch])
        except MemoryError:
            self._release()
            if len(batch) > 1:
                half = len(batch) // 2
                self._run_on(model, batch[:half])
                self._run_on(model, batch[half:])
            elif self._evict_all_but(batch[0].model):
                self._run_on(model, batch)
            else:
                self._fail(
                    batch, OutOfMemory("the device has too little memory for this job; ask for a smaller result")
                )
        except Exception as error:  # a model can raise anything, and this thread must live
            if len(batch) == 1:
                self._fail(batch, error)
                return
            for work in batch:
                self._run_on(model, [work])
        else:
            seconds = time.monotonic() - started
            self._watcher.ran(batch[0].model, len(batch), seconds)
            for work in batch:
                work.seconds += seconds / len(batch)
            for work, result in zip(batch, results, strict=True):
                if result is UNFINISHED:
                    self._put_back(work)
                else:
                    self._answer(work, result)

    def _ensure(self, name: str) -> Model:
        if name not in self._models:
            for victim in self._residency.victims(name, self._stated_mib(name)):
                self._evict(victim)
            started = time.monotonic()
            model, mib = self._load(name)
            self._models[name] = model
            self._residency.enter(name, mib)
            self._watcher.loaded(name, mib, time.monotonic() - started)
        self._residency.touch(name)
        return self._models[name]

    def _evict(self, name: str) -> None:
        del self._models[name]
        self._residency.leave(name)
        self._release()
        self._watcher.unloaded(name)

    def _evict_all_but(self, name: str) -> bool:
        others = [model for model in self._residency.models if model != name]
        for model in others:
            self._evict(model)
        return bool(others)

    def _put_back(self, work: Work) -> None:
        with self._changed:
            if self._futures[id(work)].cancelled():
                del self._futures[id(work)]
            else:
                self._scheduler.put_back(work)

    def _answer(self, work: Work, result: Any) -> None:
        with self._changed:
            future = self._futures.pop(id(work))
        if future.set_running_or_notify_cancel():
            future.set_result(result)

    def _fail(self, batch: list[Work], error: BaseException) -> None:
        for work in batch:
            with self._changed:
                future = self._futures.pop(id(work))
            if future.set_running_or_notify_cancel():
                future.set_exception(error)
