"""Things that lie on a ground without being it: berries, a sprig, a pebble, a coloured bag.

They are told by their colour, which a shadow does not change: what differs from the ground around it by much more than
the ground itself does, and has that ground all around it. Nothing is copied from them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from pergai.imaging.picture import RGB

Plane = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

CELLS = 160
"""Cells along the source's longer side, in which things are looked for."""
AROUND = 0.3
"""The neighbourhood of a place, as a share of the longer side. What is larger is a ground."""
RARE = 75
"""Percentile of the ground's own change of colour around a place."""
COLOURED, FAINT = 2.2, 1.1
"""Times that change by which a thing differs somewhere, and all over."""
LEVELS = 5.0
"""Levels of 255 of colour that are never told from the ground's."""
ALONE = 1.8
"""Times the ground's own spread around a thing by which it differs from it."""
SMALLEST = 6
"""Cells that a thing covers; less is a mark."""
MARGIN = 0.012
"""The soft edge around a thing, as a share of the longer side."""


def find_things(source: RGB, background: Mask) -> Mask:
    """Where things lie on the background of a source (height, width, 3)."""
    height, width = background.shape
    cell = -(-max(height, width) // CELLS)
    rows, columns = height // cell, width // cell
    if min(rows, columns) < 8:
        return np.zeros_like(background)

    def cells(plane: npt.NDArray[np.generic]) -> Plane:
        whole = plane[: rows * cell, : columns * cell].reshape(rows, cell, columns, cell, -1)
        return np.asarray(whole.mean(axis=(1, 3), dtype=np.float32))

    colours, seen = cells(source), cells(background)[..., 0] > 0.9
    if seen.sum() < 0.02 * seen.size:
        return np.zeros_like(background)
    size = round(AROUND * CELLS)
    usual = np.stack([_percentile(colours[..., channel], seen, size, 50) for channel in range(3)], axis=-1)
    apart = colours - usual
    apart -= apart.mean(axis=-1, keepdims=True)
    chroma = np.sqrt((apart**2).mean(axis=-1)) * seen
    far = chroma / (_percentile(chroma, seen, size, RARE) + np.float32(LEVELS))
    labels, _ = ndimage.label(far > FAINT, np.ones((3, 3)))
    ground, things = seen & (far < FAINT), np.zeros_like(seen)
    for number, where in enumerate(ndimage.find_objects(labels), 1):
        own = labels[where] == number
        compact = max(part.stop - part.start for part in where) <= size
        if compact and own.sum() >= SMALLEST and (far[where] * own).max() > COLOURED:
            wide = tuple(slice(max(0, part.start - 5), part.stop + 5) for part in where)
            if _lies_on(colours[wide], labels[wide] == number, ground[wide]):
                things[where] |= own
    if not things.any():
        return np.zeros_like(background)
    things = ndimage.binary_fill_holes(things)
    near = np.repeat(np.repeat(things, cell, axis=0), cell, axis=1)
    near = np.pad(near, ((0, height - rows * cell), (0, width - columns * cell)), mode="edge")
    reach = max(1.0, MARGIN * max(height, width))
    return np.asarray(ndimage.distance_transform_edt(~near) <= reach) & background


def _lies_on(colours: Plane, own: Mask, ground: Mask) -> bool:
    """Whether there is one ground all around a thing, and it differs from that."""
    ring = colours[ndimage.binary_dilation(own, iterations=5) & ~ndimage.binary_dilation(own, iterations=2) & ground]
    if len(ring) < SMALLEST:
        return False
    low, middle, high = np.percentile(ring, [15, 50, 85], axis=0)
    apart = np.linalg.norm(colours[own] - middle, axis=-1)
    return bool(np.percentile(apart, 75) > ALONE * np.linalg.norm(high - low) / 2.0)


def _percentile(plane: Plane, seen: Mask, size: int, percentile: float) -> Plane:
    """The running percentile of what is seen, smooth, on every cell."""
    step = 3
    sparse, known = plane[::step, ::step], seen[::step, ::step]
    filled = np.where(known, sparse, np.percentile(plane[seen], percentile)).astype(np.float32)
    coarse = ndimage.percentile_filter(filled, percentile, size=size // step | 1, mode="reflect")
    whole = np.repeat(np.repeat(coarse, step, axis=0), step, axis=1)[: plane.shape[0], : plane.shape[1]]
    return np.asarray(ndimage.gaussian_filter(whole, step), dtype=np.float32)
