"""The product's own colours where the photo shows a mixture of product and background.

Unmix first (I = αF + (1 − α)B, solved for F with the background known), then spread the colours of the solid inside
outwards over a pyramid, as in Germer et al., "Fast multi-level foreground estimation" (ICPR 2020), and put each
pixel's own detail back by the least-squares step of Forte and Pitié, "Approximate fast foreground colour estimation"
(ICIP 2021).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from pergai.imaging.picture import FloatPlane
from pergai.imaging.planes import Colours

_SOLID = 0.995
_EDGE_PIXELS = 100
_RIM, _RIM_SHARE = 0.03, 0.7
"""Half clear pixels are an edge when most lie within this share of the longer side of something solid; glass is not."""

_EDGE_TRUST = 0.02
"""What an unmixed edge pixel counts beside a solid one."""


def spread(colours: Colours, weights: FloatPlane) -> Colours:
    """Every pixel the weighted mean of the nearest weighted colours: smooth, local first, defined everywhere.

    Push-pull over a pyramid: where a level has too little weight, the next coarser one fills in. All weights zero
    gives black.
    """
    height, width = weights.shape
    if max(height, width) <= 1:
        return colours
    coarse_sum = _halve(colours * weights[..., None])
    coarse_weight = _halve(weights[..., None])[..., 0]
    means = coarse_sum / np.maximum(coarse_weight, np.float32(1e-12))[..., None]
    coarse = spread(means.astype(np.float32), np.minimum(np.float32(4.0) * coarse_weight, np.float32(1.0)))
    filled = _double(coarse, height, width)
    return np.asarray(filled + np.minimum(weights, 1.0)[..., None] * (colours - filled), dtype=np.float32)


def background_colours(image: Colours, alpha: FloatPlane) -> Colours:
    """The background continued smoothly behind the product."""
    clear = ndimage.minimum_filter((alpha <= 1.0 - _SOLID).astype(np.float32), 3)
    return spread(image, np.maximum(clear, np.where(alpha < 0.02, 0.001, 0.0)).astype(np.float32))


def foreground_colours(image: Colours, alpha: FloatPlane, background: Colours) -> Colours:
    """The product's colours continued smoothly beyond its edge."""
    mixed = np.maximum(alpha, 0.05)[..., None]
    unmixed = np.clip(background + (image - background) / mixed, 0.0, 1.0)
    solid = ndimage.minimum_filter((alpha >= _SOLID).astype(np.float32), 3)
    weights = np.maximum(solid, _EDGE_TRUST * alpha**4)
    return spread(unmixed.astype(np.float32), weights.astype(np.float32))


def old_background(image: Colours, alpha: FloatPlane) -> npt.NDArray[np.float32] | None:
    """The one colour (3,) that the edge of somebody else's cut-out still carries, or None where nothing says so.

    Each half clear pixel, read as a mixture with the product's colour beside it, names a background; when they agree, and
    their mixture explains the edge far better than the product's colour alone, it is believed.
    """
    edge = (alpha > 0.15) & (alpha < 0.85)
    solid = alpha >= _SOLID
    beside = ndimage.maximum_filter(solid, 2 * round(_RIM * max(alpha.shape)) + 1)
    if edge.sum() < _EDGE_PIXELS or beside[edge].mean() < _RIM_SHARE:
        return None
    edge &= beside
    front = spread(image, ndimage.minimum_filter(solid.astype(np.float32), 3))[edge]
    share, seen = alpha[edge][:, None], image[edge]
    named = (seen - share * front) / (1.0 - share)
    colour = np.clip(np.median(named, axis=0), 0.0, 1.0).astype(np.float32)
    alone = np.abs(seen - front).mean()
    mixed = np.abs(seen - share * front - (1.0 - share) * colour).mean()
    away = np.abs(front - colour).max(axis=1).mean()
    return colour if mixed < 0.4 * alone and away > 0.1 else None


def with_detail(image: Colours, alpha: FloatPlane, foreground: Colours, background: Colours) -> Colours:
    """`foreground` moved the least so that compositing it over `background` gives `image` again; equal to `image`
    where alpha is 1."""
    a = alpha[..., None]
    residual = image - a * foreground - (1.0 - a) * background
    detailed: Colours = np.clip(foreground + residual * (a / (a * a + (1.0 - a) ** 2)), 0.0, 1.0)
    return detailed


def reduce(planes: npt.NDArray[np.float32], factor: int) -> npt.NDArray[np.float32]:
    """The mean of each block of `factor` × `factor` (a power of two); zeros count beyond the edge."""
    while factor > 1:
        planes, factor = _halve(planes), factor // 2
    return planes


def enlarge(planes: npt.NDArray[np.float32], factor: int, height: int, width: int) -> npt.NDArray[np.float32]:
    """The inverse of `reduce`: bilinear, cut to (height, width)."""
    sizes = []
    while factor > 1:
        sizes.append((height, width))
        height, width, factor = (height + 1) // 2, (width + 1) // 2, factor // 2
    for tall, wide in reversed(sizes):
        planes = _double(planes, tall, wide)
    return planes


def _halve(planes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The mean of each 2 × 2 block; zeros beyond the edge."""
    height, width, _ = planes.shape
    if height % 2 or width % 2:
        planes = np.pad(planes, ((0, height % 2), (0, width % 2), (0, 0)))
    return (planes[::2, ::2] + planes[1::2, ::2] + planes[::2, 1::2] + planes[1::2, 1::2]) * np.float32(0.25)


def _double(planes: npt.NDArray[np.float32], height: int, width: int) -> npt.NDArray[np.float32]:
    """Twice the size, bilinear, cut to (height, width)."""
    for axis, size in ((0, height), (1, width)):
        before = np.concatenate([planes.take([0], axis), planes.take(range(planes.shape[axis] - 1), axis)], axis)
        after = np.concatenate([planes.take(range(1, planes.shape[axis]), axis), planes.take([-1], axis)], axis)
        pairs = np.stack([0.75 * planes + 0.25 * before, 0.75 * planes + 0.25 * after], axis=axis + 1)
        shape = list(planes.shape)
        shape[axis] *= 2
        planes = pairs.reshape(shape).take(range(size), axis)
    return planes
