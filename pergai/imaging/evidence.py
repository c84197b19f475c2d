"""How far a refined matte may leave the net's mask: as far as the photo bears it out.

Sharpening an outline where the net has drawn it needs no proof. Moving it does: by colours that the product and the
background explain better than they explain the net's mask. Where there is none, the net's own answer stands.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from pergai.imaging.backdrop import Backdrop
from pergai.imaging.beyond_shadow import beyond_shadow
from pergai.imaging.foreground import spread
from pergai.imaging.likeness import Likeness, bare
from pergai.imaging.outline import net_pixel
from pergai.imaging.picture import FloatPlane
from pergai.imaging.planes import Colours, dot, largest, smallest

_MOVED, _FAR = 0.05, 0.12
"""Mean change of alpha around a pixel that is taken for a mere sharpening, and that is surely none."""

_GAIN = 0.03
"""By how much (0-1) the refined matte must explain the colours better to be followed all the way."""

_THIN = 8.0
"""On a texture nothing thinner than this, in the net's pixels, is told apart better than the net did."""

_RAMP_PIXELS = 3.6
"""Across how many of its pixels the net goes from one side of an outline to the other."""

_AGREED = 0.2
"""So far from undecided (0-1) a pixel's colour is on one side."""

_MOST = 0.7
"""Share of what moves around a pixel whose colours must speak for it until all of it is believed."""

_SPECK = 0.002
"""Share of the largest part below which a detached one is a speck."""

_VEIL = 0.05, 0.3
"""Alpha that is nothing, and that is thin stuff, far from anything solid or where only the background's colours are."""

_DEEP = 4.0
"""So many of the net's pixels inside its outline nothing is removed but holes."""

_DOUBTED = 0.45, 0.65
"""What the net gives to what it doubts, and to what it is sure of enough to be asked for the backdrop's own colour there."""

_CONTRAST = 0.1, 0.25
"""Distance (0-√3) of the product's colour from the backdrop at which a gap between them begins to be seen, and is."""


def on_texture(image: Colours, mask: FloatPlane, alpha: FloatPlane, like: Likeness) -> FloatPlane:
    """`alpha` where the colours on both sides bear it out and the outline has only become sharper, or where the pixels' own
    colours speak for it and either the net's doubts are wide or hue proves them right; else `mask`."""
    unit = net_pixel(mask)
    borne_out = _borne_out(image, mask, alpha)
    thin = mask - ndimage.grey_opening(mask, 2 * round(_THIN * unit / 2) + 1)
    thin = ndimage.maximum_filter(np.clip((thin - 0.1) / 0.2, 0.0, 1.0), 2 * round(1.5 * unit) + 1)
    sharper = _unmoved(mask, mask + borne_out * (alpha - mask)) * (1.0 - ndimage.gaussian_filter(thin, unit))
    added = np.clip((like.side - 0.5) / _AGREED, 0.0, 1.0) * np.clip(2.0 * borne_out, 0.0, 1.0)
    removed = np.clip((0.5 - like.side) / _AGREED, 0.0, 1.0)
    decided = np.where(alpha > mask, added, removed) * np.maximum(_wide_doubt(mask), like.proven)
    decided = np.clip(_around_moves(decided, mask, alpha) / _MOST, 0.0, 1.0)
    share = np.maximum(borne_out * sharper, decided)
    moved = _without_specks(np.asarray(mask + share * (alpha - mask), dtype=np.float32))
    return _without_veils(moved, bare(like.side) * np.maximum(mask - moved, np.float32(0.0)), unit)


def _wide_doubt(mask: FloatPlane) -> FloatPlane:
    """1 where the net is in doubt over more than the width of its ramp: there it has drawn no line."""
    reach = _RAMP_PIXELS / 2.0 * net_pixel(mask)
    middle = ndimage.distance_transform_edt((mask > 0.05) & (mask < 0.95)) > reach
    if not middle.any():
        return np.zeros_like(mask)
    return np.asarray(ndimage.distance_transform_edt(~middle) <= reach + 1.0, dtype=np.float32)


def _around_moves(proof: FloatPlane, mask: FloatPlane, alpha: FloatPlane) -> FloatPlane:
    """The mean of `proof` around each pixel, over what `alpha` moves there."""
    radius = 0.7 * net_pixel(mask)
    moved = np.abs(alpha - mask) + 1e-3
    return np.asarray(ndimage.gaussian_filter(proof * moved, radius) / ndimage.gaussian_filter(moved, radius))


def _without_specks(alpha: FloatPlane) -> FloatPlane:
    """Alpha without detached parts that are tiny beside the product. An earring's twin, a lace, a faint glass stay."""
    parts, count = ndimage.label(alpha > 0.02, np.ones((3, 3), dtype=bool))
    if count < 2:
        return alpha
    numbers = np.arange(count + 1)
    mass = ndimage.sum_labels(alpha, parts, numbers)
    mass[0] = 0.0
    kept = mass > _SPECK * mass.max()
    return np.where(kept[parts], alpha, np.float32(0.0))


def _without_veils(alpha: FloatPlane, emptied: FloatPlane, unit: float) -> FloatPlane:
    """Alpha without the faint haze that a net's doubt leaves beyond an outline: all of it where nothing solid is near, and
    the share `emptied` (0-1) elsewhere. Closed form takes the light streaks of a texture for a little of a bright product."""
    alone = ndimage.maximum_filter(alpha, 2 * round(1.5 * unit) + 1) < 0.5
    faint = np.clip((alpha - _VEIL[0]) / (_VEIL[1] - _VEIL[0]), 0.0, 1.0)
    return np.asarray(alpha * (1.0 - np.where(alone, 1.0, emptied) * (1.0 - faint)), dtype=np.float32)


def on_backdrop(image: Colours, mask: FloatPlane, alpha: FloatPlane, backdrop: Backdrop, edge: float) -> FloatPlane:
    """`alpha` where it only sharpens the outline, adds what no shadow explains, or removes what shows the backdrop
    beside a product of another colour; else `mask`."""
    added = beyond_shadow(image, mask, alpha, backdrop)
    front = spread(image, (np.minimum(mask, alpha) ** 4).astype(np.float32))
    line = front - backdrop.colour
    contrast = np.sqrt(dot(line, line))
    near_white = np.clip((smallest(backdrop.colour) - 0.85) / 0.1, 0.0, 1.0)
    removed = np.clip((contrast / (1.0 + 0.6 * near_white) - _CONTRAST[0]) / (_CONTRAST[1] - _CONTRAST[0]), 0.0, 1.0)
    removed = removed * _near_backdrop(mask, backdrop) * _shows_backdrop(image, mask, backdrop, edge)
    removed = np.where(backdrop.holes, np.float32(1.0), removed)
    proof = np.where(alpha > mask, added, removed)
    share = np.maximum(_around_moves(proof, mask, alpha), _unmoved(mask, alpha))
    return np.asarray(mask + share * (alpha - mask), dtype=np.float32)


def _near_backdrop(mask: FloatPlane, backdrop: Backdrop) -> FloatPlane:
    """1 beside a patch of the backdrop and near the net's outline, 0 deep inside: what looks like the backdrop there and is no
    hole is a highlight or a surface of the backdrop's colour."""
    depth = ndimage.distance_transform_edt(mask > 0.5) / net_pixel(mask)
    beside = ndimage.distance_transform_edt(~backdrop.ground) / net_pixel(mask)
    return np.asarray(np.clip(_DEEP + 1.0 - np.minimum(depth, beside), 0.0, 1.0), dtype=np.float32)


def _shows_backdrop(image: Colours, mask: FloatPlane, backdrop: Backdrop, edge: float) -> FloatPlane:
    """1 beside what has the backdrop's own colour, and where the net is not sure; 0 elsewhere: there a colour between
    the product's and the backdrop's is that of another part."""
    smooth = ndimage.gaussian_filter(image, (0.7, 0.7, 0.0))
    off = largest(np.abs(smooth - backdrop.colour))
    shown = np.clip(1.0 - (off - 3.0 * backdrop.noise - 0.008) / 0.03, 0.0, 1.0)
    shown = ndimage.maximum_filter(shown, 2 * round(edge) + 1)
    sure = np.clip((mask - _DOUBTED[0]) / (_DOUBTED[1] - _DOUBTED[0]), 0.0, 1.0)
    return np.asarray(1.0 - sure * (1.0 - shown), dtype=np.float32)


def _unmoved(mask: FloatPlane, alpha: FloatPlane) -> FloatPlane:
    """1 where the two agree on average over a few of the net's pixels: there one is only sharper than the other."""
    unit = net_pixel(mask)
    change = np.abs(ndimage.gaussian_filter(mask - alpha, 1.5 * unit))
    share = np.clip((_FAR - change) / (_FAR - _MOVED), 0.0, 1.0)
    share = ndimage.minimum_filter(share, 2 * round(unit) + 1)
    return np.asarray(ndimage.gaussian_filter(share, unit / 1.5), dtype=np.float32)


def _borne_out(image: Colours, mask: FloatPlane, alpha: FloatPlane) -> FloatPlane:
    """0-1: how much better `alpha` explains the colours as a mixture of what is sure on both sides."""
    unit = max(2.0, round(net_pixel(mask)))
    least, most = np.minimum(mask, alpha), np.maximum(mask, alpha)
    solid = ndimage.minimum_filter((least > 0.95).astype(np.float32), 3) + np.float32(0.02) * least**4
    clear = ndimage.minimum_filter((most < 0.05).astype(np.float32), 3) + np.float32(1e-3) * (most < 0.05)
    front, back = spread(image, solid.astype(np.float32)), spread(image, clear.astype(np.float32))

    def unexplained(share: FloatPlane) -> FloatPlane:
        rest = np.abs(image - share[..., None] * front - (1.0 - share[..., None]) * back)
        return np.asarray(rest.mean(axis=-1), dtype=np.float32)

    gain = ndimage.gaussian_filter(unexplained(mask) - unexplained(alpha), unit)
    moved = ndimage.gaussian_filter(np.abs(mask - alpha), unit)
    return np.asarray(np.clip(gain / np.maximum(moved, 0.02) / _GAIN, 0.0, 1.0), dtype=np.float32)
