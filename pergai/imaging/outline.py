"""What a segmentation net's mask says of the outline, in the net's own pixels: none draws it finer than that."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from pergai.imaging.picture import FloatPlane

NET_SIDE = 320
"""Side of the coarsest net's output."""


def net_pixel(mask: FloatPlane) -> float:
    """Pixels of the picture that one pixel of the net covers."""
    return float(max(mask.shape) / NET_SIDE)


def surest(mask: FloatPlane, pixels: int) -> FloatPlane:
    """The least that the net gives within so many of its own pixels: high only well inside its outline."""
    reach = max(pixels, round(pixels * net_pixel(mask)))
    return np.asarray(ndimage.minimum_filter(mask, 2 * reach + 1))


def net_inside(mask: FloatPlane) -> npt.NDArray[np.bool_]:
    """Where the net is sure, two of its own pixels in from its outline."""
    return np.asarray(surest(mask, 2) > 0.9)
