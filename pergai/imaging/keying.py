"""Difference keying: alpha from a backdrop that is known and a net that knows roughly where the product is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from pergai.imaging.backdrop import Backdrop, BoolPlane
from pergai.imaging.foreground import spread
from pergai.imaging.outline import net_inside, surest
from pergai.imaging.picture import FloatPlane
from pergai.imaging.planes import Colours, dot, largest
from pergai.imaging.translucency import density

_NEAR = 0.06
"""A part that the net has missed belongs to the product when it is within this share of the longer side."""

_SEAM = 0.02
"""Width of the darkest shadow where product and backdrop meet, as a share of the longer side."""

_SOLVE_ALL = 80_000
"""Pixels of the open zone that closed form may smooth in about a second."""

_NO_SHADOW = 0.01
"""How reluctantly a dark pixel at the edge is explained by shadow instead of by the product's own colour."""


@dataclass(frozen=True, slots=True)
class Key:
    """What keying knows: an estimate of alpha, how far it can be trusted (see `solve_alpha`), and where it is open."""

    estimate: FloatPlane
    confidence: FloatPlane
    unknown: BoolPlane
    edge: float
    """How many pixels wide the product's edge is: more when it is out of focus."""
    density: FloatPlane | None
    """What alpha is to be multiplied by: below 1 on glass. None on everything else."""


def key(image: Colours, mask: FloatPlane, backdrop: Backdrop) -> Key:
    """Everything that differs from the backdrop and hangs together with what the net has found."""
    longer = max(mask.shape)
    least = surest(mask, 1)
    sure = least > 0.95
    backdrop = _with_contact_shadows(image, backdrop, sure)
    off = largest(np.abs(image - backdrop.colour))
    differs = (ndimage.gaussian_filter(off, 0.6) > 4.0 * backdrop.noise + 0.012) & ~_far_inside(backdrop.ground)
    product = _with_missed_parts(differs, mask > 0.5, longer)
    product |= ndimage.binary_fill_holes(product) & (mask > 0.5)
    solid = (product | net_inside(mask)) & ~backdrop.ground
    reach = _edge_width(off, solid)
    core = ndimage.distance_transform_edt(solid) > reach
    core &= (least > 0.8) | ~_between_strands(image, backdrop, core, sure)

    inside = _unmix(image, backdrop.colour, spread(image, core.astype(np.float32)))
    ridges = _unmix(image, backdrop.colour, spread(image, _ridges(off, solid & ~core, core, backdrop.noise)))
    elsewhere = inside.error > 4.0 * backdrop.noise + 0.12 * inside.contrast
    share = np.where(elsewhere, ridges.alpha, inside.alpha)
    contrast = np.where(elsewhere, ridges.contrast, inside.contrast)

    toe = np.clip(2.0 * backdrop.noise / np.maximum(contrast, np.float32(1e-3)), 0.0, 0.1)
    share = np.clip((share - toe) / (1.0 - 2.0 * toe), 0.0, 1.0)  # what noise makes of clear and solid

    trust = np.clip((contrast / 0.15) ** 2, 0.0, 4.0).astype(np.float32)
    doubt = np.float32(0.02)
    estimate = ((trust * share + doubt * mask) / (trust + doubt)).astype(np.float32)
    open_zone = ndimage.maximum_filter(product | (mask > 0.5), 2 * (round(reach) + 1) + 1) & ~core
    fixed = np.where(core, np.float32(1.0), np.float32(0.0))
    opacity = density(image, backdrop, solid)
    if opacity is not None:
        inner = (core & solid).astype(np.float32)
        opacity = np.where(core, opacity, spread(opacity[..., None], inner)[..., 0])
    return Key(
        np.where(open_zone, estimate, fixed).astype(np.float32),
        trust + doubt,
        _to_solve(open_zone, trust),
        reach,
        opacity,
    )


def _to_solve(open_zone: BoolPlane, trust: FloatPlane) -> BoolPlane:
    """All of the open zone, for its neighbours' sake; on hairy products, where it is large, the doubtful part."""
    return open_zone if open_zone.sum() <= _SOLVE_ALL else open_zone & (trust < 1.0)


def _far_inside(ground: BoolPlane) -> BoolPlane:
    """Ground without its outermost pixel: there the product may begin."""
    return np.asarray(ndimage.binary_erosion(ground, np.ones((3, 3), dtype=bool), border_value=1))


def _with_missed_parts(differs: BoolPlane, found: BoolPlane, longer: int) -> BoolPlane:
    """The connected parts of `differs` that touch what the net has found or lie near it; specks left out."""
    parts, count = ndimage.label(differs, np.ones((3, 3), dtype=bool))
    if not count:
        return differs
    numbers = np.arange(count + 1)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    hits = np.bincount(parts.ravel(), weights=found.ravel(), minlength=count + 1)
    own = hits > np.maximum(4, 0.02 * sizes)
    own[0] = False
    away = ndimage.distance_transform_edt(~own[parts]) if own.any() else np.full(differs.shape, np.inf)
    nearest = ndimage.minimum(away, parts, numbers)
    speck = max(8.0, 1e-5 * differs.size)
    keep = own | ((nearest < _NEAR * longer) & (sizes >= speck))
    keep[0] = False
    return np.asarray(keep[parts])


def _edge_width(off: FloatPlane, solid: BoolPlane) -> float:
    """How many pixels in from the ground the product's colour is its own: a few when sharp, more when out of focus."""
    depth = ndimage.distance_transform_edt(solid)
    limit = min(0.03 * max(off.shape), 24.0)
    deep = (depth > limit) & (depth < 2.0 * limit)
    if deep.sum() < 50:
        return 2.0
    plateau = spread(off[..., None], deep.astype(np.float32))[..., 0]
    share = off / np.maximum(plateau, 1e-3)
    # Only flanks of parts that are thick enough to have a plateau at all.
    flank = solid & ndimage.binary_dilation(deep, iterations=int(limit))
    for width in range(2, int(limit)):
        ring = flank & (depth > width) & (depth <= width + 1)
        level = float(np.median(share[ring])) if ring.any() else 1.0
        # A colour that is half there after two pixels is a sharp edge on a shaded product.
        if level > 0.93 or (width == 2 and level > 0.5):
            return float(width)
    return float(limit)


def _ridges(off: FloatPlane, thin: BoolPlane, core: BoolPlane, noise: float) -> FloatPlane:
    """Weights of the purest pixels of parts too thin to have an inside, beside those that have one."""
    peak = ndimage.maximum_filter(off, 5)
    ridge = thin & (off > 0.9 * peak) & (off > 8.0 * noise)
    return np.where(ridge, 1.0, np.where(core, 0.05, 0.0)).astype(np.float32)


def _with_contact_shadows(image: Colours, backdrop: Backdrop, sure: BoolPlane) -> Backdrop:
    """The backdrop with the dark seams where it meets the product: ground that is explained by shadow alone, too
    steep for the smooth model to have followed."""
    inside = sure & ~ndimage.maximum_filter(backdrop.ground, 5)
    if not inside.any():
        return backdrop
    mixed = _unmix(image, backdrop.colour, spread(image, inside.astype(np.float32)))
    only_shadow = (mixed.alpha < 0.08) & (mixed.error < 3.0 * backdrop.noise + 0.01)
    seam = round(_SEAM * max(sure.shape))
    ground = backdrop.ground | ndimage.binary_dilation(backdrop.ground, iterations=seam, mask=only_shadow)
    return backdrop.with_ground(image, ground)


def _between_strands(image: Colours, backdrop: Backdrop, core: BoolPlane, sure: BoolPlane) -> BoolPlane:
    """Pixels that only seem to be inside: the backdrop shows between strands too fine to be told apart.

    They lie on the line from the backdrop to the product's colour, beside purer ones.
    """
    deep = core & sure
    if not deep.any():
        return np.zeros_like(core)
    mixed = _unmix(image, backdrop.colour, spread(image, deep.astype(np.float32)))
    purer = ndimage.maximum_filter(mixed.alpha, 5) - mixed.alpha > 0.1
    on_line = mixed.error < 4.0 * backdrop.noise + 0.12 * mixed.contrast
    return np.asarray(core & on_line & purer & (mixed.alpha < 0.9))


@dataclass(frozen=True, slots=True)
class _Unmixed:
    alpha: FloatPlane
    error: FloatPlane
    """What product and backdrop together do not explain, 0-1."""
    contrast: FloatPlane
    """Distance between the two colours, 0-√3."""


def _unmix(image: Colours, back: Colours, front: Colours) -> _Unmixed:
    """Each pixel as α of the product's colour and t of the backdrop's, where t may fall short of 1 − α: the part of the
    backdrop next to a product lies in its shadow more than any smooth model can say."""
    ff, fb, bb = dot(front, front), dot(front, back), dot(back, back)
    fi, bi = dot(front, image), dot(back, image)
    # Minimise |I − αF − tB|² + λ (t + α − 1)².
    a11, a12, a22 = ff + _NO_SHADOW, fb + _NO_SHADOW, bb + _NO_SHADOW
    r1, r2 = fi + _NO_SHADOW, bi + _NO_SHADOW
    determinant = np.maximum(a11 * a22 - a12 * a12, 1e-9)
    alpha = (r1 * a22 - r2 * a12) / determinant
    rest = (a11 * r2 - a12 * r1) / determinant
    line = front - back
    square = np.maximum(dot(line, line), np.float32(1e-6))
    projected = dot(image - back, line) / square
    # A product of the backdrop's own hue cannot be told from its shadow.
    two_hues = ff * bb - fb * fb > 0.01 * ff * bb
    shaded = (
        two_hues & (alpha >= 0.0) & (alpha <= 1.0) & (rest >= 0.0) & (rest + alpha < 1.0) & (rest > 0.5 * (1.0 - alpha))
    )
    alpha = np.clip(np.where(shaded, alpha, projected), 0.0, 1.0).astype(np.float32)
    rest = np.where(shaded, rest, 1.0 - alpha).astype(np.float32)
    error = largest(np.abs(image - alpha[..., None] * front - rest[..., None] * back))
    return _Unmixed(alpha, error, np.sqrt(square))
