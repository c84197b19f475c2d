"""The one thread that owns the device. Every load, move, run and unload of a model happens here: `from_pretrained` patches
torch process-wide, and a device has one queue. Only reading weight files ahead, into the system's cache, happens beside it.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Protocol, runtime_checkable

from pergai.engine.core import UNFINISHED, Absorbed, Model
from pergai.engine.residency import Residency
from pergai.engine.scheduler import Scheduler, Work
from pergai.errors import ModelUnavailable, OutOfMemory, PergaiError

log = logging.getLogger(__name__)


@runtime_checkable
class Movable(Protocol):
    """A model that can leave the device without being forgotten."""

    def park(self) -> None:
        """Move the weights into the host's memory."""
        ...

    def unpark(self) -> None:
        """Bring them back. Raises MemoryError."""
        ...


@runtime_checkable
class Warmable(Protocol):
    """A model whose first runs are slow."""

    def warm_up(self) -> None:
        """Have them behind it."""
        ...


@runtime_checkable
class Adjustable(Protocol):
    """A model that work wants set up in different ways (`Work.setup`)."""

    def set_up(self, payload: Any) -> None:
        """As this payload wants it; `run` would do the same."""
        ...


class Watcher(Protocol):
    """Told what the device does; called on the device thread."""

    def ran(self, model: str, size: int, seconds: float) -> None: ...
    def loaded(self, model: str, mib: int, seconds: float) -> None: ...
    def unloaded(self, model: str) -> None: ...


class DeviceLoop(threading.Thread):
    """Takes batches from the scheduler, makes sure of their model, runs them, answers each payload's future.

    `load(model id) -> (model, MiB)`, `release()` (give freed memory back to the device), `wait()` (until the device has done
    all it was told: a GPU is told faster than it works) and `read_ahead(model id)` (pull its files into the system's cache,
    on a thread of its own) are the caller's. `host_mib`: memory beside the device where models that have to leave are kept,
    0 for none. `warm`: models loaded before anything is asked.
    """

    def __init__(
        self,
        *,
        load: Callable[[str], tuple[Model, int]],
        stated_mib: Callable[[str], int],
        release: Callable[[], None],
        budget_mib: int,
        watcher: Watcher,
        wait: Callable[[], None] = lambda: None,
        host_mib: int = 0,
        warm: Sequence[str] = (),
        read_ahead: Callable[[str], None] = lambda _: None,
    ) -> None:
        super().__init__(name="device", daemon=True)
        self._load = load
        self._stated_mib = stated_mib
        self._release = release
        self._wait = wait
        self._watcher = watcher
        self._residency = Residency(budget_mib)
        self._models: dict[str, Model] = {}
        self._host = Residency(host_mib)
        self._parked: dict[str, Movable] = {}
        self._warm = warm
        self._read_ahead = read_ahead
        self._expected: set[str] = set()
        self._scheduler = Scheduler()
        self._futures: dict[int, Future[Any]] = {}
        self._cancelled: set[str] = set()
        self._changed = threading.Condition()
        self._stopping = False
        self._running_since: float | None = None
        self._ready_at = 0.0

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
        self._expect(work)
        return future

    def withdraw(self, job: str) -> None:
        """Forget what is not in a turn of a job that was cancelled."""
        with self._changed:
            absorbed = self._scheduler.absorbed
            for work in self._scheduler.withdraw(job):
                self._futures.pop(id(work)).cancel()
                if absorbed.get(work.model) is work:
                    self._cancelled.add(work.model)
            self._changed.notify()

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def run(self) -> None:
        for name in self._warm:
            self._warm_up(name)
        while batch := self._next_batch():
            self._ready_at = self._running_since = time.monotonic()
            try:
                self._run(batch)
            except Exception as error:  # whatever it is: jobs wait for this thread, and nobody would miss it
                log.exception("the device thread stumbled over a batch of %s", batch[0].model)
                self._fail_lost(batch, error)
            finally:
                seconds = time.monotonic() - self._running_since
                setup_seconds = self._ready_at - self._running_since
                self._running_since = None
                with self._changed:
                    self._scheduler.charge(batch, seconds, setup_seconds)
            del batch  # an idle device holds on to nobody's latents

    def _next_batch(self) -> list[Work]:
        batch: list[Work] = []
        while not batch:
            with self._changed:
                while not (self._stopping or self._cancelled):
                    if batch := self._scheduler.next(self._models, self._max_batch):
                        break
                    self._changed.wait()
                if self._stopping:
                    break
                cancelled, self._cancelled = self._cancelled, set()
            for name in cancelled:
                self._forget(name)
        return batch

    def _max_batch(self, model: str) -> int:
        return self._models[model].max_batch if model in self._models else 1

    def _run(self, batch: list[Work]) -> None:
        name = batch[0].model
        guests = dict.fromkeys(guest for work in batch for guest in _beside(work))
        try:
            model = self._ensure(name, pinned=guests)
            companions = {guest: self._ensure(guest, pinned=(name, *guests)) for guest in guests}
        except PergaiError as error:
            self._fail(batch, error)
        except MemoryError as error:
            _let_go(error)
            self._release()
            self._fail(batch, OutOfMemory(f"the model {name} does not fit into the device's memory"))
        except Exception as error:  # a loader can raise anything, and this thread must live
            self._fail(batch, ModelUnavailable(f"{name} could not be loaded: {error}"))
        else:
            for work in batch:
                for guest in _beside(work):
                    work.payload.beside[guest] = companions[guest]
            try:
                self._set_up(model, batch)
                self._run_on(model, batch, pinned=(name, *guests))
            finally:
                for work in batch:
                    for guest in _beside(work):
                        work.payload.beside[guest] = None

    def _set_up(self, model: Model, batch: list[Work]) -> None:
        """For all of a batch, which want the same. What goes wrong here goes wrong in the turn, too, and is told there."""
        if isinstance(model, Adjustable):
            with suppress(Exception):
                model.set_up(batch[0].payload)
        self._ready_at = time.monotonic()

    def _run_on(self, model: Model, batch: list[Work], pinned: Collection[str]) -> None:
        """Run a batch; one bad payload fails alone, and a batch too large for the memory is halved."""
        started = time.monotonic()
        try:
            results = model.run([work.payload for work in batch])
            self._wait()
        except MemoryError as error:
            _let_go(error)
            self._release()
            if len(batch) > 1:
                half = len(batch) // 2
                self._run_on(model, batch[:half], pinned)
                self._run_on(model, batch[half:], pinned)
            elif self._evict_all_but(pinned):
                self._run_on(model, batch, pinned)
            else:
                self._fail(
                    batch, OutOfMemory("the device has too little memory for this job; ask for a smaller result")
                )
        except Exception as error:  # a model can raise anything, and this thread must live
            _let_go(error)
            if len(batch) == 1:
                self._fail(batch, error)
                return
            for work in batch:
                self._run_on(model, [work], pinned)
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

    def _ensure(self, name: str, pinned: Collection[str] = ()) -> Model:
        if name not in self._models:
            # Taken out before others are put aside, which would drive it out of the host's memory.
            aside, mib = self._parked.pop(name, None), self._host.leave(name)
            with self._changed:
                begun = self._scheduler.absorbed
            for victim in self._residency.victims(name, self._stated_mib(name), (*pinned, *begun)):
                self._evict(victim)
            started = time.monotonic()
            model = self._brought_back(aside)
            if model is None:
                aside = None
                self._release()  # what came half the way back, and room in one piece
                model, mib = self._loaded(name, pinned)
            self._models[name] = model
            self._residency.enter(name, mib)
            self._expected.discard(name)
            self._watcher.loaded(name, mib, time.monotonic() - started)
        self._residency.touch(name)
        return self._models[name]

    def _loaded(self, name: str, pinned: Collection[str]) -> tuple[Model, int]:
        """A model from the disk; when the device is fuller than the cards say, it is freed of all others. Raises MemoryError."""
        try:
            return self._load(name)
        except MemoryError as error:
            _let_go(error)
            if not self._evict_all_but(pinned):
                raise
        return self._load(name)

    def _brought_back(self, aside: Any) -> Any:
        """A model from the host's memory; None when it was not there, or is too large for the device as it is now."""
        if aside is not None:
            try:
                aside.unpark()
            except MemoryError as error:
                _let_go(error)
                return None
        return aside

    def _evict(self, name: str) -> None:
        model, mib = self._models.pop(name), self._residency.leave(name)
        if isinstance(model, Movable) and mib <= self._host.budget_mib:
            for victim in self._host.victims(name, mib):
                self._host.leave(victim)
                del self._parked[victim]
            try:
                model.park()
            except (MemoryError, RuntimeError):  # the host has no room, or will not pin it
                log.warning("%s could not be kept in the host's memory and is dropped", name, exc_info=True)
            else:
                self._parked[name] = model
                self._host.enter(name, mib)
        del model
        self._release()
        self._watcher.unloaded(name)

    def _evict_all_but(self, pinned: Collection[str]) -> bool:
        others = [model for model in self._residency.models if model not in pinned]
        for model in others:
            self._evict(model)
        return bool(others)

    def _warm_up(self, name: str) -> None:
        try:
            model = self._ensure(name, pinned=self._warm)
            if isinstance(model, Warmable):
                model.warm_up()
        except Exception as error:  # the first job that needs it is told; a server without it still serves others
            log.warning("%s could not be loaded at the start: %s", name, error)

    def _expect(self, work: Work) -> None:
        """Have the files of models that are not here read while the device is busy with others."""
        for name in (work.model, *_beside(work)):
            if name not in self._models and name not in self._parked and name not in self._expected:
                self._expected.add(name)
                threading.Thread(target=self._read_ahead, args=(name,), name=f"read-{name}", daemon=True).start()

    def _put_back(self, work: Work) -> None:
        with self._changed:
            if wanted := not self._futures[id(work)].cancelled():
                self._scheduler.put_back(work, absorbs=isinstance(self._models.get(work.model), Absorbed))
            else:
                del self._futures[id(work)]
        if not wanted:
            self._forget(work.model)

    def _forget(self, name: str) -> None:
        model = self._models.get(name)
        if isinstance(model, Absorbed):
            model.forget()

    def _answer(self, work: Work, result: Any) -> None:
        with self._changed:
            future = self._futures.pop(id(work))
        if future.set_running_or_notify_cancel():
            future.set_result(result)

    def _fail_lost(self, batch: list[Work], error: BaseException) -> None:
        """Those of a batch that have had no answer and do not wait for another turn."""
        with self._changed:
            lost = [work for work in batch if id(work) in self._futures and work not in self._scheduler]
        self._fail(lost, error)

    def _fail(self, batch: list[Work], error: BaseException) -> None:
        for work in batch:
            with self._changed:
                future = self._futures.pop(id(work))
            if future.set_running_or_notify_cancel():
                future.set_exception(error)


def _let_go(error: BaseException | None) -> None:
    """Free what a failed call holds: the frames in its traceback, and in those of the errors behind it, keep every tensor alive
    that it had made, just when the memory is needed to go on."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__


def _beside(work: Work) -> Collection[str]:
    """Ids of the other models that a payload needs on the device beside its own. A payload that has any has a dict
    `beside` of them, and finds the models there while it is run."""
    named: Collection[str] = getattr(work.payload, "beside", ())
    return named
