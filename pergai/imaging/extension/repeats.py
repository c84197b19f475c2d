"""What of a source was laid where: a piece that is seen twice is noticed the sooner, the nearer its copies lie.

All arrays of this module lie in one orientation: axis 0 runs along the source's border, axis 1 away from it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Places = npt.NDArray[np.int64]
Costs = npt.NDArray[np.float32]

ONCE = 0.15
"""Shift of two copies against each other, in blocks, up to which they are one piece that goes on."""
FAR = 5.0
"""Distance of two copies, in blocks, at which they are noticed a third as much as side by side."""

MOST = 3.0
"""Copies that so many more cost at most: who has little to show repeats it rather than show what does not belong."""


class Repeats:
    """The pieces laid so far, and what it costs to show one of them again.

    `block`: their side in pixels; `own`: (along, away), where the source itself lies on what is filled: it shows every
    piece once.
    """

    def __init__(self, block: int, own: tuple[int, int]) -> None:
        self._block = block
        self._own = np.array(own, dtype=np.float32)
        self._sources: list[tuple[int, int]] = []
        self._shifts: list[tuple[int, int]] = []

    def lay(self, source: tuple[int, int], target: tuple[int, int]) -> None:
        """Note a piece of the source, by its first pixel, and where it was laid."""
        self._sources.append(source)
        self._shifts.append((target[0] - source[0], target[1] - source[1]))

    def cost(self, sources: Places, target: tuple[int, int]) -> Costs:
        """For each of these pieces (n, 2), were it laid at this target: the number of copies near by, each by the share of
        the piece that it shows."""
        shifts = np.asarray(target, dtype=np.float32) - sources.astype(np.float32)
        total = self._noticed(np.hypot(*(shifts - self._own).T))
        if self._sources:
            block = np.float32(self._block)
            laid, moved = (np.array(pairs, dtype=np.float32) for pairs in (self._sources, self._shifts))
            share = np.ones((len(sources), len(laid)), dtype=np.float32)
            for axis in (0, 1):
                share *= np.maximum(1.0 - np.abs(sources[:, None, axis] - laid[None, :, axis]) / block, 0.0)
            distance = np.hypot(*(shifts[:, None, axis] - moved[None, :, axis] for axis in (0, 1)))
            total += (share * self._noticed(distance)).sum(axis=1)
        return np.asarray(total / (1.0 + total / MOST), dtype=np.float32)

    def _noticed(self, distance: Costs) -> Costs:
        blocks = distance / np.float32(self._block)
        return np.asarray((1.0 - np.exp(-((blocks / ONCE) ** 2))) * np.exp(-blocks / FAR), dtype=np.float32)
