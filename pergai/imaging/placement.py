"""Where the product stands on the canvas, and the one resampling that brings it there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from pergai.imaging.colour import to_8_bits
from pergai.imaging.picture import RGB, Alpha, Deep, Matte
from pergai.imaging.planes import blacken

_Colours = TypeVar("_Colours", RGB, Deep)

SOLID = 16
"""Alpha below this is no part of the product's bounding box."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of pixels; right and bottom are exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top


@dataclass(frozen=True, slots=True)
class Spot:
    """Where to put the product: its size over the canvas' size, and where its anchor goes (0-1)."""

    height: float
    """Largest height of the product over the height of the canvas."""
    width: float
    """Largest width of the product over the width of the canvas."""
    x: float
    y: float
    anchor: Literal["bottom", "center", "top"]


@dataclass(frozen=True, slots=True)
class Placed:
    """A product on its canvas."""

    foreground: RGB
    """(height, width, 3); black where there is no product."""
    alpha: Alpha
    box: Box
    """The product's bounding box on the canvas; parts may lie outside the picture."""
    scale: float
    """Pixels of the canvas a pixel of the source; 1.0: not resampled."""
    deep: Deep | None = None
    """`foreground` with 16 bits a channel, where the source has them and they were kept."""


def bounding_box(alpha: Alpha, threshold: int = SOLID) -> Box | None:
    """The box of all pixels at or above the threshold; None when there are none."""
    solid = alpha >= threshold
    rows = np.flatnonzero(solid.any(axis=1))
    columns = np.flatnonzero(solid.any(axis=0))
    if rows.size == 0:
        return None
    return Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


def around(where: npt.NDArray[np.bool_], margin: int) -> tuple[slice, slice]:
    """The rows and columns in which something is true, and so many pixels beside them; all of them when nothing is."""
    if not where.any():
        return slice(0, where.shape[0]), slice(0, where.shape[1])
    spans = [np.flatnonzero(where.any(axis=axis))[[0, -1]].tolist() for axis in (1, 0)]
    (top, bottom), (left, right) = ((max(0, first - margin), last + 1 + margin) for first, last in spans)
    return slice(top, bottom), slice(left, right)


def fit(box: Box, width: int, height: int, spot: Spot, snap: float = 0.03) -> float:
    """The scale that fits a box to its spot on a canvas. Within `snap` of 1 it is 1, so that nothing is resampled."""
    scale = min(spot.height * height / box.height, spot.width * width / box.width)
    return 1.0 if abs(scale - 1) <= snap else scale


def place(matte: Matte, width: int, height: int, spot: Spot, deep: Deep | None = None) -> Placed | None:
    """Put a cut-out on an empty canvas. None when the matte is empty. `deep`: its foreground with 16 bits a channel.

    Moves by whole pixels; resamples once with a Lanczos filter (widened when shrinking, so that it averages) on
    premultiplied colours, or not at all at scale 1.
    """
    box = bounding_box(matte.alpha)
    if box is None:
        return None
    scale = fit(box, width, height, spot)
    foreground, alpha = _resized(matte.foreground, matte.alpha, box, scale)
    h, w = alpha.shape
    left = round(spot.x * width - w / 2)
    top = round(spot.y * height - {"bottom": h, "center": h / 2, "top": 0}[spot.anchor])
    canvas = np.zeros((height, width, 3), np.uint8)
    cover = np.zeros((height, width), np.uint8)
    y0, y1, x0, x1 = max(top, 0), min(top + h, height), max(left, 0), min(left + w, width)
    if y0 < y1 and x0 < x1:
        canvas[y0:y1, x0:x1] = foreground[y0 - top : y1 - top, x0 - left : x1 - left]
        cover[y0:y1, x0:x1] = alpha[y0 - top : y1 - top, x0 - left : x1 - left]
    blacken(canvas, cover == 0)
    wide: Deep | None = None
    if deep is not None:
        fine, _ = _resized(deep, matte.alpha, box, scale)
        wide = np.zeros((height, width, 3), np.uint16)
        wide[y0:y1, x0:x1] = fine[y0 - top : y1 - top, x0 - left : x1 - left]
        blacken(wide, cover == 0)
        canvas = to_8_bits(wide)
    return Placed(canvas, cover, Box(left, top, left + w, top + h), scale, wide)


def _resized(colours: _Colours, cover: Alpha, box: Box, scale: float) -> tuple[_Colours, Alpha]:
    region = np.s_[box.top : box.bottom, box.left : box.right]
    alpha, foreground = cover[region], colours[region]
    if scale == 1.0:
        return foreground, alpha
    size = (max(1, round(box.width * scale)), max(1, round(box.height * scale)))
    share = np.asarray(alpha / 255.0, np.float32)
    smaller = _lanczos(share, size)
    planes = [_lanczos(np.asarray(foreground[..., c] * share, np.float32), size) for c in range(3)]
    solid = np.maximum(smaller, 1e-3)
    highest = np.iinfo(colours.dtype).max
    fitted = np.empty((size[1], size[0], 3), colours.dtype)
    for c, plane in enumerate(planes):
        fitted[..., c] = np.clip(np.rint(plane / solid), 0, highest)
    return fitted, np.clip(np.rint(smaller * 255), 0, 255).astype(np.uint8)


def _lanczos(plane: npt.NDArray[np.float32], size: tuple[int, int]) -> npt.NDArray[np.float32]:
    image = Image.fromarray(np.ascontiguousarray(plane, np.float32))
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS), np.float32)
