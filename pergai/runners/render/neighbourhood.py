"""What neighbourhoods of many pixels have in common, cell by cell: a sixteenth of the work of doing it by the pixel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

Floats = npt.NDArray[np.float32]

CELL = 4
"""Pixels of a cell's side."""


def in_cells(light: Floats) -> Floats:
    """The mean of each cell, of (height, width) or (height, width, channels); the last ones may be smaller."""
    if light.ndim == 3:
        return np.stack([in_cells(plane) for plane in np.moveaxis(light, -1, 0)], axis=-1)
    return np.asarray(Image.fromarray(np.ascontiguousarray(light, np.float32)).reduce(CELL))


def at_full_size(cells: Floats, shape: tuple[int, ...]) -> Floats:
    """Interpolated, at a height and width."""
    if cells.ndim == 3:
        return np.stack([at_full_size(plane, shape) for plane in np.moveaxis(cells, -1, 0)], axis=-1)
    size = (cells.shape[1] * CELL, cells.shape[0] * CELL)
    whole = Image.fromarray(np.ascontiguousarray(cells, np.float32)).resize(size, Image.Resampling.BILINEAR)
    return np.asarray(whole, np.float32)[: shape[0], : shape[1]]


def mean_around(light: Floats, size: int) -> Floats:
    """The mean over so many pixels, or cells, each way and once more, so that nearer ones count more."""
    window = (size, size) + (1,) * (light.ndim - 2)
    mean: Floats = ndimage.uniform_filter(ndimage.uniform_filter(light, window), window)
    return mean
