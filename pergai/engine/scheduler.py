"""What the device does next: fair between libraries, kind to loaded models, batched by model and shape.

Pure: no clock, no thread, no device. Fairness is by device seconds received (start-time fair queueing, Goyal et al. 1996):
the library that has had least goes first, and a library that was idle starts level with the busy ones instead of
saving up credit.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass, field
from typing import Any

PATIENCE = 8
"""How often the head of the queue may be passed over for work whose model is already loaded."""


@dataclass(slots=True, eq=False)
class Work:
    """One payload for one model."""

    job: str
    library: str
    model: str
    shape: Hashable
    """Work of the same model and shape may share a batch."""
    payload: Any
    urgent: bool = False
    """A client is waiting for this job."""
    order: int = field(default=0)
    passed_over: int = field(default=0)
    seconds: float = field(default=0.0)
    """Its share of the device's time so far."""


class Scheduler:
    """Holds the work that waits for the device."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[Work]] = {}
        self._received: dict[str, float] = {}
        self._floor = 0.0
        self._order = itertools.count()

    def __len__(self) -> int:
        return sum(len(queue) for queue in self._waiting.values())

    def add(self, work: Work) -> None:
        work.order = next(self._order)
        queue = self._waiting.setdefault(work.library, [])
        if not queue:
            self._received[work.library] = max(self._received.get(work.library, 0.0), self._floor)
        queue.append(work)
        queue.sort(key=lambda item: (not item.urgent, item.order))

    def put_back(self, work: Work) -> None:
        """Work that needs another turn keeps its place in the order."""
        queue = self._waiting.setdefault(work.library, [])
        queue.append(work)
        queue.sort(key=lambda item: (not item.urgent, item.order))

    def withdraw(self, job: str) -> list[Work]:
        """Take back everything of a job that has not started."""
        taken = [work for queue in self._waiting.values() for work in queue if work.job == job]
        for work in taken:
            self._take(work)
        return taken

    def next(self, loaded: Collection[str], max_batch: Callable[[str], int]) -> list[Work]:
        """The next batch, taken out of the queue; empty when nothing waits.

        Work whose model is not in `loaded` may be passed over PATIENCE times for work whose model is; so models are not
        loaded and dropped in turn, and nothing starves.
        """
        heads = sorted(
            (queue[0] for queue in self._waiting.values() if queue),
            key=lambda work: (not work.urgent, self._received[work.library], work.order),
        )
        if not heads:
            return []
        first = heads[0]
        if first.model not in loaded and first.passed_over < PATIENCE:
            other = next((work for work in heads if work.model in loaded), None)
            if other is not None:
                first.passed_over += 1
                first = other
        batch = [first]
        limit = max_batch(first.model)
        if limit > 1:
            alike = (
                work
                for queue in self._waiting.values()
                for work in queue
                if work is not first and work.model == first.model and work.shape == first.shape
            )
            ranked = sorted(alike, key=lambda work: (not work.urgent, self._received[work.library], work.order))
            batch += ranked[: limit - 1]
        for work in batch:
            self._take(work)
        return batch

    def charge(self, batch: Collection[Work], seconds: float) -> None:
        """Say how long the device worked on a batch; its libraries share the cost."""
        share = seconds / max(1, len(batch))
        for work in batch:
            self._received[work.library] = self._received.get(work.library, self._floor) + share
        busy = [self._received[library] for library, queue in self._waiting.items() if queue]
        if busy:
            self._floor = max(self._floor, min(busy))

    def _take(self, work: Work) -> None:
        queue = self._waiting[work.library]
        queue.remove(work)
        if not queue:
            del self._waiting[work.library]
