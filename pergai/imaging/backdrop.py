"""Plain backdrops: most product photos have one, and it says more about the outline than any net does.

The surroundings are modelled as a low-order polynomial of position for each colour, dimmed by smooth shadows. What
differs from that model is product; what only dims it, smoothly and in all colours alike, is a shadow.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from pergai.imaging.foreground import enlarge, reduce, spread
from pergai.imaging.outline import net_inside, net_pixel
from pergai.imaging.picture import FloatPlane
from pergai.imaging.planes import Colours, largest, smallest

BoolPlane = npt.NDArray[np.bool_]

_SAMPLES = 20_000
_QUIET = 1.5 / 255.0
"""No camera is quieter than this after 8-bit rounding and compression."""

_NOISY = 0.03
"""Surroundings that vary more than this from pixel to pixel (standard deviation, 0-1) are a texture."""

_FIT = 0.05
"""How far a plain backdrop may be from its polynomial before the pixel counts as something else."""

_PLAIN_SHARE = 0.7
"""Share of the surroundings that must follow the polynomial; the rest may be shadow or parts the net has missed."""

_PLAIN_FRAME = 0.9
"""Share of the picture's frame that must be ground, shadows included."""

_BLOTCHES = 0.01
"""Median distance (0-1) of a plain ground from its model, its noise averaged out."""

_HOLE_FRAME = 0.08
"""How much brightness changes at the edge of a hole at least: the shading of a white product on white is softer."""

_LEAK = 2.5
"""Half the width in pixels of the gaps in a hole's outline that are closed."""

_FILLED = 4.0
"""Half the width, in the net's pixels, from which on what it has filled of an open gap is no part of the product."""

_DARKEST_SHADOW = 0.35

_WHITE = 0.85
"""A backdrop no darker than this in any channel is as bright as highlights are."""


@dataclass(frozen=True, slots=True)
class Backdrop:
    """A plain backdrop, also behind the product."""

    colour: Colours
    noise: float
    """Standard deviation of a pixel's colour around the model, 0-1."""
    ground: BoolPlane
    """Pixels that show nothing but the backdrop, lit or in shadow."""
    lit: Colours
    """The backdrop without its shadows."""
    holes: BoolPlane
    """Ground inside the net's outline that a sharp edge of the product closes off all around."""

    def with_ground(self, image: Colours, ground: BoolPlane) -> Backdrop:
        """The same backdrop, its shadows learnt from more of the picture."""
        dimming = _smoothly_extended((image / np.maximum(self.lit, 1.0 / 255.0)).astype(np.float32), ground)
        return replace(self, colour=np.asarray(self.lit * dimming, dtype=np.float32), ground=ground)


def find_backdrop(image: Colours, mask: FloatPlane) -> Backdrop | None:
    """The plain backdrop of a picture whose product the net has found, or None when the surroundings are not plain."""
    height, width = mask.shape
    margin = max(2, round(0.02 * max(height, width)))
    around = ~ndimage.maximum_filter(mask > 0.3, 2 * margin + 1)
    around_pixels = np.flatnonzero(around)
    frame = np.ones_like(around)
    frame[margin:-margin, margin:-margin] = False
    if len(around_pixels) < 0.05 * mask.size or around[frame].mean() < 0.3:
        return None
    noise = _pixel_noise(image, around)
    if noise > _NOISY:
        return None
    polynomial, follows = _fit_polynomial(image, around_pixels[:: max(1, len(around_pixels) // _SAMPLES)])
    if follows < _PLAIN_SHARE:
        return None
    noise = max(noise, _QUIET)
    ground, holes = _grow_ground(image, polynomial, noise, mask)
    if ground[frame & around].mean() < _PLAIN_FRAME or _mottled(image, polynomial, ground):
        return None
    return Backdrop(polynomial, noise, ground, polynomial, holes).with_ground(image, ground)


def _mottled(image: Colours, model: Colours, ground: BoolPlane) -> bool:
    """A ground of soft blotches: near its model on the whole, but too far from it to be taken away pixel by pixel."""
    off = largest(np.abs(ndimage.gaussian_filter(image, (2.0, 2.0, 0.0)) - model))[ground]
    return bool(off.size) and float(np.median(off)) > _BLOTCHES


def _pixel_noise(image: Colours, around: BoolPlane) -> float:
    """Standard deviation of a pixel, from the median difference of neighbours in the surroundings."""
    both = around[:, 1:] & around[:, :-1]
    steps = np.abs(image[:, 1:] - image[:, :-1])[both]
    # The mean over the middle of the distribution: a median of 8-bit steps would be stuck on a whole level.
    middle = np.quantile(steps, 0.75)
    return float(middle / 1.15 / np.sqrt(2.0))


def _fit_polynomial(image: Colours, samples: npt.NDArray[np.intp]) -> tuple[Colours, float]:
    """The backdrop by a trimmed quadratic fit, and the share of the samples that follow it."""
    height, width = image.shape[:2]
    y, x = np.divmod(samples, width)
    terms = _terms(x / width, y / height)
    colours = image.reshape(-1, 3)[samples].astype(np.float64)
    kept = np.ones(len(samples), dtype=bool)
    for _ in range(8):
        factors = np.linalg.lstsq(terms[kept], colours[kept], rcond=None)[0]
        off = np.abs(colours - terms @ factors).max(axis=1)
        kept = off < max(_FIT / 3.0, 2.0 * float(np.median(off)))
    columns = (np.arange(width) / width)[None, :, None]
    rows = (np.arange(height) / height)[:, None, None]
    f = factors.astype(np.float32)
    along_rows = (f[0] + f[2] * rows + f[5] * rows * rows).astype(np.float32)
    slopes = (f[1] + f[4] * rows).astype(np.float32)
    model = along_rows + slopes * columns.astype(np.float32) + f[3] * (columns * columns).astype(np.float32)
    np.clip(model, 0.0, 1.0, out=model)
    return model, float((off < _FIT).mean())


def _terms(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)


def _grow_ground(image: Colours, model: Colours, noise: float, mask: FloatPlane) -> tuple[BoolPlane, BoolPlane]:
    """Pixels of the backdrop: those like the model, shadows that grow out of them without an edge, and holes; and those
    that are holes."""
    smooth = ndimage.gaussian_filter(image, (1.0, 1.0, 0.0))
    off = largest(np.abs(smooth - model))
    like = off < 3.0 * noise + 0.008
    ratio = smooth / np.maximum(model, 1.0 / 255.0)
    level = (ratio[..., 0] + ratio[..., 1] + ratio[..., 2]) / np.float32(3.0)
    same_hue = (largest(ratio) - smallest(ratio)) < 0.05 + 3.0 * noise
    slope = ndimage.gaussian_gradient_magnitude(level, 1.0)
    no_edge = slope < 12.0 / max(mask.shape) + 2.0 * noise
    shadow = same_hue & no_edge & (level > _DARKEST_SHADOW) & (level < 1.05)
    # White on white: deep inside its outline the net is believed, unless the patch has all the marks of a hole.
    outside = like & ~net_inside(mask)
    reached = ndimage.binary_propagation(outside & (mask < 0.1), mask=outside | (shadow & (mask < 0.5)))
    # In a dent that the net is not sure of, a white backdrop may be a mere highlight of the product.
    reached |= like & (mask < 0.5) & ~(_dents(mask, 0.5) & (smallest(model) > _WHITE) & (mask > 0.1))
    candidates = like | (shadow & (level > 0.6))
    holes = _holes(candidates & ~reached, like, off, noise, mask, model)
    # A gap that the net has half filled is judged with its open half. What is thin of the rest is metal, a mirror of the ground.
    within = ndimage.binary_fill_holes(mask > 0.5)
    filled = _holes(candidates & within, like, off, noise, mask, model) & ~reached
    wide = ndimage.distance_transform_edt(filled) > _FILLED * net_pixel(mask)
    holes |= ndimage.binary_propagation(wide, mask=filled)
    return np.asarray(reached | holes), holes


def _dents(mask: FloatPlane, level: float) -> BoolPlane:
    """What the net gives less than `level` inside its outline at that level."""
    found = mask > level
    dents: BoolPlane = ndimage.binary_fill_holes(found) & ~found
    return dents


def with_highlights(image: Colours, mask: FloatPlane, backdrop: Backdrop) -> FloatPlane:
    """The mask, sure of the product's highlights: dents as bright as a white backdrop through which none of it is seen."""
    white = smallest(backdrop.lit)
    bright = (white > _WHITE) & (smallest(image) > white - 0.03)
    if not bright.any():
        return mask
    for level in (0.5, 0.9):
        dents, count = ndimage.label(_dents(mask, level))
        sizes = np.maximum(np.bincount(dents.ravel(), minlength=count + 1), 1)
        shown = np.bincount(dents[backdrop.ground], minlength=count + 1) > 0
        filled = ~shown & (np.bincount(dents[bright], minlength=count + 1) > 0.3 * sizes)
        filled[0] = False
        mask = np.where(filled[dents], np.float32(1.0), mask)
    return mask


def _holes(
    candidates: BoolPlane,
    like: BoolPlane,
    off: FloatPlane,
    noise: float,
    mask: FloatPlane,
    model: Colours,
) -> BoolPlane:
    """Which patches inside the net's outline show the backdrop through a hole of the product.

    A hole matches the backdrop to within its noise over a good part of it, is no thin line (where a shaded surface
    happens to pass through the backdrop's colour), and has a sharp edge to the product all around. On a clipped white
    backdrop a white label has all that too: there the net must doubt it as well.
    """
    depth = ndimage.distance_transform_edt(candidates)
    # A grey product is a shadow's colour: where its edge is weak, a hole leaks into it.
    patches, count = ndimage.label(depth > _LEAK)
    holes = np.zeros_like(candidates)
    if not count:
        return holes
    # Highlights are as white as a white backdrop, and small.
    thick = max(3.0, (0.015 if np.median(model) > 0.9 else 0.005) * max(mask.shape))
    for index, box in enumerate(ndimage.find_objects(patches), start=1):
        around = tuple(slice(max(part.start - 6, 0), part.stop + 6) for part in box)
        patch = ndimage.binary_dilation(patches[around] == index, iterations=3, mask=candidates[around])
        if depth[around][patch].max() < thick or like[around][patch].mean() < 0.3:
            continue
        if model[around][patch].min() > 0.985 and mask[around][patch].mean() > 0.9:
            continue
        edge = ndimage.binary_dilation(patch, iterations=3) & ~patch
        frame = (ndimage.maximum_filter(off[around], 7) - ndimage.minimum_filter(off[around], 7))[edge]
        # Up to a third may be open to the surroundings, as between two legs.
        if len(frame) and np.quantile(frame, 0.33) > 5.0 * noise + _HOLE_FRAME:
            holes[around] |= patch
    return holes


def _smoothly_extended(planes: Colours, where: BoolPlane) -> Colours:
    """`planes` averaged over 4 × 4 blocks of `where`, continued everywhere else."""
    weights = where.astype(np.float32)
    factor = 4
    sums, counts = reduce(planes * weights[..., None], factor), reduce(weights[..., None], factor)[..., 0]
    means = sums / np.maximum(counts, np.float32(1e-6))[..., None]
    return enlarge(spread(means.astype(np.float32), (counts * counts).astype(np.float32)), factor, *where.shape)
