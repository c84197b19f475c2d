"""The product's own pixels on top of a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from pergai.imaging.colour import to_16_bits
from pergai.imaging.picture import RGB, Alpha, Deep, Matte
from pergai.imaging.placement import Box, Placed

_Colours = TypeVar("_Colours", RGB, Deep)

FloatColours = npt.NDArray[np.float32]
"""(height, width, 3), sRGB, 0-1."""


def over(foreground: RGB, alpha: Alpha, background: RGB) -> RGB:
    """alpha * foreground + (1 - alpha) * background, in sRGB as the eye expects of an edge.

    Where alpha is 255 the result equals the foreground exactly, where it is 0 the background.
    """
    result: RGB = np.where((alpha == 255)[..., None], foreground, background)
    edge = (alpha > 0) & (alpha < 255)  # few pixels, and only there is anything to reckon
    cover = alpha[edge].astype(np.float32)[:, None] / 255
    result[edge] = np.rint(foreground[edge] * cover + background[edge] * (1 - cover)).astype(np.uint8)
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
    solid = alpha == 255
    if margin <= 0 or not solid.any():
        return np.asarray(solid, np.bool_)
    eroded = ndimage.binary_erosion(solid, np.ones((3, 3), bool), iterations=margin)
    return np.asarray(eroded, np.bool_)


def fill_behind(picture: npt.NDArray[np.float32], hole: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Continue a picture (height, width, channels) smoothly into a hole: each pixel of the hole takes a mean of the
    nearest known pixels, the nearer the stronger (push-pull pyramid)."""
    if not hole.any():
        return picture
    known = (~hole).astype(np.float32)[..., None]
    weighted = np.asarray(picture * known, np.float32)
    filled = _from_coarser(weighted, known) if min(hole.shape) > 1 else weighted
    return np.where(hole[..., None], filled, picture).astype(np.float32, copy=False)


SHADOW = 0.6
"""What has less than this share of the light of the pixels farther out is a contact shadow."""


def continue_behind(
    picture: npt.NDArray[np.float32], hole: npt.NDArray[np.bool_], rim: float = 6.0
) -> npt.NDArray[np.float32]:
    """`fill_behind`, but the rim of the hole, so many pixels wide, goes over from the mirror image of what is beside it: a
    texture goes on. Where the nearest pixel is far darker than that, it is the nearest pixel: a thin shadow beside the hole
    reaches what hides it, and no bright line is left between them."""
    if not hole.any() or hole.all():
        return picture
    filled = fill_behind(picture, hole)
    distance, nearest = ndimage.distance_transform_edt(hole, return_indices=True)
    narrow = hole & (distance < rim)
    here, beside = np.argwhere(narrow), nearest[:, narrow].T
    mirrored = 2 * beside - here
    outside = (mirrored < 0) | (mirrored >= hole.shape)
    mirrored = np.where(outside.any(axis=1, keepdims=True), beside, mirrored)
    mirrored = np.where(hole[tuple(mirrored.T)][:, None], beside, mirrored)
    level = picture.sum(axis=-1)
    shadow = level[tuple(beside.T)] < SHADOW * level[tuple(mirrored.T)]
    mirrored = np.where(shadow[:, None], beside, mirrored)
    share = np.clip(1 - (distance[narrow] - 2) / (rim - 2), 0, 1).astype(np.float32)[:, None]
    filled[narrow] += share * (picture[tuple(mirrored.T)] - filled[narrow])
    return filled


def _pull(weighted: npt.NDArray[np.float32], weight: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    mean = np.asarray(weighted / np.maximum(weight, 1e-6), np.float32)
    if weight.min() > 0 or min(weight.shape[:2]) <= 1:
        return mean
    share = np.minimum(weight, 1)
    return np.asarray(mean * share + _from_coarser(weighted, weight) * (1 - share), np.float32)


def _from_coarser(weighted: npt.NDArray[np.float32], weight: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Half the picture, filled, at the size of the whole."""
    height, width = weight.shape[:2]
    pad = ((0, height % 2), (0, width % 2), (0, 0))
    small_colour = _halved(np.pad(weighted, pad))
    small_weight = _halved(np.pad(weight, pad))
    scale = np.minimum(small_weight, 1) / np.maximum(small_weight, 1e-6)
    coarse = _pull(np.asarray(small_colour * scale, np.float32), np.asarray(small_weight * scale, np.float32))
    return _doubled(coarse)[:height, :width]


def _halved(plane: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.asarray(plane[0::2, 0::2] + plane[1::2, 0::2] + plane[0::2, 1::2] + plane[1::2, 1::2], np.float32)


def _doubled(plane: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    big = plane.repeat(2, axis=0).repeat(2, axis=1)
    smooth: npt.NDArray[np.float32] = ndimage.uniform_filter(big, size=(3, 3, 1), mode="nearest")
    return smooth
