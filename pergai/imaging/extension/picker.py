"""Which block of the background fits a place.

A block should agree with what lies around it, look like what lies next to the border, keep the course of the lines
that run through it, and not have been used lately.

All arrays of this module lie in one orientation: axis 0 runs along the source's border, axis 1 away from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from pergai.imaging.extension.marks import Wear, stand_out
from pergai.imaging.extension.membrane import DARK, MIDDLING
from pergai.imaging.extension.repeats import Repeats

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
COURSE = 0.15
"""What it costs a block when a line runs through it a pixel beside its course, in best matches, squared pixels."""
REPEATED = 6.0
"""What it costs to show a piece again right beside its copy, in best matches."""
OTHER = 10.0
"""Squared difference of colour, levels of 255 under middling light, that costs a best match at the far end of a source: what
is of another colour and does not lie at the border is another ground, however busy it is."""
MARKED, MOST_MARKED, BESIDE_MARKED = 2.0, 10.0, 2.5
"""What it costs to show one mark again, and the most that marks may cost a block, and one at the border, in best
matches: at the border nothing counts as much as to meet it."""
DIRECTED = 0.45
"""A texture more coherent than this is kept in long pieces, as wood is."""


@dataclass(frozen=True, slots=True)
class Bank:
    """Where blocks come from: the source. Its last column lies at the border."""

    detail: Detail
    """(along, away, 3)."""
    light: Detail
    """Its colour without its brightness where brightness says little; only compared."""
    usable: Mask
    """(along, away): background."""
    home: npt.NDArray[np.float32]
    """(along, away): where along the border one comes to when following the picture's lines."""
    uses: npt.NDArray[np.float32]
    """(along, away): how often each pixel was laid already, on any side; counted on."""


@dataclass(frozen=True, slots=True)
class Strip:
    """What is to be filled, and the border it grows from."""

    border: Detail
    """(along, overlap, 3): what lies inside the border, which the strip's first columns overlap."""
    known: Mask
    """(along, overlap): where that is background."""
    light: Detail
    """(along, overlap + depth, 3)."""
    home: npt.NDArray[np.float32]
    """(along, overlap + depth): as the bank's, on the bank's rows."""
    lines: npt.NDArray[np.float32]
    """Where along the border the lines cross it, on the bank's rows, in order."""
    lead: int
    """Where along the strip the bank begins."""
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


class Picker:
    """Compares candidate blocks of the bank with a place on the strip."""

    def __init__(self, bank: Bank, strip: Strip, block: int) -> None:
        self.bank, self.strip, self.block = bank, strip, block
        self.overlap = overlap_of(block)
        self.positions = p = block_positions(bank.usable, block)
        self.index = np.full(bank.usable.shape, -1, dtype=np.int64)
        self.index[p[:, 0], p[:, 1]] = np.arange(len(p))
        self.flat = np.ascontiguousarray(bank.detail.reshape(-1, 3))
        self.light = self._means(bank.light)
        self.colour = _colour(self.light)
        power = (bank.detail**2).mean(axis=-1, keepdims=True)
        self.energy = _energy(self._means(power**2)[:, 0])
        centres = self.positions + block // 2
        self.own = bank.home[centres[:, 0], centres[:, 1]]
        self.order = np.argsort(self.own, kind="stable")
        self.sorted = self.own[self.order]
        corner = np.array([0.15, 0.5, 0.85]) * (block - 1)
        self.probes = np.rint(np.stack(np.meshgrid(corner, corner, indexing="ij"), -1).reshape(-1, 2)).astype(int)
        spots = self.positions[:, None, :] + self.probes[None]
        self.at_probes = bank.home[spots[..., 0], spots[..., 1]]
        self.inward = 1.0 - (p[:, 1] + block).astype(np.float32) / bank.usable.shape[1]
        self.traits = self._traits()
        self.expected = self._at_border()
        self.repeats = Repeats(block, (strip.lead, strip.border.shape[1] - bank.usable.shape[1]))
        marks = stand_out(bank.detail, bank.usable, block)
        for line in strip.lines:  # goes on by itself, and is no mark
            marks[np.abs(bank.home - line) < max(2.0, block / 16)] = 0.0
        self.wear = Wear(marks, bank.uses, block)
        # A scene of many things (wall, table, void) keeps blocks near where they came from; one ground need not.
        colour = self.light + self._means(bank.detail)
        between = float(colour.std(axis=0).mean())
        within = float(np.sqrt(self._means(power).mean()))
        self.home = HOME * min(1.0, max(0.0, between / (within + 4.0) - 0.25))
        self.whole = self.home > 0.25 * HOME or _coherence(bank) > DIRECTED

    def _means(self, plane: Detail) -> npt.NDArray[np.float32]:
        """Means of every candidate block."""
        centre = self.block // 2
        size = (self.block, self.block, 0)
        blurred = ndimage.uniform_filter(plane, size, mode="nearest")
        return np.asarray(blurred[self.positions[:, 0] + centre, self.positions[:, 1] + centre])

    def _traits(self) -> npt.NDArray[np.float32]:
        """What a block's texture looks like, (blocks, 4): how busy, how fine, and which way it runs, by its structure
        tensor (Bigün and Granlund, ICCV 1987)."""
        y, x = np.gradient(ndimage.gaussian_filter(self.bank.detail.mean(axis=-1), 0.7))
        yy, xx, xy = self._means(np.stack([y * y, x * x, x * y], axis=-1)).T
        fine = yy + xx + np.float32(0.5)
        return np.stack([self.energy, 0.7 * np.log(fine), (yy - xx) / fine, 2.0 * xy / fine], axis=-1)

    def _at_border(self) -> npt.NDArray[np.float32]:
        """The traits of what lies next to the border, for each pixel along it."""
        along, away = self.bank.usable.shape
        near = np.exp((self.positions[:, 1] + self.block - away) / (0.3 * self.block))
        rows = np.clip(self.own.astype(int), 0, along - 1)
        traits = np.concatenate([self.traits, np.ones((len(rows), 1))], axis=1)
        sums = np.stack([np.bincount(rows, near * trait, along) for trait in traits.T], axis=-1)
        sums = ndimage.gaussian_filter1d(sums, 0.5 * self.block, axis=0, mode="nearest")
        sums += 0.1 * sums.mean(axis=0)  # where the product hides the ground: as beside it
        return np.asarray(sums[:, :-1] / sums[:, -1:], dtype=np.float32)

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
        home = self._home(at, block // 2, block // 2)
        drawn = [rng.integers(0, len(p), RANDOM)]
        low, high = np.searchsorted(self.sorted, [home - 1.0, home + 1.0])
        if high > low:
            drawn.append(self.order[rng.integers(low, high, ALIGNED)])
        course = self._course(at) if len(self.strip.lines) else np.zeros((0, 4), dtype=np.float32)
        if self.whole:  # going on where a neighbour left off keeps things whole, but repeats a ground
            drawn.append(self._find(np.array(near, dtype=np.int64).reshape(-1, 2)))
        pool = np.unique(np.concatenate(drawn))
        light = self.strip.light[at[0] : at[0] + block, at[1] : at[1] + block].mean(axis=(0, 1))
        colour = _colour(light)

        ys, xs = np.nonzero(seen)
        energy = float(_energy(((target[ys, xs] ** 2).mean(axis=-1) ** 2).mean())) if len(ys) else None
        most = MOST_MARKED if at[1] else BESIDE_MARKED

        def standing(pool: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
            """What each candidate costs wherever its pixels agree, and how far its light differs: (candidates, 2)."""
            strange = self.inward[pool] * ((self.colour[pool] - colour) ** 2).mean(axis=-1) / np.float32(OTHER)
            guide = ((self.light[pool] - light) ** 2).mean(axis=-1)
            unlike = 0.0 if energy is None else 0.8 * (self.energy[pool] - energy) ** 2
            return np.stack([self._prior(pool, at, home, course, most) + strange + unlike, guide], axis=-1)

        known = standing(pool)
        if energy is None:
            return self._take(pool[int(np.argmin(known[:, 0] + known[:, 1] / 8.0))], at)
        weight = np.ones(len(ys), dtype=np.float32)
        if at[1] == 0:  # no cut can hide a misfit at the source itself, so what lies next to it counts most
            beside = np.exp((xs - self.strip.border.shape[1] + 1) * np.float32(4.0 / self.overlap))
            weight = np.where(xs < self.strip.border.shape[1], beside, np.float32(0.25)).astype(np.float32)
        weight /= weight.sum()
        take = rng.choice(len(ys), min(SAMPLES, len(ys)), replace=False, p=weight / weight.sum(dtype=np.float64))
        even = np.full(len(take), 1.0 / len(take), dtype=np.float32)
        match = self._difference(pool, ys[take], xs[take], target, even)

        def cost(match: npt.NDArray[np.float32], known: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
            scale = float(match.min()) + 0.5
            return np.asarray(match / scale + known[:, 0] + known[:, 1] / (2.0 * scale + 8.0))

        for radius in REFINE:
            around = self._around(pool[np.argsort(cost(match, known), kind="stable")[:8]], radius)
            around = around[~np.isin(around, pool)]
            match = np.concatenate([match, self._difference(around, ys[take], xs[take], target, even)])
            pool, known = np.concatenate([pool, around]), np.concatenate([known, standing(around)])
        best = np.argsort(cost(match, known), kind="stable")[:FINAL]
        pool, match = pool[best], self._difference(pool[best], ys, xs, target, weight)
        return self._take(pool[int(np.argmin(cost(match, known[best])))], at)

    def _home(self, at: tuple[int, int], down: int, out: int) -> float:
        """Where along the border a place of a block comes from; within the bank."""
        along, away = self.strip.home.shape
        home = self.strip.home[min(at[0] + down, along - 1), min(at[1] + out, away - 1)]
        return float(np.clip(home, self.block // 2, self.bank.usable.shape[0] - 1 - self.block // 2))

    def _course(self, at: tuple[int, int]) -> npt.NDArray[np.float32]:
        """How far from the lines on either side of it the places of a block lie, (probes, 4): the two lines, and the
        distances, which stop counting at the size of a block."""
        lines = self.strip.lines
        along, away = self.strip.home.shape
        spots = np.minimum(np.array(at) + self.probes, [along - 1, away - 1])
        home = self.strip.home[spots[:, 0], spots[:, 1]]
        after = np.searchsorted(lines, home)
        pair = np.stack([lines[np.maximum(after - 1, 0)], lines[np.minimum(after, len(lines) - 1)]], axis=-1)
        return np.concatenate([pair, self._short(home[:, None] - pair)], axis=-1)

    def _short(self, distance: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return np.clip(distance, -self.block, self.block)

    def _prior(
        self,
        pool: npt.NDArray[np.int64],
        at: tuple[int, int],
        home: float,
        course: npt.NDArray[np.float32],
        most: float,
    ) -> npt.NDArray[np.float32]:
        """What a candidate costs for where it lies and how often it was used."""
        along = self.bank.usable.shape[0]
        p = self.positions[pool]
        beside = self.own[pool] - home
        aside = beside / along
        weight = max(self.home, 8.0 if self.strip.keep_rows else 0.0)
        unlike = ((self.traits[pool] - self.expected[int(home)]) ** 2).sum(axis=-1)
        cost = (
            REPEATED * self.repeats.cost(p, at)
            + np.minimum(MARKED * self.wear.cost[p[:, 0], p[:, 1]], most)
            + weight * aside**2
            + (0.15 if self.strip.keep_rows else 0.6) * self.home * self.inward[pool] ** 2
            + 1.6 * unlike
        )
        cost += 0.5 * np.minimum((beside / (2.0 * self.block)) ** 2, 1.0)
        if len(course):
            off = self._short(self.at_probes[pool][:, :, None] - course[None, :, :2]) - course[None, :, 2:]
            cost += COURSE * (off**2).mean(axis=(1, 2))
        return np.asarray(cost, dtype=np.float32)

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

    def _take(self, winner: np.int64, at: tuple[int, int]) -> tuple[int, int]:
        along, away = (int(place) for place in self.positions[winner])
        self.repeats.lay((along, away), at)
        return along, away


def _colour(light: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """What sets light (…, 3) apart from grey, in levels of 255 under middling light: the same in shadow."""
    grey = light.mean(axis=-1, keepdims=True)
    return np.asarray((light - grey) * (MIDDLING / (np.maximum(grey, 0.0) + DARK)), dtype=np.float32)


def _coherence(bank: Bank) -> float:
    """How far the texture runs in one direction, 0-1, by its structure tensor (Bigün and Granlund, ICCV 1987)."""
    grey = ndimage.gaussian_filter(bank.detail.mean(axis=-1), 1.0)
    inner = ndimage.binary_erosion(bank.usable, iterations=3)
    y, x = (part[inner] for part in np.gradient(grey))
    if not y.size:
        return 0.0
    yy, xx, xy = float((y * y).mean()), float((x * x).mean()), float((x * y).mean())
    return float(np.hypot(yy - xx, 2 * xy)) / (yy + xx + 1e-3)


def _energy(fourth: npt.NDArray[np.float32] | np.floating) -> npt.NDArray[np.float32]:
    """How busy a block is, from the mean fourth power of its detail: one sharp outline counts as much as much grain."""
    return np.asarray(0.5 * np.log(fourth + 1.0), dtype=np.float32)
