"""What is no shadow: on a plain backdrop, everything else that the net has missed is product.

A shadow keeps the backdrop's hue but for the product's own light in it, gets no darker than so far, and ends in a ramp.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from pergai.imaging.backdrop import Backdrop
from pergai.imaging.outline import net_pixel
from pergai.imaging.picture import FloatPlane
from pergai.imaging.planes import Colours, dot, largest, smallest

_HUE = 0.08
"""This far (0-1) from the backdrop's own hue a pixel is no shadow."""

_VIVID = 0.08
"""This far from the backdrop's hue it is no light that the product throws on the backdrop either."""

_COLOURED = 0.05, 0.15
"""Spread of a backdrop's channels (0-1) that is a mere tinge, and that is a colour."""

_DENT = 0.03
"""Half the width of a dent in the net's outline, as a share of the longer side."""

_BOUNCE = 0.04
"""The product's coloured light in its shadow: allowed for where the net gives nothing."""

_EDGE = 0.004
"""Change a pixel (0-1) over three pixels, averaged around one, that makes it one of an edge."""

_NIGHT = 0.25
"""No shadow is darker than this share of a bright backdrop; on a dark one, contact shadows are."""

_MISSED = 0.3
_RAMP, _STEP = 1.2, 1.6
"""Gradients over one pixel against those over three: 1 on a wide ramp, above 2 on a step and on a thin line."""

_DUSK = 0.25, 0.4
"""A lit backdrop (0-1) that is dark, and one that is bright."""


def beyond_shadow(image: Colours, mask: FloatPlane, alpha: FloatPlane, backdrop: Backdrop) -> npt.NDArray[np.float32]:
    """0-1: how surely a pixel is neither the backdrop nor its shadow: another hue, too dark, or a line."""
    smooth = ndimage.gaussian_filter(image, (0.7, 0.7, 0.0))
    lit = np.maximum(backdrop.lit, np.float32(1.0 / 255.0))
    level = dot(smooth, lit) / dot(lit, lit)
    off = largest(np.abs(smooth - np.clip(level, 0.0, 1.1)[..., None] * lit))
    bounce = _BOUNCE * (1.0 - np.clip(mask / 0.15, 0.0, 1.0))
    hue = np.clip((off - 3.0 * backdrop.noise - bounce - 0.02) / _HUE, 0.0, 1.0)
    bright = np.clip((lit.mean(axis=-1) - _DUSK[0]) / (_DUSK[1] - _DUSK[0]), 0.0, 1.0)
    night = bright * np.clip((_NIGHT + 0.1 - level) / 0.1, 0.0, 1.0)
    width = 2 * round(2.0 * net_pixel(mask)) + 1
    apart = largest(np.abs(smooth - lit))
    line = np.clip((apart - ndimage.grey_opening(apart, width) - 0.04 - 3.0 * backdrop.noise) / 0.06, 0.0, 1.0)
    # On a coloured backdrop, a line of its very hue is the shadow of one.
    coloured = np.clip((largest(lit) - smallest(lit) - _COLOURED[0]) / (_COLOURED[1] - _COLOURED[0]), 0.0, 1.0)
    line = line * (1.0 - coloured * (1.0 - np.clip((off - 3.0 * backdrop.noise) / 0.03, 0.0, 1.0)))
    stepped = _stepped(apart, mask, alpha, backdrop.noise)
    believed = hue * np.clip((mask - _MISSED) / 0.2, 0.0, 1.0)
    enclosed = np.clip((off - _VIVID) / _HUE, 0.0, 1.0) * _closed(mask > 0.5, _DENT * max(mask.shape))
    return np.asarray(np.maximum.reduce([hue * stepped, line * stepped, night, believed, enclosed]), dtype=np.float32)


def _closed(found: npt.NDArray[np.bool_], reach: float) -> npt.NDArray[np.bool_]:
    """`found` with its holes, and with its dents that are up to twice as wide as `reach` pixels."""
    grown = np.pad(ndimage.distance_transform_edt(~found) <= reach, 1)
    closed = ndimage.distance_transform_edt(grown)[1:-1, 1:-1] > reach
    return np.asarray(ndimage.binary_fill_holes(closed | found))


def _stepped(apart: FloatPlane, mask: FloatPlane, alpha: FloatPlane, noise: float) -> FloatPlane:
    """0-1: whether what the net has missed ends in steps, as products do, or in ramps, as shadows and the product's light
    in them do: around each pixel where there is an edge, or else around its whole part.

    `apart` is each pixel's distance from the lit backdrop, before any smoothing over more than a pixel.
    """
    beyond = ndimage.minimum_filter((mask < _MISSED).astype(np.float32), 5)
    fine = np.maximum(ndimage.gaussian_gradient_magnitude(apart, 1.0) - 0.4 * noise, 0.0) * beyond
    coarse = ndimage.gaussian_gradient_magnitude(apart, 3.0) * beyond
    around = 1.5 * net_pixel(mask)
    fine_here, coarse_here = ndimage.gaussian_filter(fine, around), ndimage.gaussian_filter(coarse, around)
    parts, count = ndimage.label(ndimage.maximum_filter(alpha > mask + 0.1, 5))
    numbers = np.arange(count + 1)
    whole = ndimage.sum_labels(fine, parts, numbers) / (ndimage.sum_labels(coarse, parts, numbers) + 1e-6)
    whole[0] = 0.0
    an_edge = np.clip(coarse_here / _EDGE, 0.0, 1.0)
    ratio = an_edge * fine_here / (coarse_here + np.float32(1e-6)) + (1.0 - an_edge) * whole[parts]
    return np.asarray(np.clip((ratio - _RAMP) / (_STEP - _RAMP), 0.0, 1.0), dtype=np.float32)
