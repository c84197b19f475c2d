"""What the device does next: batched by model and shape, fair between libraries, kind to loaded models, nobody left behind.

Pure: no clock, no thread, no device; time is what `charge` is told. A turn is one call of a model with a batch. The library
that is furthest behind its share decides which batch runs (`fairness.py`); where nobody is behind, the batch whose
work has waited longest for the least that is left of it (age² over turns left); but before a turn that would make the end of
another library's work late, that work. Nearly everything joins the very next turn of its model and shape. Loading a model, or
setting one up otherwise (LoRAs), takes the device from everybody: what needs it waits until that pays.
"""

from __future__ import annotations

import heapq
import itertools
import math
from bisect import insort
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, NamedTuple

from pergai.engine.fairness import Shares, TurnCost

PATIENCE = 32
"""How many turns work of one model and shape may be passed over for another."""
RELOAD = 4.0
"""Work for a model that would have to be loaded waits so many times the load's seconds while others have work: then at least
four fifths of the time go into work, not into loading."""
LONGEST_SETUP = 10.0
"""A model keeps its setup for RELOAD times the seconds that a change takes, but no longer than this, while there is work
for it and work for another."""
UNKNOWN_LOAD = 1.0
"""Seconds, for a model that was never loaded."""
URGENT = 60.0
"""Work that a client waits for counts as this many seconds older."""
NEWCOMER = 0.2
"""Seconds of age that work comes with."""
LOOKAHEAD = 64
"""How much of one library's work of one kind is looked at: the oldest."""

_order = attrgetter("order")


class Kind(NamedTuple):
    """What may share a batch."""

    model: str
    shape: Hashable
    setup: Hashable


@dataclass(slots=True, eq=False)
class Work:
    """One payload for one model."""

    job: str
    library: str
    model: str
    shape: Hashable
    """Work of the same model, shape and setup may share a batch."""
    payload: Any
    setup: Hashable = None
    """How the model must be set up for it; another setup takes the model some time."""
    urgent: bool = False
    """A client is waiting for this job."""
    turns: int = 1
    """About how many turns it needs still."""
    order: int = field(default=0)
    since: float = field(default=0.0)
    """When it came, in device seconds."""
    seconds: float = field(default=0.0)
    """Its share of the device's time so far."""

    @property
    def kind(self) -> Kind:
        return Kind(self.model, self.shape, self.setup)


@dataclass(slots=True)
class Setup:
    """How a loaded model is set up."""

    worn: Hashable
    since: float
    """Device seconds."""
    change_seconds: float = 0.0
    """What the last change took."""


class Scheduler:
    """Holds the work that waits for the device."""

    def __init__(self) -> None:
        self._waiting: dict[Kind, dict[str, list[Work]]] = {}
        self._absorbed: dict[str, Work] = {}
        self._passed_over: Counter[Kind] = Counter()
        self._shares = Shares()
        self._costs: defaultdict[tuple[str, Hashable], TurnCost] = defaultdict(TurnCost)  # whatever the setup
        self._load_seconds: dict[str, float] = {}
        self._loading = ""
        self._setups: dict[str, Setup] = {}
        self._changing = False
        self._last_turn: dict[str, float] = {}
        self._now = 0.0
        self._order = itertools.count()

    def __len__(self) -> int:
        return sum(len(queue) for queues in self._waiting.values() for queue in queues.values())

    def __contains__(self, work: Work) -> bool:
        return work in self._waiting.get(work.kind, {}).get(work.library, ())

    def add(self, work: Work) -> None:
        work.order, work.since = next(self._order), self._now
        self._insert(work)

    @property
    def absorbed(self) -> Mapping[str, Work]:
        """Models that have begun some work and take no other before it is done, and which."""
        return dict(self._absorbed)

    def put_back(self, work: Work, *, absorbs: bool = False) -> None:
        """Work that needs another turn keeps its place in the order. `absorbs`: its model takes no other before it is done."""
        work.turns = max(1, work.turns - 1)
        if absorbs:
            self._absorbed[work.model] = work
        self._insert(work)

    def withdraw(self, job: str) -> list[Work]:
        """Take back everything of a job that is not in a turn."""
        taken = [work for work in self._all() if work.job == job]
        for work in taken:
            self._take(work)
        return taken

    def next(self, loaded: Collection[str], max_batch: Callable[[str], int]) -> list[Work]:
        """The next batch, taken out of the queue; empty when nothing waits."""
        kinds = self._ready(loaded)
        if not kinds:
            return []
        libraries = {library for kind in kinds for library in self._open(kind)}
        batch = self._chosen(kinds, self._shares.most_behind(libraries), max_batch)
        if (first := self._nearly_done(batch, libraries, kinds)) is not None:
            batch = self._chosen(kinds, first, max_batch)
        batch = self._bearable(batch, len(libraries))
        for work in batch:
            self._take(work)
        self._remember(batch[0].kind, loaded)
        return batch

    def charge(self, batch: Sequence[Work], seconds: float, setup_seconds: float = 0.0) -> None:
        """Say how long the device worked on the last batch, once what needs another turn is back; `setup_seconds` of them
        went by before its model was set up for it."""
        self._now += seconds
        self._last_turn[batch[0].model] = self._now
        kind, rows = batch[0].kind, Counter(work.library for work in batch)
        cost = self._costs[kind.model, kind.shape]
        if self._loading:
            self._load_seconds[self._loading] = seconds
        else:
            cost.learn(len(batch), seconds - setup_seconds)
        if self._changing:
            setup = self._setups[kind.model]
            setup.since, setup.change_seconds = self._now, setup_seconds
        alone = {library: min(seconds, cost.of(count)) for library, count in rows.items()}
        if len(rows) == 1:
            alone = dict.fromkeys(rows, seconds)
        self._shares.passed(seconds, alone, {library for queues in self._waiting.values() for library in queues})

    # --- choosing ----------------------------------------------------------------------------------

    def _ready(self, loaded: Collection[str]) -> list[Kind]:
        """The kinds that may run now: those of loaded models as they are set up, and others whose patience is at its end."""
        waiting = [kind for kind in self._waiting if self._open(kind)]
        at_hand = {kind for kind in waiting if kind.model in loaded and self._is_set_up(kind)}
        held = {kind.model for kind in at_hand if not self._may_change(kind.model)}
        ready = [
            kind
            for kind in waiting
            if kind in at_hand or (kind.model not in held if kind.model in loaded else self._worth_loading(kind))
        ]
        return ready or waiting

    def _open(self, kind: Kind) -> Mapping[str, list[Work]]:
        """What waits of a kind and may have the next turn, by library."""
        only = self._absorbed.get(kind.model)
        if only is None:
            return self._waiting[kind]
        return {only.library: [only]} if only.kind == kind else {}

    def _is_set_up(self, kind: Kind) -> bool:
        setup = self._setups.get(kind.model)
        return setup is None or setup.worn == kind.setup

    def _may_change(self, model: str) -> bool:
        setup = self._setups.get(model)
        return setup is None or self._now - setup.since >= min(LONGEST_SETUP, RELOAD * setup.change_seconds)

    def _worth_loading(self, kind: Kind) -> bool:
        came = min(queue[0].since for queue in self._waiting[kind].values())
        waited = self._now - max(came, self._last_turn.get(kind.model, 0.0))
        return waited >= RELOAD * self._load_seconds.get(kind.model, UNKNOWN_LOAD)

    def _chosen(self, kinds: Sequence[Kind], library: str | None, max_batch: Callable[[str], int]) -> list[Work]:
        """The most pressing batch: of those with work of the `library`, if one is given."""
        if library is not None:
            kinds = [kind for kind in kinds if library in self._open(kind)]
        overdue = [kind for kind in kinds if self._passed_over[kind] >= PATIENCE]
        batches = [self._batch(kind, max_batch(kind.model)) for kind in overdue or kinds]
        return max(batches, key=lambda rows: sum(map(self._pressing, rows)))

    def _nearly_done(self, batch: list[Work], libraries: set[str], kinds: Sequence[Kind]) -> str | None:
        """A library whose last work would be late after this turn, in which it has none: a turn cannot be interrupted, so it goes
        first. That is paid back: whoever leaves ahead of its share counts until the others have caught up."""
        count = len(libraries)
        turn = self._costs[batch[0].model, batch[0].shape].of(len(batch))
        left: dict[str, float] = {}
        for library in libraries - {work.library for work in batch}:
            left[library] = self._left(library, kinds, (turn + count * self._shares.lag(library)) / (count - 1))
        first = min(left, key=left.__getitem__, default=None)
        return None if first is None or left[first] == math.inf else first

    def _left(self, library: str, kinds: Sequence[Kind], limit: float) -> float:
        """Seconds that all work of the library would take one after another; infinite from `limit` on, and where it is not known
        or waits for something else than its turn."""
        left = 0.0
        for kind, queues in self._waiting.items():
            alone = self._costs[kind.model, kind.shape].of(1)
            for work in queues.get(library, ()):
                left += alone * work.turns if alone and kind in kinds else math.inf
                if left >= limit:
                    return math.inf
        return left

    def _batch(self, kind: Kind, limit: int) -> list[Work]:
        """Each library's most pressing work, then each one's second, and so on: those that are behind come first."""
        ranked: list[tuple[int, float, int, Work]] = []
        for library, queue in self._open(kind).items():
            lag = self._shares.lag(library)
            pressing = heapq.nlargest(limit, queue[:LOOKAHEAD], key=self._pressing)
            ranked += [(place, -lag, work.order, work) for place, work in enumerate(pressing)]
        return [work for *_, work in sorted(ranked)[:limit]]

    def _pressing(self, work: Work) -> float:
        age = self._now - work.since + (URGENT if work.urgent else NEWCOMER)
        return age * age / work.turns

    def _bearable(self, batch: list[Work], libraries: int) -> list[Work]:
        """The batch without the rows that would make it too long for the library in it that can bear least. The first row of
        each that is behind stays: together they are no longer than one after another."""
        rows = Counter(work.library for work in batch)
        if len(rows) == 1:
            return batch
        cost = self._costs[batch[0].model, batch[0].shape]
        room = {library: cost.of(count) - self._shares.lag(library) for library, count in rows.items()}
        weakest = min(room, key=lambda library: room[library])
        own = [work for work in batch if work.library == weakest]
        others = [work for work in batch if work.library != weakest]
        owed = len({work.library for work in others if self._shares.lag(work.library) > 0})
        while len(others) > owed and cost.of(len(own) + len(others)) > libraries * room[weakest] + 1e-9:
            others.pop()
        return own + others

    def _remember(self, chosen: Kind, loaded: Collection[str]) -> None:
        self._loading = "" if chosen.model in loaded else chosen.model
        self._changing = not self._loading and not self._is_set_up(chosen)
        if self._loading or chosen.model not in self._setups:
            self._setups[chosen.model] = Setup(chosen.setup, self._now)
        self._setups[chosen.model].worn = chosen.setup
        self._passed_over = Counter({kind: self._passed_over[kind] + 1 for kind in self._waiting})
        self._passed_over[chosen] = 0

    # --- the queues --------------------------------------------------------------------------------

    def _all(self) -> Iterator[Work]:
        return (work for queues in self._waiting.values() for queue in queues.values() for work in queue)

    def _insert(self, work: Work) -> None:
        self._shares.enter(work.library)
        insort(self._waiting.setdefault(work.kind, {}).setdefault(work.library, []), work, key=_order)

    def _take(self, work: Work) -> None:
        if self._absorbed.get(work.model) is work:
            del self._absorbed[work.model]
        queues = self._waiting[work.kind]
        queues[work.library].remove(work)
        if not queues[work.library]:
            del queues[work.library]
        if not queues:
            del self._waiting[work.kind]
