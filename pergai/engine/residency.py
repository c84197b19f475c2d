"""Which models stay where: least recently used out first, within a budget. Pure. One of these keeps the device, another
the host's memory that models leave the device for."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection


class Residency:
    """Models, by how recently they were used. `budget_mib` bounds their stated memory."""

    def __init__(self, budget_mib: int) -> None:
        self.budget_mib = budget_mib
        self._resident: OrderedDict[str, int] = OrderedDict()

    @property
    def models(self) -> tuple[str, ...]:
        """Resident models, the least recently used first."""
        return tuple(self._resident)

    @property
    def used_mib(self) -> int:
        return sum(self._resident.values())

    def victims(self, model: str, need_mib: int, pinned: Collection[str] = ()) -> list[str]:
        """Which models have to leave before `model` can come; never the `pinned`, which are in use. One larger than what
        is left of the budget gets everything but those."""
        if model in self._resident:
            return []
        leaving: list[str] = []
        free = self.budget_mib - self.used_mib
        for name, mib in self._resident.items():
            if free >= need_mib:
                break
            if name not in pinned:
                leaving.append(name)
                free += mib
        return leaving

    def enter(self, model: str, mib: int) -> None:
        self._resident[model] = mib

    def leave(self, model: str) -> int:
        """Forget a model; what it had been stated to need, 0 when it was not here."""
        return self._resident.pop(model, 0)

    def touch(self, model: str) -> None:
        self._resident.move_to_end(model)
