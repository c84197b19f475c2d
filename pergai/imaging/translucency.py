"""Tinted glass in front of a plain backdrop: how dense it is, pixel by pixel.

One photo cannot tell clear glass from grey plastic. Tinted glass it can: all its colours lie on one line from the
backdrop's colour to the tint, at many densities, and the densest are at the rim. Paint in another light does not: shading
pulls a colour towards black, off that line. Where the evidence is not complete the product is taken to be solid.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from pergai.imaging.backdrop import Backdrop, BoolPlane
from pergai.imaging.picture import FloatPlane
from pergai.imaging.planes import Colours, dot, largest

_ONE_TINT = math.cos(math.radians(14.0))
_NOT_SHADOW = math.cos(math.radians(9.0))
"""A tint whose line runs towards black could as well be a shaded surface of the backdrop's own hue."""

_EXPLAINED = 0.85
"""Share of the pixels of that tint that the one line must explain."""

_CLEAR_INSIDE = 0.75
"""Glass lets through at least a quarter of the backdrop over most of its inside."""


def density(image: Colours, backdrop: Backdrop, solid: BoolPlane) -> FloatPlane | None:
    """Opacity 0-1 of each pixel of `solid`, 1 elsewhere; None when the product is not tinted glass."""
    difference = ndimage.gaussian_filter(image - backdrop.colour, (0.8, 0.8, 0.0))
    length = np.sqrt(dot(difference, difference))
    seen = solid & (length > 0.06 + 3.0 * backdrop.noise)
    if seen.sum() < 200:
        return None
    direction = difference / np.maximum(length, np.float32(1e-6))[..., None]
    tint = np.median(direction[seen], axis=0)
    tint /= max(float(np.linalg.norm(tint)), 1e-6)
    for _ in range(3):  # the median of the pixels around the first guess: labels and caps drop out
        close = seen & (direction @ tint > _ONE_TINT)
        if close.sum() < 0.3 * solid.sum():
            return None
        tint = np.median(direction[close], axis=0)
        tint /= max(float(np.linalg.norm(tint)), 1e-6)
    dark = -np.median(backdrop.colour[close], axis=0)
    if tint @ (dark / np.linalg.norm(dark)) > _NOT_SHADOW:
        return None
    depth = ndimage.distance_transform_edt(solid)
    inner = 0.02 * max(solid.shape)
    rim, inside = close & (depth > 2) & (depth <= inner), close & (depth > 1.5 * inner)
    if rim.sum() < 50 or inside.sum() < 50:
        return None
    densest = rim & (length >= np.quantile(length[rim], 0.85))
    line = np.median(image[densest], axis=0) - backdrop.colour
    contrast = np.sqrt(dot(line, line))
    opacity = dot(difference, line) / np.maximum(contrast, np.float32(1e-3)) ** 2
    error = largest(np.abs(difference - opacity[..., None] * line))
    # A vote of the neighbours: single pixels are too noisy to decide what is glass and what is label.
    on_line = solid & (ndimage.uniform_filter((error < 0.07 * contrast + backdrop.noise).astype(np.float32), 7) > 0.5)
    if on_line[close].mean() < _EXPLAINED:
        return None
    clearest, dense = np.quantile(opacity[inside], (0.2, 0.8))
    if dense > _CLEAR_INSIDE or clearest < 0.05:
        return None
    unseen = solid & ~seen  # a gleam as bright as the backdrop
    return np.where(on_line | unseen, np.clip(np.where(unseen, clearest, opacity), clearest, 1.0), 1.0).astype(
        np.float32
    )
