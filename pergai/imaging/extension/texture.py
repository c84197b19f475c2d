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

RANDOM, ALIGNED, FINAL = 360, 160, 12
"""Candidates a block: drawn anywhere, drawn from the same stretch of the border, compared in full."""
REFINE = (8, 4, 2, 1)
"""Steps in pixels by which the best candidates are shifted until they fit: lines must meet to the pixel."""
SAMPLES = 260
"""Pixels of the overlap that the first comparison looks at."""


@dataclass(frozen=True, slots=True)
class Bank:
    """Where blocks come from: versions of the source (as it is, mirrored)."""

    detail: Detail
    """(versions, along, away, 3)."""
    light: Detail
    usable: Mask
    """(versions, along, away): background."""


@dataclass(frozen=True, slots=True)
class Copy:
    """One block of the bank laid on the strip, in pixels of the small copy."""

    version: int
    source: tuple[int, int]
    target: tuple[int, int]
    cut: npt.NDArray[np.float32]
    """(height, width), 1 where the block covers what lay there before."""
    lift: npt.NDArray[np.float32]
    """(3,): added to the block, so that its mean agrees with its neighbours'."""


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
    return max(3, block // 3)


def block_positions(usable: Mask, block: int) -> npt.NDArray[np.int64]:
    """(n, 3): version, along, away of every place where a whole block is usable."""
    if min(usable.shape[1:]) < block:
        return np.zeros((0, 3), dtype=np.int64)
    bad = np.pad((~usable).astype(np.int32), ((0, 0), (1, 0), (1, 0))).cumsum(axis=1).cumsum(axis=2)
    count = bad[:, block:, block:] - bad[:, :-block, block:] - bad[:, block:, :-block] + bad[:, :-block, :-block]
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
    placed: dict[tuple[int, int], tuple[int, int, int]] = {}
    for away in range(0, max(1, reach - overlap), step):
        first = away == 0
        for t in range(0, max(1, along - overlap if along > block else 1), step):
            window = np.s_[t : t + block, away : away + block]
            target, seen = canvas[window].copy(), filled[window].copy()
            if first:
                width = min(overlap, target.shape[1])
                target[:, :width] = strip.border[t : t + block, :width]
                seen[:, :width] = strip.known[t : t + block, :width]
            near = [
                (v, a + (t - pt), d + (away - pd))
                for (pt, pd) in ((t - step, away), (t, away - step))
                if (pt, pd) in placed
                for (v, a, d) in [placed[(pt, pd)]]
            ]
            chosen = picker.pick(target, seen, (t, away), near, rng)
            placed[(t, away)] = chosen
            version, a, d = chosen
            height, width = seen.shape
            patch = bank.detail[version, a : a + height, d : d + width]
            difference = np.where(seen[..., None], target - patch, 0.0)
            lift = 0.7 * difference.sum(axis=(0, 1)) / max(1, int(seen.sum()))
            error = ((difference - lift) ** 2).sum(axis=-1) * seen
            cut = _cut(error, filled[window], overlap, across=not first, along=t > 0)
            canvas[window] += cut[..., None] * (patch + lift - canvas[window])
            filled[window] = True
            copies.append(Copy(version, (a, d), (t, away), cut, lift.astype(np.float32)))
    return copies


class _Picker:
    """Compares candidate blocks of the bank with a place on the strip."""

    def __init__(self, bank: Bank, strip: Strip, block: int) -> None:
        self.bank, self.strip, self.block = bank, strip, block
        self.positions = block_positions(bank.usable, block)
        order = np.argsort(self.positions[:, 1], kind="stable")
        self.positions = self.positions[order]
        self.flat = np.ascontiguousarray(bank.detail.reshape(-1, 3))
        centre = block // 2
        blurred = ndimage.uniform_filter(bank.light, (0, max(1, block // 2), max(1, block // 2), 0), mode="nearest")
        p = self.positions
        self.light = blurred[p[:, 0], p[:, 1] + centre, p[:, 2] + centre]
        self.used = np.zeros(len(p), dtype=np.float32)
        self.index = np.full(bank.usable.shape, -1, dtype=np.int64)
        self.index[p[:, 0], p[:, 1], p[:, 2]] = np.arange(len(p))

    def pick(
        self,
        target: Detail,
        seen: Mask,
        at: tuple[int, int],
        near: Sequence[tuple[int, int, int]],
        rng: np.random.Generator,
    ) -> tuple[int, int, int]:
        bank, p = self.bank, self.positions
        home = at[0] - self.strip.origin
        drawn = [rng.integers(0, len(p), RANDOM)]
        low, high = np.searchsorted(p[:, 1], [home - 1, home + 2])
        if high > low:
            drawn.append(rng.integers(low, high, ALIGNED))
        drawn.append(self._find(np.array(near, dtype=np.int64).reshape(-1, 3)))
        pool = np.unique(np.concatenate(drawn))

        ys, xs = np.nonzero(seen)
        if len(ys):
            take = rng.choice(len(ys), min(SAMPLES, len(ys)), replace=False)
            sy, sx = ys[take], xs[take]
            match = self._difference(pool, sy, sx, target)
            for radius in REFINE:
                best = pool[np.argsort(match, kind="stable")[:8]]
                around = self._around(best, radius)
                around = around[~np.isin(around, pool)]
                pool = np.concatenate([pool, around])
                match = np.concatenate([match, self._difference(around, sy, sx, target)])
        else:
            match = np.zeros(len(pool), dtype=np.float32)
        light = self.strip.light[at[0] : at[0] + self.block, at[1] : at[1] + self.block].mean(axis=(0, 1))
        guide = ((self.light[pool] - light) ** 2).mean(axis=-1)
        prior = self.used[pool] * 0.8 + (p[pool, 0] > 0) * 0.1
        if self.strip.keep_rows:
            prior = prior + 8.0 * ((p[pool, 1] - home) / bank.usable.shape[1]) ** 2
        scale = float(np.quantile(match, 0.1)) + 0.5
        cost = match / scale + guide / (scale + 4.0) + prior
        if len(ys):
            best = np.argsort(cost, kind="stable")[:FINAL]
            exact = self._difference(pool[best], ys, xs, target)
            cost = exact / scale + guide[best] / (scale + 4.0) + prior[best]
            pool = pool[best]
        winner = int(pool[int(np.argmin(cost))])
        self._wear(winner)
        version, a, d = p[winner]
        return int(version), int(a), int(d)

    def _find(self, places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Numbers of those of these places (version, along, away) where a block fits."""
        inside = ((places >= 0) & (places < self.index.shape)).all(axis=1)
        found = self.index[tuple(places[inside].T)]
        return np.asarray(found[found >= 0])

    def _around(self, pool: npt.NDArray[np.int64], radius: int) -> npt.NDArray[np.int64]:
        """The eight neighbours of each candidate at this distance."""
        ring = [(0, i * radius, j * radius) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]
        places = self.positions[pool][:, None, :] + np.array(ring)[None, :, :]
        return np.unique(self._find(places.reshape(-1, 3)))

    def _difference(
        self, pool: npt.NDArray[np.int64], ys: npt.NDArray[np.int64], xs: npt.NDArray[np.int64], target: Detail
    ) -> npt.NDArray[np.float32]:
        """Mean squared difference of each candidate at these pixels of the overlap."""
        _, rows, columns = self.bank.usable.shape
        p = self.positions[pool]
        base = (p[:, 0] * rows + p[:, 1]) * columns + p[:, 2]
        found = self.flat[base[:, None] + (ys * columns + xs)[None, :]]
        found -= target[ys, xs]
        return np.einsum("nkc,nkc->n", found, found, dtype=np.float32) / (3 * len(ys))

    def _wear(self, winner: int) -> None:
        """Make a used place, in every version that shows the same pixels, dearer for a while."""
        p = self.positions
        self.used *= 0.97
        distance = np.hypot(p[:, 1] - p[winner, 1], p[:, 2] - p[winner, 2])
        self.used += np.exp(-((distance / (0.35 * self.block)) ** 2)).astype(np.float32) * (p[:, 0] == p[winner, 0])


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
    total = error.astype(np.float64)
    for row in range(1, rows):
        above = np.pad(total[row - 1], 1, constant_values=np.inf)
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
        patch = bank[copy.version, a : a + height, d : d + width] + copy.lift
        cut = _enlarge(copy.cut, zoom)[:height, :width, None]
        window += cut * (patch - window)
    return canvas


def _enlarge(cut: npt.NDArray[np.float32], zoom: int) -> npt.NDArray[np.float32]:
    """A cut at full size: the same path, about two pixels soft, so that grain keeps its strength across it."""
    if zoom == 1:
        return cut
    large = ndimage.zoom(cut, zoom, order=1, mode="nearest", grid_mode=True)
    return np.asarray(np.clip((large - 0.5) * zoom * 0.75 + 0.5, 0.0, 1.0), dtype=np.float32)
