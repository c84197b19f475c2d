"""Texture of the background, continued by quilting.

Image quilting (Efros and Freeman, SIGGRAPH 2001): blocks of the source's own detail are laid side by side, each chosen
to agree with what lies there already and with the light underneath, and joined along the path of least
difference. Blocks are chosen on a small copy of the picture and laid at full size, so detail and grain stay
the source's own.

All arrays of this module lie in one orientation: axis 0 runs along the source's border, axis 1 away from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Detail = npt.NDArray[np.float32]
"""(…, 3): pixels minus light, in levels of 255."""
Mask = npt.NDArray[np.bool_]

RANDOM, ALIGNED, FINAL = 600, 160, 12
"""Candidates a block: drawn anywhere, drawn from the same stretch of the border, compared in full."""
SAMPLES = 200
"""Pixels of the overlap that the first comparison looks at."""
REFINE = (8, 4, 2, 1)
"""Steps in pixels by which the best candidates are shifted until they fit: lines must meet to the pixel."""
HOME = 12.0
"""What it costs a block of a varied scene to come from the other end of it, in best matches."""
LIFT = 24.0
"""Levels of 255 that a block may be lifted by to meet its neighbours."""


@dataclass(frozen=True, slots=True)
class Bank:
    """Where blocks come from: the source. Its last column lies at the border."""

    detail: Detail
    """(along, away, 3)."""
    light: Detail
    usable: Mask
    """(along, away): background."""


@dataclass(frozen=True, slots=True)
class Copy:
    """One block of the bank laid on the strip, in pixels of the small copy."""

    source: tuple[int, int]
    target: tuple[int, int]
    cut: npt.NDArray[np.float32]
    """(height, width), 1 where the block covers what lay there before."""
    lift: npt.NDArray[np.float16]
    """(height, width, 3): smooth, added to the block so that it meets its neighbours without a step."""


@dataclass(frozen=True, slots=True)
class Strip:
    """What is to be filled, and the border it grows from."""

    border: Detail
    """(along, overlap, 3): what lies inside the border, which the strip's first columns overlap."""
    known: Mask
    """(along, overlap): where that is background."""
    light: Detail
    """(along, overlap + depth, 3)."""
    origin: int
    """Where along the border the bank's first row lies."""
    keep_rows: bool
    """Blocks should come from their own height: wall stays beside wall, ground beside ground."""


def overlap_of(block: int) -> int:
    """How far neighbouring blocks lie over each other."""
    return max(3, block // 3)


def block_positions(usable: Mask, block: int) -> npt.NDArray[np.int64]:
    """(n, 2): along, away of every place where a whole block is usable."""
    if min(usable.shape) < block:
        return np.zeros((0, 2), dtype=np.int64)
    bad = np.pad((~usable).astype(np.int32), ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    count = bad[block:, block:] - bad[:-block, block:] - bad[block:, :-block] + bad[:-block, :-block]
    return np.argwhere(count == 0)


def quilt(bank: Bank, strip: Strip, block: int, rng: np.random.Generator) -> list[Copy]:
    """Choose the blocks of a strip. `block` must fit: `block_positions` is not empty."""
    overlap = overlap_of(block)
    step = block - overlap
    along, reach = strip.light.shape[:2]
    picker = _Picker(bank, strip, block)
    canvas = np.zeros((along, reach, 3), dtype=np.float32)
    filled = np.zeros((along, reach), dtype=bool)
    copies: list[Copy] = []
    placed: dict[tuple[int, int], tuple[int, int]] = {}
    for away in range(0, max(1, reach - overlap), step):
        for t in range(0, max(1, along - overlap), step):
            window = np.s_[t : t + block, away : away + block]
            target, seen = canvas[window].copy(), filled[window].copy()
            if away == 0:
                width = strip.border.shape[1]
                target[:, :width] = strip.border[t : t + block]
                seen[:, :width] = strip.known[t : t + block]
            near = [
                (source[0] + t - at[0], source[1] + away - at[1])
                for at in ((t - step, away), (t, away - step))
                if (source := placed.get(at)) is not None
            ]
            source = placed[(t, away)] = picker.pick(target, seen, (t, away), near, rng)
            height, width = seen.shape
            patch = bank.detail[source[0] : source[0] + height, source[1] : source[1] + width]
            difference = np.where(seen[..., None], target - patch, np.float32(0))
            lift = _lift(difference, seen, block)
            error = ((difference - lift) ** 2).sum(axis=-1) * seen
            cut = _cut(error, filled[window], overlap, across=away > 0, along=t > 0)
            canvas[window] += cut[..., None] * (patch + lift - canvas[window])
            filled[window] = True
            copies.append(Copy(source, (t, away), cut, lift.astype(np.float16)))
    return copies


class _Picker:
    """Compares candidate blocks of the bank with a place on the strip."""

    def __init__(self, bank: Bank, strip: Strip, block: int) -> None:
        self.bank, self.strip, self.block = bank, strip, block
        self.overlap = overlap_of(block)
        self.positions = p = block_positions(bank.usable, block)
        self.index = np.full(bank.usable.shape, -1, dtype=np.int64)
        self.index[p[:, 0], p[:, 1]] = np.arange(len(p))
        self.flat = np.ascontiguousarray(bank.detail.reshape(-1, 3))
        self.light = self._means(bank.light)
        self.energy = np.log(self._means((bank.detail**2).mean(axis=-1, keepdims=True))[:, 0] + 1.0)
        self.used, self.gain = np.zeros(bank.usable.shape), 1.0
        # A scene of many things (wall, table, void) keeps blocks near where they came from; one ground need not.
        colour = self.light + self._means(bank.detail)
        between = float(colour.std(axis=0).mean())
        within = float(np.sqrt(np.exp(self.energy).mean()))
        self.home = HOME * min(1.0, max(0.0, between / (within + 4.0) - 0.25))

    def _means(self, plane: Detail) -> npt.NDArray[np.float32]:
        """Means of every candidate block."""
        centre = self.block // 2
        size = (self.block, self.block, 0)
        blurred = ndimage.uniform_filter(plane, size, mode="nearest")
        return np.asarray(blurred[self.positions[:, 0] + centre, self.positions[:, 1] + centre])

    def pick(
        self,
        target: Detail,
        seen: Mask,
        at: tuple[int, int],
        near: Sequence[tuple[int, int]],
        rng: np.random.Generator,
    ) -> tuple[int, int]:
        """The place of the bank whose block fits best at this place of the strip."""
        p, block = self.positions, self.block
        home = at[0] - self.strip.origin
        drawn = [rng.integers(0, len(p), RANDOM)]
        low, high = np.searchsorted(p[:, 0], [home - 1, home + 2])
        if high > low:
            drawn.append(rng.integers(low, high, ALIGNED))
        if self.home > 0.25 * HOME:  # going on where a neighbour left off keeps things whole, but repeats a ground
            drawn.append(self._find(np.array(near, dtype=np.int64).reshape(-1, 2)))
        pool = np.unique(np.concatenate(drawn))
        light = self.strip.light[at[0] : at[0] + block, at[1] : at[1] + block].mean(axis=(0, 1))

        ys, xs = np.nonzero(seen)
        if not len(ys):
            blind = ((self.light[pool] - light) ** 2).mean(axis=-1) / 8.0 + self._prior(pool, home)
            return self._take(pool[int(np.argmin(blind))])
        energy = float(np.log((target[ys, xs] ** 2).mean() + 1.0))
        weight = np.ones(len(ys), dtype=np.float32)
        if at[1] == 0:  # no cut can hide a misfit at the source itself, so what lies next to it counts most
            beside = np.exp((xs - self.strip.border.shape[1] + 1) * np.float32(4.0 / self.overlap))
            weight = np.where(xs < self.strip.border.shape[1], beside, np.float32(0.25)).astype(np.float32)
        weight /= weight.sum()
        take = rng.choice(len(ys), min(SAMPLES, len(ys)), replace=False, p=weight / weight.sum(dtype=np.float64))
        even = np.full(len(take), 1.0 / len(take), dtype=np.float32)
        match = self._difference(pool, ys[take], xs[take], target, even)

        def cost(match: npt.NDArray[np.float32], pool: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
            scale = float(match.min()) + 0.5
            guide = ((self.light[pool] - light) ** 2).mean(axis=-1) / (2.0 * scale + 8.0)
            likeness = 0.8 * (self.energy[pool] - energy) ** 2
            return np.asarray(match / scale + guide + likeness + self._prior(pool, home))

        for radius in REFINE:
            around = self._around(pool[np.argsort(cost(match, pool), kind="stable")[:8]], radius)
            around = around[~np.isin(around, pool)]
            match = np.concatenate([match, self._difference(around, ys[take], xs[take], target, even)])
            pool = np.concatenate([pool, around])
        pool = pool[np.argsort(cost(match, pool), kind="stable")[:FINAL]]
        return self._take(pool[int(np.argmin(cost(self._difference(pool, ys, xs, target, weight), pool)))])

    def _prior(self, pool: npt.NDArray[np.int64], home: int) -> npt.NDArray[np.float32]:
        """What a candidate costs for where it lies and how often it was used."""
        along, away = self.bank.usable.shape
        p = self.positions[pool]
        aside = (p[:, 0] - home) / along
        inward = (away - self.block - p[:, 1]) / away
        weight = max(self.home, 8.0 if self.strip.keep_rows else 0.0)
        return np.asarray(
            1.5 * self.used[p[:, 0], p[:, 1]] / self.gain + weight * aside**2 + self.home * inward**2, dtype=np.float32
        )

    def _find(self, places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Numbers of those of these places (along, away) where a block fits."""
        inside = ((places >= 0) & (places < self.index.shape)).all(axis=1)
        found = self.index[tuple(places[inside].T)]
        return np.asarray(found[found >= 0])

    def _around(self, pool: npt.NDArray[np.int64], radius: int) -> npt.NDArray[np.int64]:
        """The eight neighbours of each candidate at this distance."""
        ring = [(i * radius, j * radius) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]
        places = self.positions[pool][:, None, :] + np.array(ring)[None, :, :]
        return np.unique(self._find(places.reshape(-1, 2)))

    def _difference(
        self,
        pool: npt.NDArray[np.int64],
        ys: npt.NDArray[np.int64],
        xs: npt.NDArray[np.int64],
        target: Detail,
        weight: npt.NDArray[np.float32],
    ) -> npt.NDArray[np.float32]:
        """Mean squared difference of each candidate at these pixels of the overlap; weights sum to one."""
        columns = self.bank.usable.shape[1]
        base = self.positions[pool] @ np.array([columns, 1])
        found = self.flat.take(base[:, None] + (ys * columns + xs)[None, :], axis=0)
        found -= target[ys, xs]
        np.square(found, out=found)
        return np.asarray(found.reshape(len(pool), 3 * len(ys)) @ np.repeat(weight / 3.0, 3), dtype=np.float32)

    def _take(self, winner: np.int64) -> tuple[int, int]:
        """Make a used place and its surroundings dearer for a while."""
        along, away = (int(at) for at in self.positions[winner])
        reach = self.block
        top, left = max(0, along - reach), max(0, away - reach)
        y, x = np.ogrid[top : along + reach, left : away + reach]
        near = self.used[top : along + reach, left : away + reach]
        self.gain /= 0.98  # new wear counts more instead of all old wear less
        y, x = y[: near.shape[0]], x[:, : near.shape[1]]
        near += self.gain * np.exp(-((y - along) ** 2 + (x - away) ** 2) / (0.5 * reach) ** 2)
        return along, away


def _lift(difference: Detail, seen: Mask, block: int) -> Detail:
    """A smooth field that takes a block to its neighbours: their difference in the overlap, fading out of it."""
    width = max(1.0, block / 6)
    size = (width, width, 0)
    mass = ndimage.gaussian_filter(seen.astype(np.float32)[..., None], size, mode="nearest", truncate=3.0)
    total = ndimage.gaussian_filter(np.clip(difference, -LIFT, LIFT), size, mode="nearest", truncate=3.0)
    return np.asarray(total / (mass + 0.03))


def _cut(
    error: npt.NDArray[np.float32], filled: Mask, overlap: int, *, across: bool, along: bool
) -> npt.NDArray[np.float32]:
    """Where the new block covers the old, along paths of least difference through its overlaps."""
    cover = np.ones(error.shape, dtype=bool)
    if across and error.shape[1] > overlap:
        cover &= _path(error[:, :overlap], error.shape[1])
    if along and error.shape[0] > overlap:
        cover &= _path(error[:overlap].T, error.shape[0]).T
    soft = ndimage.gaussian_filter(cover.astype(np.float32), 0.6, mode="nearest")
    return np.where(filled, soft, 1.0).astype(np.float32)


def _path(error: npt.NDArray[np.float32], width: int) -> Mask:
    """The minimum error boundary cut down a column of pixels: True to the right of it."""
    rows, columns = error.shape
    padded = np.full((rows, columns + 2), np.inf)
    total = padded[:, 1:-1]
    total[:] = error
    for row in range(1, rows):
        above = padded[row - 1]
        total[row] += np.minimum(np.minimum(above[:-2], above[1:-1]), above[2:])
    path = np.empty(rows, dtype=np.int64)
    path[-1] = int(np.argmin(total[-1]))
    for row in range(rows - 2, -1, -1):
        low = max(0, path[row + 1] - 1)
        path[row] = low + int(np.argmin(total[row, low : path[row + 1] + 2]))
    return np.arange(width)[None, :] >= path[:, None]


def lay(copies: Sequence[Copy], bank: Detail, size: tuple[int, int], zoom: int) -> Detail:
    """Lay the chosen blocks at full size: (along, overlap + depth, 3), `zoom` pixels to one of the small copy."""
    canvas = np.zeros((*size, 3), dtype=np.float32)
    for copy in copies:
        t, away = copy.target[0] * zoom, copy.target[1] * zoom
        a, d = copy.source[0] * zoom, copy.source[1] * zoom
        window = canvas[t : t + copy.cut.shape[0] * zoom, away : away + copy.cut.shape[1] * zoom]
        height, width = window.shape[:2]
        # About two pixels soft at any size, so that grain keeps its strength across the cut.
        cut = copy.cut if zoom == 1 else np.clip((_enlarge(copy.cut, zoom) - 0.5) * (zoom * 0.75) + 0.5, 0.0, 1.0)
        patch = bank[a : a + height, d : d + width] + _enlarge(copy.lift.astype(np.float32), zoom)[:height, :width]
        window += cut[:height, :width, None] * (patch - window)
    return canvas


def _enlarge(plane: npt.NDArray[np.float32], zoom: int) -> npt.NDArray[np.float32]:
    """Linear interpolation of the first two axes to `zoom` times the size."""
    for axis in (0, 1) if zoom > 1 else ():
        count = plane.shape[axis]
        at = np.clip((np.arange(count * zoom) + 0.5) / zoom - 0.5, 0, count - 1)
        low = np.minimum(at.astype(int), max(0, count - 2))
        shape = [1] * plane.ndim
        shape[axis] = -1
        share = (at - low).astype(np.float32).reshape(shape)
        high = np.minimum(low + 1, count - 1)
        plane = np.take(plane, low, axis) * (1 - share) + np.take(plane, high, axis) * share
    return plane
