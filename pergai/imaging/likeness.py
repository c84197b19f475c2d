"""Whose colours a doubtful pixel has, on a background of any kind: the product's or the background's.

A net's outline is a soft band, and a wide one where it has run two outlines into one. In it, each pixel's colour is looked up
among those that the net is sure of on either side (nearest neighbours in colour, as in Chen, Li and Tang, "KNN matting",
TPAMI 2013). Where both sides have that colour, nothing is said.

Light deceives: the shaded rim of a white cup is as grey as the ground, and ground in a shadow as dark as the product. Hue does
not: what no shade of the other side's colours near by explains is proven.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import cKDTree

from pergai.imaging.outline import net_pixel
from pergai.imaging.picture import FloatPlane
from pergai.imaging.planes import Colours, dot

_Indices = npt.NDArray[np.intp]

_SURE = 0.95
_NEAREST, _FARTHEST = 1.0, 12.0
"""How far from its doubts, in the net's pixels, the colours of either side are taken."""

_LEAST, _SAMPLES, _NEIGHBOURS = 50, 4000, 4
_SAME = 1e-5
"""Squared distance (0-3) at which two colours are one."""

_PLACE = 0.05
"""Distance between two hues (unit vectors of colour) that weighs as much as one of the net's pixels between their places."""

_ONE_HUE, _ANOTHER = 0.04, 0.12
"""How far (0-√3) a colour is from the nearest shade of another that has its hue, and of one that has not."""

_DARKEST = 0.02
"""Colours darker than this (0-√3) have no hue."""

_BESIDE = 5
"""Side in pixels of the square round a pixel that must have the background's colours too: an edge is no wider."""

_WEIGHT = 2
_FLOOR = 0.02
"""Neither the net nor the colours are surer than this."""


class Likeness(NamedTuple):
    """What colours say of each pixel; both planes are 0-1."""

    side: FloatPlane
    """0 where a pixel that the net doubts has a colour of the background's only, 1 of the product's; 0.5 where it has no
    doubts or the colours say nothing."""
    proven: FloatPlane
    """1 where `side` contradicts the net and no light or shadow makes the pixel's colour out of the other side's near by."""


def likeness(image: Colours, mask: FloatPlane) -> Likeness:
    """Which side each pixel near the net's doubts is on by its colour, and whether its hue proves it."""
    side, proven = np.full(mask.shape, np.float32(0.5)), np.zeros_like(mask)
    unsure = (mask > 1.0 - _SURE) & (mask < _SURE)
    if not unsure.any():
        return Likeness(side, proven)
    away = ndimage.distance_transform_edt(~unsure) / net_pixel(mask)
    beside = (away > _NEAREST) & (away < _FARTHEST)
    inside, outside = np.flatnonzero(beside & (mask >= _SURE)), np.flatnonzero(beside & (mask <= 1.0 - _SURE))
    if min(len(inside), len(outside)) < _LEAST:
        return Likeness(side, proven)
    inside, outside = _drawn(inside), _drawn(outside)
    asked, colours = away <= 1.0, image.reshape(-1, 3)
    to_product, to_background = _distance(image[asked], colours[inside]), _distance(image[asked], colours[outside])
    side[asked] = (to_background + _SAME) / (to_product + to_background + 2.0 * _SAME)
    removed, added = (side < 0.5) & (mask > 1.0 - _SURE), (side > 0.5) & (mask < _SURE)
    for moved, others in ((removed, inside), (added, outside)):
        proven[moved] = _foreign(image, np.flatnonzero(moved), others, net_pixel(mask))
    return Likeness(side, proven)


def by_likeness(alpha: FloatPlane, like: FloatPlane) -> FloatPlane:
    """What is to be believed of `alpha` (0-1, the net's) once its colours are known: the product of both their odds."""
    pro = (alpha + _FLOOR) * (like + _FLOOR) ** _WEIGHT
    contra = (1.0 + _FLOOR - alpha) * (1.0 + _FLOOR - like) ** _WEIGHT
    believed = pro / (pro + contra)
    return np.asarray(np.clip((believed - _FLOOR) / (1.0 - 2.0 * _FLOOR), 0.0, 1.0), dtype=np.float32)


def bare(side: FloatPlane) -> FloatPlane:
    """0-1: how surely a pixel and those beside it show the background alone, by `Likeness.side`.

    A mixture's distances from its two colours are as its shares; `side` compares their squares.
    """
    product, background = np.sqrt(side), np.sqrt(1.0 - side)
    share = ndimage.uniform_filter(product / (product + background), _BESIDE)
    return np.asarray(np.clip(1.0 - 2.0 * share, 0.0, 1.0), dtype=np.float32)


def _drawn(pixels: _Indices) -> _Indices:
    """Some of the pixels, evenly drawn."""
    return pixels[:: max(1, len(pixels) // _SAMPLES)]


def _distance(colours: npt.NDArray[np.float32], samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Mean squared distance of each of the colours (n, 3) from its nearest neighbours among the samples."""
    distances, _ = cKDTree(samples).query(colours, k=_NEIGHBOURS)
    return np.asarray((distances**2).mean(axis=1), dtype=np.float32)


def _foreign(image: Colours, pixels: _Indices, others: _Indices, unit: float) -> npt.NDArray[np.float32]:
    """0-1: how far the colour of each pixel is from every shade of its nearest neighbours among `others`, the nearest in hue
    and place. `unit`: pixels that one of the net's covers."""
    length, hue = _hues(image, pixels)
    _, other = _hues(image, others)
    here, there = (np.stack(np.divmod(at, image.shape[1]), axis=1) * (_PLACE / unit) for at in (pixels, others))
    _, nearest = cKDTree(np.hstack([other, there])).query(np.hstack([hue, here]), k=_NEIGHBOURS)
    off = length * np.sqrt(((other[nearest] - hue[:, None]) ** 2).sum(axis=-1).mean(axis=-1))
    return np.asarray(np.clip((off - _ONE_HUE) / (_ANOTHER - _ONE_HUE), 0.0, 1.0), dtype=np.float32)


def _hues(image: Colours, pixels: _Indices) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Length (n) and direction (n, 3) of colours."""
    colours = image.reshape(-1, 3)[pixels]
    length = np.sqrt(dot(colours, colours))
    return length, np.asarray(colours / np.maximum(length, _DARKEST)[:, None], dtype=np.float32)
