"""From a segmentation net's coarse mask to a matte at the source's own resolution."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from pergai.errors import NoProductFound
from pergai.imaging import evidence
from pergai.imaging.backdrop import find_backdrop, with_highlights
from pergai.imaging.closed_form import solve_alpha
from pergai.imaging.doubt import doubtful
from pergai.imaging.foreground import background_colours, foreground_colours, old_background, spread, with_detail
from pergai.imaging.keying import key
from pergai.imaging.likeness import by_likeness, likeness
from pergai.imaging.outline import net_pixel
from pergai.imaging.picture import RGB, Alpha, FloatPlane, Matte
from pergai.imaging.planes import Colours, dot

VERSION = 17
"""Raise it when a matte comes out different, so that cached ones are made again."""

WORK_PIXELS = 2_000_000
"""Mattes are solved at no more than this many pixels and brought to the source's resolution by its colours."""

_SURE = 0.95
_PRIOR = 0.02
"""How strongly closed-form matting is held to the net's mask where nothing else is known."""

_HELD = 0.5
"""The same where the net is nearly sure."""

_DOUBT = 0.2
"""What the net gives less than this is nothing; above, its doubts are stretched to 0-1. Faint wide patches are ghosts of
other things in the picture."""

_THIN = 0.03
"""Ridges of the net's mask narrower than this share of the longer side are strands and spokes: their weakness is the net's
resolution, not doubt."""

_STRIP_ROWS = 512

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""


def refine(source: RGB, mask: FloatPlane, alpha: Alpha | None = None) -> Matte:
    """The product's matte.

    `mask` is the net's answer in 0-1 at any size of the same shape. `alpha` is the source's own: when it is a cut-out
    already, that alpha is the answer and the mask is not looked at. Raises NoProductFound when there is no product.
    """
    if alpha is not None and is_cut_out(alpha):
        return from_alpha(source, alpha)
    image = _unit(working_copy(source))
    coarse = _resize_plane(mask, image.shape[1], image.shape[0])
    if float(coarse.max()) < 0.5:
        raise NoProductFound("no product was found in the image")
    backdrop = find_backdrop(image, coarse)
    if backdrop is None:
        like = likeness(image, coarse)
        solved = _solve_on_anything(image, coarse, like.side)
        solved = evidence.on_texture(image, coarse, solved, like)
        background = background_colours(image, solved)
    else:
        coarse = with_highlights(image, coarse, backdrop)
        keyed = key(image, coarse, backdrop)
        solved = solve_alpha(image, keyed.unknown, keyed.estimate, keyed.confidence)
        solved = evidence.on_backdrop(image, coarse, solved, backdrop, keyed.edge)
        if keyed.density is not None:
            solved = solved * keyed.density
        background = backdrop.colour
    levels = _alpha_at_source(source, image, solved)
    if levels.max() < 128:
        raise NoProductFound("what was found in the image cannot be told from its background")
    colours = _colours_at_source(source, levels, foreground_colours(image, solved, background), background)
    return Matte(levels, colours, doubtful(coarse, solved))


def is_cut_out(alpha: Alpha) -> bool:
    """Whether a source's own alpha separates a product: some of it solid, some of it clear."""
    return bool((alpha < 8).mean() > 0.005 and (alpha > 247).mean() > 0.001)


def from_alpha(source: RGB, alpha: Alpha) -> Matte:
    """The matte of a source that is a cut-out already: its own alpha, with colours for the pixels beyond its edge, and its
    edge's own colours where an old background shines through (see `old_background`)."""
    image = _unit(working_copy(source))
    coarse = _resize_plane(alpha.astype(np.float32) / np.float32(255.0), image.shape[1], image.shape[0])
    old = old_background(image, coarse)
    if old is not None:
        behind = np.broadcast_to(old, image.shape).astype(np.float32)
        return Matte(alpha, _colours_at_source(source, alpha, foreground_colours(image, coarse, behind), behind))
    colours = spread(image, np.maximum(coarse - 0.02, 0.0) ** 2)
    size = (source.shape[1], source.shape[0])
    beyond = _resize_planes(colours, size, (0.0, 0.0, float(image.shape[1]), float(image.shape[0])))
    keep = (alpha > 0)[..., None]
    return Matte(alpha, np.where(keep, source, np.round(beyond * 255.0).astype(np.uint8)))


def _solve_on_anything(image: Colours, mask: FloatPlane, like: FloatPlane) -> FloatPlane:
    """Alpha over an unknown background: closed form in a band around the net's outline, held to the net's mask as the
    colours correct it."""
    reach = max(2, round(net_pixel(mask)))
    unsure = (mask > 1.0 - _SURE) & (mask < _SURE)
    unknown = ndimage.maximum_filter(unsure, 2 * reach + 1)
    width = 2 * round(_THIN * max(mask.shape)) + 1
    thin = ndimage.maximum_filter(mask - ndimage.grey_opening(mask, width) > 0.1, 3)
    decided = np.clip(np.where(thin, mask, (mask - _DOUBT) / (1.0 - _DOUBT)), 0.0, 1.0)
    estimate = np.where(unknown, by_likeness(decided, like), np.round(mask)).astype(np.float32)
    held = (_PRIOR + _HELD * np.abs(2.0 * mask - 1.0) ** 8).astype(np.float32)
    return solve_alpha(image, unknown, estimate, held)


def _alpha_at_source(source: RGB, image: Colours, alpha: FloatPlane) -> Alpha:
    """Alpha in the source's own resolution: as it is, or by the local lines of alpha over colour."""
    if image.shape == source.shape:
        return _levels(alpha)
    slope, offset = _local_lines(image, alpha)
    lines = np.concatenate([slope, offset[..., None]], axis=2)
    out = np.empty(source.shape[:2], dtype=np.uint8)
    for rows, box, size in _strips(source, image):
        line = _resize_planes(lines, size, box)
        out[rows] = _levels(dot(_unit(source[rows]), line[..., :3]) + line[..., 3])
    return out


def _levels(alpha: FloatPlane) -> Alpha:
    """0-255, with what is within a level or two of clear or solid snapped to it."""
    levels: Alpha = np.round(np.clip((alpha - 0.01) / 0.98, 0.0, 1.0) * 255.0).astype(np.uint8)
    return levels


def _colours_at_source(source: RGB, alpha: Alpha, foreground: Colours, background: Colours) -> RGB:
    """The product's colours in the source's own resolution, exactly the source's where alpha is 255."""
    out = np.empty_like(source)
    for rows, box, size in _strips(source, foreground):
        share = alpha[rows].astype(np.float32) / np.float32(255.0)
        front, back = _resize_planes(foreground, size, box), _resize_planes(background, size, box)
        colours = np.round(with_detail(_unit(source[rows]), share, front, back) * 255.0).astype(np.uint8)
        out[rows] = np.where((alpha[rows] == 255)[..., None], source[rows], colours)
    return out


def _strips(source: RGB, image: Colours) -> Iterator[tuple[slice, Box, tuple[int, int]]]:
    """The source in strips of rows, each with its box in the working image and its own (width, height)."""
    height, width = source.shape[:2]
    scale = image.shape[0] / height
    for top in range(0, height, _STRIP_ROWS):
        bottom = min(top + _STRIP_ROWS, height)
        yield slice(top, bottom), (0.0, top * scale, float(image.shape[1]), bottom * scale), (width, bottom - top)


def _unit(pixels: RGB) -> Colours:
    return pixels.astype(np.float32) / np.float32(255.0)


def _local_lines(image: Colours, alpha: FloatPlane) -> tuple[Colours, FloatPlane]:
    """Alpha as a local linear function of colour (He, Sun and Tang, "Guided image filtering", 2013): slopes and
    offset of each pixel at the working size, to be applied to the full-size colours."""
    side = 3

    def mean(plane: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return np.asarray(ndimage.uniform_filter(plane, side, mode="nearest"))

    means = [mean(image[..., c]) for c in range(3)]
    mean_alpha = mean(alpha)
    covariance = np.empty((*alpha.shape, 3, 3), dtype=np.float32)
    with_alpha = np.empty((*alpha.shape, 3), dtype=np.float32)
    for i in range(3):
        with_alpha[..., i] = mean(image[..., i] * alpha) - means[i] * mean_alpha
        for j in range(i, 3):
            covariance[..., i, j] = covariance[..., j, i] = mean(image[..., i] * image[..., j]) - means[i] * means[j]
    covariance += np.eye(3, dtype=np.float32) * np.float32(1e-4)
    slope = np.linalg.solve(covariance, with_alpha[..., None])[..., 0].astype(np.float32)
    offset = mean_alpha - dot(slope, np.stack(means, axis=-1))
    return np.stack([mean(slope[..., i]) for i in range(3)], axis=-1), mean(offset)


def working_copy(source: RGB) -> RGB:
    """The source at no more than `WORK_PIXELS`: what mattes are solved on, and all that a net needs to see."""
    height, width = source.shape[:2]
    if height * width <= WORK_PIXELS:
        return source
    factor = math.sqrt(WORK_PIXELS / (height * width))
    size = (max(3, round(width * factor)), max(3, round(height * factor)))
    return np.asarray(Image.fromarray(source).resize(size, Image.Resampling.BOX, reducing_gap=2.0))


def _resize_plane(plane: FloatPlane, width: int, height: int) -> FloatPlane:
    if plane.shape == (height, width):
        return plane
    resized = Image.fromarray(plane).resize((width, height), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(resized, dtype=np.float32), 0.0, 1.0)


def _resize_planes(planes: npt.NDArray[np.float32], size: tuple[int, int], box: Box) -> npt.NDArray[np.float32]:
    """A part of (height, width, channels) enlarged to `size` (width, height), bilinear."""
    if planes.shape[1] == size[0] and box[3] - box[1] == size[1]:
        return planes[round(box[1]) : round(box[3])]
    parts = [
        np.asarray(Image.fromarray(planes[..., c]).resize(size, Image.Resampling.BILINEAR, box=box))
        for c in range(planes.shape[2])
    ]
    return np.stack(parts, axis=-1)
