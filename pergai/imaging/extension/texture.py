"""Texture of the background, continued by quilting.

Image quilting (Efros and Freeman, SIGGRAPH 2001): blocks of the source's own detail are laid side by side, each chosen
to agree with what lies there already (`picker`), and joined along the path of least difference. Blocks are chosen on a
small copy of the picture and laid at full size, so detail and grain stay the source's own.

All arrays of this module lie in one orientation: axis 0 runs along the source's border, axis 1 away from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from pergai.imaging.extension.picker import Bank, Detail, Mask, Picker, Strip, overlap_of

MISFIT = 1200.0
"""Squared difference of all colours, levels of 255, beyond that of any two places, at which a cut between two blocks
is half sharp, half broad."""
SHARP = 4.0
"""Times the squared step between neighbouring pixels that a cut may differ by and still pass for the ground's own edge."""
INDEPENDENT = 50.0
"""Pieces of texture in the overlap whose mean tells light from texture."""
LIFT = 24.0
"""Levels of 255 that a block may be lifted by to meet its neighbours."""


@dataclass(frozen=True, slots=True)
class Copy:
    """One block of the bank laid on the strip, in pixels of the small copy."""

    source: tuple[int, int]
    target: tuple[int, int]
    cut: npt.NDArray[np.float32]
    """(height, width), 1 where the block covers what lay there before."""
    fade: npt.NDArray[np.float32]
    """(height, width): added to the cut where it would show."""
    keep: npt.NDArray[np.float16]
    """(height, width), 0-1: what is left of the block's detail where it has marks that were shown before."""
    lift: npt.NDArray[np.float16]
    """(height, width, 3): smooth, added to the block so that it meets its neighbours without a step."""


def quilt(bank: Bank, strip: Strip, block: int, rng: np.random.Generator) -> list[Copy]:
    """Choose the blocks of a strip. `block` must fit: `block_positions` is not empty."""
    overlap = overlap_of(block)
    step = block - overlap
    along, reach = strip.light.shape[:2]
    picker = Picker(bank, strip, block)
    usual, soft = SHARP * _step(bank.detail, bank.usable), softness(bank)
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
            keep = picker.wear.show(source, (height, width))
            patch = bank.detail[source[0] : source[0] + height, source[1] : source[1] + width] * keep[..., None]
            difference = np.where(seen[..., None], target - patch, np.float32(0))
            lift = _lift(difference, seen, block)
            error = ((difference - lift) ** 2).sum(axis=-1) * seen
            cut, fade = _cut(error, filled[window], overlap, usual, soft, across=away > 0, along=t > 0)
            canvas[window] += (cut + fade)[..., None] * (patch + lift - canvas[window])
            filled[window] = True
            copies.append(Copy(source, (t, away), cut, fade, keep.astype(np.float16), lift.astype(np.float16)))
    return copies


def _step(detail: Detail, usable: Mask) -> float:
    """Mean squared difference of neighbours, all colours: large where a ground is sharp, and small out of focus."""
    pairs = usable[:, 1:] & usable[:, :-1]
    return float((np.diff(detail, axis=1)[pairs] ** 2).sum(axis=-1).mean()) if pairs.any() else 0.0


def softness(bank: Bank) -> float:
    """Pixels over which one piece of a ground may become another: as soft as the ground's own edges are."""
    power = float((bank.detail[bank.usable] ** 2).sum(axis=-1).mean()) if bank.usable.any() else 0.0
    return float(np.clip(0.3 * np.sqrt(power / (_step(bank.detail, bank.usable) + 0.1)), 0.6, 4.0))


def _lift(difference: Detail, seen: Mask, block: int) -> Detail:
    """A smooth field that takes a block to its neighbours: their difference in the overlap, fading out of it."""
    width = max(1.0, block / 6)
    size = (width, width, 0)
    mass = ndimage.gaussian_filter(seen.astype(np.float32)[..., None], size, mode="nearest", truncate=3.0)
    total = ndimage.gaussian_filter(np.clip(difference, -LIFT, LIFT), size, mode="nearest", truncate=3.0)
    power = ndimage.gaussian_filter(difference**2, size, mode="nearest", truncate=3.0)
    light = total / (mass + 0.03)
    certain = light**2 / (light**2 + power / (mass + 0.03) / INDEPENDENT + 0.1)
    return np.asarray(certain * light)


def _cut(
    error: npt.NDArray[np.float32], filled: Mask, overlap: int, usual: float, soft: float, *, across: bool, along: bool
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Where the new block covers the old, along paths of least difference through its overlaps; and what to add to that
    where no path can be found that does not show: a broad one shows less."""
    cover = np.ones(error.shape, dtype=bool)
    if across and error.shape[1] > overlap:
        cover &= _path(error[:, :overlap], error.shape[1])
    if along and error.shape[0] > overlap:
        cover &= _path(error[:overlap].T, error.shape[0]).T
    rim = np.ones(error.shape, dtype=np.float32)  # a soft cut close to the block's own edge must not end there
    if across:
        rim *= np.clip((np.arange(error.shape[1]) + 0.5) / (2.0 * soft), 0.0, 1.0)
    if along:
        rim *= np.clip((np.arange(error.shape[0]) + 0.5) / (2.0 * soft), 0.0, 1.0)[:, None]
    sharp, broad = (
        rim * ndimage.gaussian_filter(cover.astype(np.float32), size, mode="nearest") for size in (soft, max(3.0, soft))
    )
    misfit = ndimage.gaussian_filter(error, 3.0, mode="nearest")
    share = misfit / (misfit + MISFIT + usual)
    return np.where(filled, sharp, np.float32(1.0)), np.where(filled, share * (broad - sharp), np.float32(0.0))


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
        cut = np.clip(cut + _enlarge(copy.fade, zoom), 0.0, 1.0)
        patch = (
            bank[a : a + height, d : d + width] * _enlarge(copy.keep.astype(np.float32), zoom)[:height, :width, None]
        )
        patch += _enlarge(copy.lift.astype(np.float32), zoom)[:height, :width]
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
