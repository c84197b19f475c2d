"""Whose colours a doubtful pixel has, on a background of any kind: the product's or the background's.

A net's outline is a soft band, and a wide one where it has run two outlines into one. In it, each pixel's colour is looked up
among those that the net is sure of on either side (nearest neighbours in colour, as in Chen, Li and Tang, "KNN matting",
TPAMI 2013). Where both sides have that colour, nothing is said.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import cKDTree

from pergai.imaging.outline import net_pixel
from pergai.imaging.picture import FloatPlane
from pergai.imaging.planes import Colours

_SURE = 0.95
_NEAREST, _FARTHEST = 1.0, 12.0
"""How far from its doubts, in the net's pixels, the colours of either side are taken."""

_LEAST, _SAMPLES, _NEIGHBOURS = 50, 4000, 4
_SAME = 1e-5
"""Squared distance (0-3) at which two colours are one."""

_WEIGHT = 2
_FLOOR = 0.02
"""Neither the net nor the colours are surer than this."""


def likeness(image: Colours, mask: FloatPlane) -> FloatPlane:
    """0 where a pixel that the net doubts has a colour of the background's only, 1 of the product's; 0.5 where it has no
    doubts or the colours say nothing."""
    like = np.full(mask.shape, np.float32(0.5))
    unsure = (mask > 1.0 - _SURE) & (mask < _SURE)
    if not unsure.any():
        return like
    away = ndimage.distance_transform_edt(~unsure) / net_pixel(mask)
    beside = (away > _NEAREST) & (away < _FARTHEST)
    inside, outside = image[beside & (mask >= _SURE)], image[beside & (mask <= 1.0 - _SURE)]
    if min(len(inside), len(outside)) < _LEAST:
        return like
    asked = away <= 1.0
    to_product, to_background = _distance(image[asked], inside), _distance(image[asked], outside)
    like[asked] = (to_background + _SAME) / (to_product + to_background + 2.0 * _SAME)
    return like


def by_likeness(alpha: FloatPlane, like: FloatPlane) -> FloatPlane:
    """What is to be believed of `alpha` (0-1, the net's) once its colours are known: the product of both their odds."""
    pro = (alpha + _FLOOR) * (like + _FLOOR) ** _WEIGHT
    contra = (1.0 + _FLOOR - alpha) * (1.0 + _FLOOR - like) ** _WEIGHT
    believed = pro / (pro + contra)
    return np.asarray(np.clip((believed - _FLOOR) / (1.0 - 2.0 * _FLOOR), 0.0, 1.0), dtype=np.float32)


def _distance(colours: npt.NDArray[np.float32], samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Mean squared distance of each of the colours (n, 3) from its nearest neighbours among evenly drawn samples."""
    tree = cKDTree(samples[:: max(1, len(samples) // _SAMPLES)])
    distances, _ = tree.query(colours, k=_NEIGHBOURS)
    return np.asarray((distances**2).mean(axis=1), dtype=np.float32)
