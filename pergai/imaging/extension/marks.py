"""Marks of a ground: a knot, a scratch, a joint, a fallen leaf. Texture may come again, a mark that does is noticed.

All arrays of this module lie in one orientation: axis 0 runs along the source's border, axis 1 away from it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Plane = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

RARE = 95
"""Percentile of the texture's own swing, which marks are measured by: what covers more of a ground is its texture."""
STANDS_OUT = 1.25
"""Times that swing at which a mark begins; 2.5 standard deviations of plain noise."""
GRAIN = 1.2
"""Levels of 255 below which nothing is seen to stand out."""
KNOWN_BY = 24.0
"""Pixels, weighted by how far they stand out, by which a mark is known again."""
FIRST = 0.3
"""What it costs to show a mark for the first time, as a share of every later time."""


def stand_out(detail: npt.NDArray[np.float32], usable: Mask, block: int) -> Plane:
    """How far each pixel stands out of its surroundings, in brightness or colour: 0 for texture, (along, away).

    `detail`: (along, away, 3), levels of 255; `block`: pixels of a piece of the texture.
    """
    share = usable.astype(np.float32)
    size = (block / 7.0, block / 7.0, 0.0)
    around = _blur(share[..., None], size) + np.float32(0.01)
    seen = detail * share[..., None]
    band = (_blur(seen, (0.8, 0.8, 0.0)) - _blur(seen, size) / around) * share[..., None]
    grey = band.mean(axis=-1, keepdims=True)
    kinds = np.abs(grey[..., 0]), np.sqrt(((band - grey) ** 2).mean(axis=-1))
    far = [kind / (_swing(kind, usable, block) * np.float32(STANDS_OUT)) - 1.0 for kind in kinds]
    return np.asarray(np.maximum(np.maximum(*far), 0.0), dtype=np.float32)


def apart(detail: npt.NDArray[np.float32], usable: Mask, block: int) -> Mask:
    """The marks of a strip inside the border that do not reach it (its last column), (along, away)."""
    labels, count = ndimage.label(stand_out(detail, usable, block) > 0.0)
    alone = np.ones(count + 1, dtype=bool)
    alone[labels[:, -2:]] = False
    alone[0] = False
    return np.asarray(alone[labels])


def _swing(band: Plane, usable: Mask, block: int) -> Plane:
    """How far the texture around each pixel swings, in levels of 255."""
    step = max(2, block // 12)
    sparse, seen = band[::step, ::step], usable[::step, ::step]
    if not seen.any():
        return np.full_like(band, GRAIN)
    filled = np.where(seen, sparse, np.percentile(sparse[seen], RARE))
    coarse = ndimage.percentile_filter(filled, RARE, size=max(3, 2 * block // step), mode="nearest")
    whole = np.repeat(np.repeat(coarse, step, axis=0), step, axis=1)[: band.shape[0], : band.shape[1]]
    return _blur(whole, (block / 4.0, block / 4.0)) + np.float32(GRAIN)


def _blur(plane: Plane, size: tuple[float, ...]) -> Plane:
    return np.asarray(ndimage.gaussian_filter(plane, size, mode="nearest", truncate=3.0))


class Wear:
    """How often each mark was shown, and so what it costs to show it again, and how much of it is left.

    `marks`: (along, away), see `stand_out`; `uses`: (along, away), how often each pixel was laid: changed in place, so
    that the sides of a source share it.
    """

    def __init__(self, marks: Plane, uses: npt.NDArray[np.float32], block: int) -> None:
        self._marks, self._uses, self._block = marks, uses, block
        self.cost = self._sums(marks * (FIRST + uses))
        """(along, away): of a block with this corner."""

    def show(self, at: tuple[int, int], size: tuple[int, int]) -> Plane:
        """Lay a block, and answer what is left of its detail, (along, away) of this size: marks that were shown before
        sink into the texture."""
        block = self._block
        window = np.s_[at[0] : at[0] + block, at[1] : at[1] + block]
        again = self._marks[window] * (self._uses[window] > 0)
        self._uses[window] += 1.0
        top, left = max(0, at[0] - block), max(0, at[1] - block)
        around = np.s_[top : at[0] + 2 * block, left : at[1] + 2 * block]
        sums = self._sums(self._marks[around] * (FIRST + self._uses[around]))
        self.cost[top : at[0] + block, left : at[1] + block] = sums[: at[0] + block - top, : at[1] + block - left]
        sunk = _blur(ndimage.maximum_filter(again, 5), (1.5, 1.5))
        return np.asarray(1.0 / (1.0 + sunk[: size[0], : size[1]]), dtype=np.float32)

    def _sums(self, plane: Plane) -> Plane:
        """Over the block that begins at each pixel."""
        total = np.pad(plane, ((1, self._block), (1, self._block))).cumsum(axis=0).cumsum(axis=1)
        block = self._block
        sums = total[block:, block:] - total[:-block, block:] - total[block:, :-block] + total[:-block, :-block]
        return np.asarray(sums[:-1, :-1] / KNOWN_BY, dtype=np.float32)
