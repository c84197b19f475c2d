"""Straight lines that run out of a picture: a table's edge, a plank's joint, the horizon.

A slant stack (Schultz and Claerbout, Geophysics 1978) beside each border: the steps between neighbouring pixels are
summed along every slant, and stand out where they lie on one straight line all the way to the border.

Arrays lie in one orientation: axis 0 runs along the border, axis 1 towards it; the last column lies at the border.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Pixels = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

DETAIL = 600
"""Pixels along a border at which lines are looked for; larger pictures are shrunk."""
SLANTS = np.tan(np.radians(np.arange(-69.0, 69.5, 1.5)))
LENGTH = 0.22
"""How far into the picture a line is followed, as a share of the picture's shorter side."""
STEP = 11.0
"""Levels of 255 that a line differs by from one of its sides to the other, at least."""
STEADY = 0.78
"""Share of a line's length along which its step must be seen."""
PLAIN = 1.75
"""How much stronger a line must be than the best slant through the places around it: pebbles have one anywhere."""
BESIDE = 0.25
"""Which places those are, as a share of the border's length."""
MOST = 16
"""Lines a border, at most."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line that crosses a border. Lengths in pixels."""

    at: float
    """Where along the border."""
    slope: float
    """Pixels along the border for each pixel away from the picture."""
    length: float
    """How far into the picture it was followed; infinite when all the way through."""
    width: float
    """Over how many pixels its step is spread."""
    step: float
    """Difference between what lies on its two sides, in levels of 255: small for a streak, large for an edge."""

    def where(self, away: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """Its place along the border at these distances from it, negative inside the picture."""
        return self.at + self.slope * away


def find_lines(pixels: Pixels, seen: Mask) -> list[Line]:
    """The lines that cross the border of a turned picture (along, away, 3), in order, none crossing another close by.

    `seen`: where it shows background.
    """
    zoom = max(1, round(len(pixels) / DETAIL))
    whole = _shrunk(pixels, zoom)[:, ::-1]
    known = _shrunk(seen[..., None].astype(np.float32), zoom)[:, ::-1, 0] > 0.99
    depth = round(LENGTH * min(known.shape))
    if depth < 16:
        return []
    steps, both = _steps(whole, known, 3)
    scores, slants = _stack(steps[:, :depth], both[:, :depth])
    sizes = np.abs(steps[:, :depth]).max(axis=-1)[both[:, :depth]]
    usual = 2.0 * float(np.quantile(sizes, 0.75)) if sizes.size else 0.0
    scores[scores < max(STEP, usual)] = 0.0
    found: list[Line] = []
    while len(found) < MOST and scores[top := int(np.argmax(scores))] > 0.0:
        scores[max(0, top - 5) : top + 6] = 0.0
        line = _fit(whole[:, :depth], known[:, :depth], float(top), float(slants[top]))
        if line is None:
            continue
        length = _followed(line, steps, both)
        found.append(Line(line.at * zoom, line.slope, length * zoom, line.width * zoom, line.step))
    kept: list[Line] = []
    for line in found:  # strongest first; lines that meet outside end where they meet, as nothing here does
        if all(_apart(line, other, zoom, 2.0 * max(pixels.shape[:2])) for other in kept):
            kept.append(line)
    return sorted(kept, key=lambda line: line.at)


def _apart(one: Line, other: Line, zoom: int, near: float) -> bool:
    """Whether two lines are neither the same nor meet this near outside the picture."""
    between, opening = other.at - one.at, other.slope - one.slope
    return abs(between) > 4 * zoom and (between * opening >= 0 or abs(between) > near * abs(opening))


def _shrunk(plane: Pixels, zoom: int) -> Pixels:
    """Means of zoom × zoom pixels."""
    along, away = plane.shape[0] // zoom, plane.shape[1] // zoom
    blocks = plane[: along * zoom, plane.shape[1] - away * zoom :].reshape(along, zoom, away, zoom, -1)
    return np.asarray(blocks.mean(axis=(1, 3)), dtype=np.float32)


def _steps(band: Pixels, known: Mask, size: int) -> tuple[Pixels, Mask]:
    """Mean of the `size` pixels ahead of each pixel less that of the `size` pixels behind it, and where both are seen."""
    sums = np.pad(band, ((1, 0), (0, 0), (0, 0))).cumsum(axis=0, dtype=np.float64)
    means = (sums[size:] - sums[:-size]) / size
    count = np.pad(known, ((1, 0), (0, 0))).cumsum(axis=0)
    whole = (count[size:] - count[:-size]) == size
    steps, both = np.zeros_like(band), np.zeros_like(known)
    inner = slice(size, len(band) - size)
    steps[inner] = means[size + 1 :] - means[: -size - 1]
    both[inner] = whole[size + 1 :] & whole[: -size - 1]
    return steps * both[..., None], both


def _stack(steps: Pixels, both: Mask) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """For each place along the border the strength of its best line, and the slant of that line."""
    along, depth = both.shape
    inwards = np.arange(depth)
    best, slants, any_slant = np.zeros(along), np.zeros(along), np.zeros(along)
    for slant in SLANTS:
        rows = np.arange(along)[:, None] - np.rint(slant * (inwards + 0.5)).astype(int)[None, :]
        valid = (rows >= 0) & (rows < along)
        at = np.clip(rows, 0, along - 1), np.broadcast_to(inwards, rows.shape)
        valid &= both[at]
        line = steps[at] * valid[..., None]
        count = valid.sum(axis=1)
        mean = line.sum(axis=1) / np.maximum(count, 1)[:, None]
        size = np.sqrt((mean**2).sum(axis=-1))
        along_mean = np.einsum("tkc,tc->tk", line, mean / np.maximum(size, 1e-6)[:, None])
        steady = ((along_mean > 0.35 * size[:, None]) & valid).sum(axis=1) / np.maximum(count, 1)
        near = valid[:, : depth // 4].sum(axis=1)
        size[count <= 0.6 * depth] = 0.0
        any_slant = np.maximum(any_slant, size)
        score = np.where((near > 0.5 * (depth // 4)) & (steady > STEADY), size * steady, 0.0)
        # Stacked along a slant, the same line is seen from beside too; the slant along which it is sharpest is its own.
        better = score > best
        best[better], slants[better] = score[better], slant
    peak = ndimage.maximum_filter1d(best, 5)
    usual = ndimage.median_filter(any_slant, size=max(3, round(BESIDE * along)), mode="nearest")
    return np.where((best == peak) & (peak > PLAIN * usual), best, 0.0), slants


def _fit(band: Pixels, known: Mask, at: float, slant: float) -> Line | None:
    """The line near this place and slant, to a fraction of a pixel."""
    along, depth = known.shape
    inwards = np.arange(depth) + 0.5
    window = np.arange(-14, 15)
    for _ in range(2):
        rows = at - slant * inwards[:, None] + window[None, :]
        valid = (rows >= 0) & (rows <= along - 1)
        coordinates = [np.clip(rows, 0, along - 1), np.broadcast_to(np.arange(depth)[:, None], rows.shape)]
        straight = np.stack(
            [ndimage.map_coordinates(band[..., c], coordinates, order=1) for c in range(3)], axis=-1
        )  # (depth, window, 3): the line lies upright in it
        valid &= ndimage.map_coordinates(known.astype(np.float32), coordinates, order=1) > 0.99
        rise = np.diff(straight, axis=1) * (valid[:, 1:] & valid[:, :-1])[..., None]
        mean = rise.sum(axis=0) / np.maximum((valid[:, 1:] & valid[:, :-1]).sum(axis=0), 1)[:, None]
        middle = slice(8, 20)
        total = mean[middle].sum(axis=0)
        size = float(np.sqrt((total**2).sum()))
        if size < 0.5:
            return None
        sharp = np.maximum(rise[:, middle] @ (total / size), 0.0)
        weight = sharp.sum(axis=1)
        centre = (sharp * (window[:-1] + 0.5)[middle]).sum(axis=1) / np.maximum(weight, 1e-6)
        good = weight > 0.3 * np.median(weight[weight > 0]) if (weight > 0).any() else weight > 0
        if good.sum() < 0.4 * depth:
            return None
        for _ in range(3):
            slope, shift = np.polyfit(inwards[good], centre[good], 1)
            off = np.abs(centre - (slope * inwards + shift))
            good &= off < max(1.0, 2.5 * float(np.median(off[good])))
        at, slant = at + float(shift), slant - float(slope)
    seen = valid.sum(axis=0)
    profile = (straight * valid[..., None]).sum(axis=0) / np.maximum(seen, 1)[:, None]
    sides = [profile[part][seen[part] > 0] for part in (slice(1, 11), slice(18, 28))]
    before, behind = (side.mean(axis=0) if len(side) else profile[14] for side in sides)
    step = float(np.sqrt(((behind - before) ** 2).sum() / 3.0))
    projected = mean[middle] @ (total / size)
    width = size / max(float(projected.max()), 1e-3)
    return Line(at, slant, depth, float(np.clip(width, 1.0, 12.0)), step)


def _followed(line: Line, steps: Pixels, both: Mask) -> float:
    """How far a line is seen to go on into the picture; what hides it for a while does not end it."""
    along, depth = both.shape
    inwards = np.arange(depth)
    rows = np.rint(line.where(-inwards - 0.5)).astype(int)
    inside = (rows >= 0) & (rows < along)
    if not inside.all():
        inwards, rows = inwards[: inside.argmin()], rows[: inside.argmin()]
    if not rows.size:
        return line.length
    seen = both[rows, inwards]
    here = steps[rows, inwards]
    first = round(line.length)
    own = here[:first].sum(axis=0) / max(1, seen[:first].sum())
    share = ndimage.uniform_filter1d(((here @ own) / (own @ own + 1e-6) > 0.3).astype(float) * seen, 15, mode="nearest")
    lost = seen & (share < 0.4 * ndimage.uniform_filter1d(seen.astype(float), 15, mode="nearest"))
    lost[:first] = False
    return float(lost.argmax()) if lost.any() else np.inf
