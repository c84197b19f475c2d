"""Who has had less of the device than is due to it, and what a turn costs. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

LEAD = 2.0
"""A library may be ahead by so many of the longest turns; what it got beyond that is not held against it."""
FORGET = 0.98
"""A turn weighs so much less than the one after it."""


class Shares:
    """How far each library that wants the device is behind.

    Of n libraries each is to do at least as well as if it had a device of its own at 1/n of the speed (generalised
    processor sharing, Parekh and Gallager 1993). Its lag is the device time that passed, over n, less what the work it
    got would have taken it alone: above 0 it is owed something. Who had nothing to do is owed nothing for it.
    """

    def __init__(self) -> None:
        self._lag: dict[str, float] = {}
        self._longest = 0.0

    def enter(self, library: str) -> None:
        """It has work now; nothing changes if it had some before."""
        self._lag.setdefault(library, 0.0)

    def lag(self, library: str) -> float:
        """Seconds; negative when it is ahead."""
        return self._lag[library]

    def most_behind(self, libraries: Collection[str]) -> str | None:
        """Whom the device owes most; None when it owes nobody, or there is only one."""
        if len(libraries) < 2:
            return None
        worst = max(libraries, key=lambda library: self._lag[library])
        return worst if self._lag[worst] > 0 else None

    def passed(self, seconds: float, alone: Mapping[str, float], waiting: Collection[str]) -> None:
        """A turn took `seconds`. `alone`: what each library in it would have taken by itself. Who is not `waiting` any more is
        forgotten, but for those that are ahead: they count until the others have caught up with them, or all is done."""
        self._longest = max(seconds, self._longest * FORGET)
        ahead = (library for library, lag in self._lag.items() if lag < 0)
        counted = {*waiting, *alone, *ahead}
        due = seconds / len(counted)
        lags = {library: self._lag[library] + due - alone.get(library, 0.0) for library in counted}
        kept = {library for library, lag in lags.items() if library in waiting or (waiting and lag < 0)}
        self._lag = {library: max(lags[library], -LEAD * self._longest) for library in kept}


@dataclass(slots=True)
class TurnCost:
    """Seconds of a turn by its size, learned: a line through the turns there were, the latest weighing most."""

    _weight: float = 0.0
    _size: float = 0.0
    _seconds: float = 0.0
    _size_squared: float = 0.0
    _size_seconds: float = field(default=0.0)

    def learn(self, size: int, seconds: float) -> None:
        self._weight = self._weight * FORGET + 1
        self._size = self._size * FORGET + size
        self._seconds = self._seconds * FORGET + seconds
        self._size_squared = self._size_squared * FORGET + size * size
        self._size_seconds = self._size_seconds * FORGET + size * seconds

    def of(self, size: int) -> float:
        """What a turn of this size would take: 0 as long as nothing is known, in proportion while only one size is."""
        if not self._weight:
            return 0.0
        size_mean, mean = self._size / self._weight, self._seconds / self._weight
        spread = self._size_squared / self._weight - size_mean**2
        steepest = mean / size_mean
        slope = (self._size_seconds / self._weight - size_mean * mean) / spread if spread > 1e-6 else steepest
        return mean + min(max(slope, 0.0), steepest) * (size - size_mean)
