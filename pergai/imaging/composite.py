"""The product's own pixels on top of a picture."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from pergai.imaging.colour import to_16_bits
from pergai.imaging.picture import RGB, Alpha, Deep, FloatPlane, Matte
from pergai.imaging.placement import Box, Placed, around
from pergai.imaging.planes import picked, whole

_Colours = TypeVar("_Colours", RGB, Deep)

FloatColours = npt.NDArray[np.float32]
"""(height, width, 3), sRGB, 0-1."""

_Indices = npt.NDArray[np.intp]
_Planes = npt.NDArray[np.float32]
"""(channels, height, width): plane by plane, numpy's loops run along a row instead of over three channels."""


def over(foreground: RGB, alpha: Alpha, background: RGB) -> RGB:
    """alpha * foreground + (1 - alpha) * background, in sRGB as the eye expects of an edge.

    Where alpha is 255 the result equals the foreground exactly, where it is 0 the background.
    """
    result = np.array(background, order="C")
    np.copyto(whole(result), whole(np.ascontiguousarray(foreground)), where=alpha == 255)
    edge = (alpha > 0) & (alpha < 255)  # few pixels, and only there is anything to reckon
    cover = alpha[edge].astype(np.float32)[:, None] / 255
    mixed = np.rint(picked(foreground, edge) * cover + picked(result, edge) * (1 - cover))
    whole(result)[edge] = whole(mixed.astype(np.uint8))
    return result


def over_deep(foreground: Deep, alpha: Alpha, background: FloatColours) -> Deep:
    """The same with 16 bits a channel, over a background of 0-1 that is rounded only here."""
    cover = alpha.astype(np.float32)[..., None] / 255
    mixed = np.clip(np.rint(foreground * cover + background * (65535 * (1 - cover))), 0, 65535).astype(np.uint16)
    return np.asarray(np.where((alpha == 255)[..., None], foreground, mixed), np.uint16)


def foreground_deep(source: Deep, matte: Matte) -> Deep:
    """A matte's foreground with 16 bits a channel: the source's own where it is solid, else what is known of it."""
    return np.where((matte.alpha == 255)[..., None], source, to_16_bits(matte.foreground))


def stacked(bodies: Sequence[Placed]) -> Placed:
    """Cut-outs on one canvas, the farthest first, as one: straight colours, exact where one of them is solid.

    Its box holds all of theirs, its scale is the largest; it is deep when all of them are or can be.
    """
    first = bodies[0]
    deep = any(body.deep is not None for body in bodies)
    colours, alpha = first.foreground, first.alpha
    wide = _wide(first) if deep else None
    for body in bodies[1:]:
        over, under = body.alpha.astype(np.float32) / 255, alpha.astype(np.float32) / 255
        cover = over + (1 - over) * under
        share = np.asarray(over / np.maximum(cover, 1e-6), np.float32)[..., None]
        colours = _mixed(body.foreground, colours, share)
        wide = _mixed(_wide(body), wide, share) if wide is not None else None
        alpha = np.maximum(np.rint(cover * 255).astype(np.uint8), np.maximum(alpha, body.alpha))
    boxes = [body.box for body in bodies]
    box = Box(
        min(box.left for box in boxes),
        min(box.top for box in boxes),
        max(box.right for box in boxes),
        max(box.bottom for box in boxes),
    )
    return Placed(colours, alpha, box, max(body.scale for body in bodies), wide)


def _wide(body: Placed) -> Deep:
    return to_16_bits(body.foreground) if body.deep is None else body.deep


def _mixed(top: _Colours, below: _Colours, share: FloatColours) -> _Colours:
    mixed = np.rint(top * share + below * (1 - share)).astype(top.dtype)
    mixed = np.where(share == 1, top, mixed)
    return np.asarray(np.where(share == 0, below, mixed), top.dtype)


def inside(alpha: Alpha, margin: int = 2) -> npt.NDArray[np.bool_]:
    """Where the product is solid, `margin` pixels away from anything that is not."""
    height, width = alpha.shape
    solid = np.pad(alpha == 255, margin)
    # An erosion by a square, one axis after the other: ten times as fast as SciPy's.
    solid = reduce(np.logical_and, (solid[shift : shift + height] for shift in range(2 * margin + 1)))
    return reduce(np.logical_and, (solid[:, shift : shift + width] for shift in range(2 * margin + 1)))


def fill_behind(
    picture: npt.NDArray[np.float32], hole: npt.NDArray[np.bool_], seen: npt.NDArray[np.bool_] | None = None
) -> npt.NDArray[np.float32]:
    """Continue a picture (height, width, channels) smoothly into a hole: each pixel of the hole takes a mean of the
    nearest known pixels, the nearer the stronger (push-pull pyramid).

    `seen` (height, width): where anybody will look, if that is little of the hole; the rest of it is left as it is.
    """
    if not hole.any():
        return picture
    height, width = hole.shape
    known = (~hole).astype(np.float32)
    weighted = np.multiply(np.moveaxis(picture, -1, 0), known, order="C", dtype=np.float32)
    if min(height, width) <= 1:
        return np.moveaxis(weighted, 0, -1)
    coarser, result = _coarser(weighted, known), np.array(picture, np.float32)
    if seen is not None:
        rows, columns = np.nonzero(hole & seen)
        result[rows, columns] = _doubled_at(coarser, rows, columns)
        return result
    for channel, plane in enumerate(_doubled(coarser)):
        np.copyto(result[..., channel], plane[:height, :width], where=hole)
    return result


SHADOW = 0.6
"""What has less than this share of the light of the pixels farther out is a contact shadow."""

LINE_SPREAD = 2.0
"""Pixels (standard deviation) round one over which the direction of what is drawn there is taken."""


def continue_behind(
    picture: npt.NDArray[np.float32], hole: npt.NDArray[np.bool_], rim: float = 6.0
) -> npt.NDArray[np.float32]:
    """`fill_behind`, but the rim of the hole, so many pixels wide, goes over from what is beside it: a line runs straight on,
    and a texture without one is mirrored, so that it goes on too. Where the nearest pixel is far darker than its mirror image,
    it is the nearest pixel: a thin shadow beside the hole reaches what hides it, and no bright line is left between them."""
    if not hole.any() or hole.all():
        return picture
    filled = fill_behind(picture, hole)
    near = around(hole, round(4 * rim))
    corner, part, seen = np.array([span.start for span in near]), hole[near], picture[near]
    distance, nearest = ndimage.distance_transform_edt(part, return_indices=True)
    narrow = part & (distance < rim)
    here, beside = np.argwhere(narrow), nearest[:, narrow].T
    mirrored = 2 * beside - here
    outside = (mirrored < 0) | (mirrored >= part.shape)
    mirrored = np.where(outside.any(axis=1, keepdims=True), beside, mirrored)
    mirrored = np.where(part[tuple(mirrored.T)][:, None], beside, mirrored)
    level = seen.sum(axis=-1)
    shadow = level[tuple(beside.T)] < SHADOW * level[tuple(mirrored.T)]
    mirrored = np.where(shadow[:, None], beside, mirrored)
    there, strength = _along_lines(level, part, here, 4 * rim)
    across = np.abs(((there - here) * (here - beside)).sum(axis=1)) / np.linalg.norm(there - here, axis=1)
    strength = np.where(shadow, strength * across / distance[narrow], strength)  # a contact shadow runs along the hole
    colours = seen[tuple(mirrored.T)]
    for channel in range(picture.shape[-1]):
        line = ndimage.map_coordinates(filled[near][..., channel], there.T, order=1, mode="nearest")
        colours[:, channel] += strength * (line - colours[:, channel])
    share = np.clip(1 - (distance[narrow] - 2) / (rim - 2), 0, 1).astype(np.float32)[:, None]
    at = tuple((here + corner).T)
    filled[at] += share * (colours - filled[at])
    return filled


def _along_lines(
    level: FloatPlane, hole: npt.NDArray[np.bool_], here: _Indices, farthest: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """For each pixel of the hole (n, 2): the place just outside it where the line through that pixel comes in, and 0-1: how
    much of a line there is and how near it comes in. Its direction is that of the structure tensor of what is seen."""
    valid = ndimage.binary_erosion(~hole, np.ones((3, 3), bool), border_value=1)
    down, across = np.gradient(level)
    dd, da, aa = (
        ndimage.gaussian_filter(np.where(valid, product, 0), LINE_SPREAD)[tuple(here.T)]
        for product in (down * down, down * across, across * across)
    )
    coherence = np.hypot(aa - dd, 2 * da) / np.maximum(aa + dd, np.finfo(np.float32).tiny)
    angle = np.arctan2(2 * da, aa - dd) / 2 + np.pi / 2
    direction = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    reach = np.arange(1, int(farthest) + 1)
    steps = np.stack([reach, -reach], axis=1).ravel()  # the nearest first, to both sides
    cells = np.rint(here[:, None] + steps[:, None] * direction[:, None]).astype(np.intp)
    inside = ((cells >= 0) & (cells < hole.shape)).all(axis=-1)
    cells = np.where(inside[..., None], cells, 0)
    out = inside & ~hole[cells[..., 0], cells[..., 1]]
    first = out.argmax(axis=1)
    step = np.where(out.any(axis=1), steps[first] + np.sign(steps[first]), farthest)
    return here + step[:, None] * direction, coherence * np.clip(1 - np.abs(step) / farthest, 0, 1)


def _coarser(weighted: _Planes, weight: FloatPlane) -> _Planes:
    """The picture at half its size, filled."""
    height, width = weight.shape
    pad = ((0, height % 2), (0, width % 2))
    small, small_weight = _halved(np.pad(weighted, ((0, 0), *pad))), _halved(np.pad(weight, pad))
    scale = np.minimum(small_weight, 1) / np.maximum(small_weight, 1e-6)
    return _pull(np.asarray(small * scale, np.float32), np.asarray(small_weight * scale, np.float32))


def _pull(weighted: _Planes, weight: FloatPlane) -> _Planes:
    height, width = weight.shape
    mean = np.asarray(weighted / np.maximum(weight, 1e-6), np.float32)
    if weight.min() > 0 or min(height, width) <= 1:
        return mean
    share = np.minimum(weight, 1)
    below = _doubled(_coarser(weighted, weight))[:, :height, :width]
    return np.asarray(mean * share + below * (1 - share), np.float32)


def _halved(planes: _Planes) -> _Planes:
    upper, lower = planes[..., 0::2, :], planes[..., 1::2, :]
    return upper[..., 0::2] + lower[..., 0::2] + upper[..., 1::2] + lower[..., 1::2]


def _doubled(planes: _Planes) -> _Planes:
    big = planes.repeat(2, axis=1).repeat(2, axis=2)
    smooth: _Planes = ndimage.uniform_filter(big, size=(1, 3, 3), mode="nearest")
    return smooth


def _doubled_at(planes: _Planes, rows: _Indices, columns: _Indices) -> npt.NDArray[np.float32]:
    """(n, channels): what `_doubled` has at these pixels, written out."""
    _, height, width = planes.shape
    down, across = (
        [np.clip((indices + step) // 2, 0, side - 1) for step in (-1, 0, 1)]
        for indices, side in ((rows, height), (columns, width))
    )
    tall = [np.stack([planes[:, y, x] for y in down]).sum(axis=0, dtype=np.float64) / 3 for x in across]
    means = np.stack(tall).astype(np.float32).sum(axis=0, dtype=np.float64) / 3
    return np.asarray(means.T, np.float32)
