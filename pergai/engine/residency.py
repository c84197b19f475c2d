"""Which models stay on the device: least recently used out first, within a budget. Pure."""

from __future__ import annotations

from collections import OrderedDict


class Residency:
    """The models on the device, by how recently they were used. `budget_mib` bounds their stated memory."""

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

    def victims(self, model: str, need_mib: int) -> list[str]:
        """Which models have to leave before `model` can come. One larger than the whole budget gets the device to
        itself."""
        if model in self._resident:
            return []
        leaving: list[str] = []
        free = self.budget_mib - self.used_mib
        for name, mib in self._resident.items():
            if free >= need_mib:
                break
            leaving.append(name)
            free += mib
        return leaving

    def enter(self, model: str, mib: int) -> None:
        self._resident[model] = mib

    def leave(self, model: str) -> None:
        self._resident.pop(model, None)

    def touch(self, model: str) -> None:
        self._resident.move_to_end(model)
