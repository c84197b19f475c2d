"""Where a source lies on a larger canvas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from pergai.imaging.picture import RGB, Alpha

Side = Literal["left", "right", "top", "bottom"]
Bytes = npt.NDArray[np.uint8]
T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Plan:
    """A canvas and the placed source on it, in pixels."""

    canvas: tuple[int, int]
    """(height, width)."""
    source: tuple[int, int]
    """(height, width) of the source as placed."""
    offset: tuple[int, int]
    """(top, left) of the placed source."""
    scaled: bool
    """The source was too large for the canvas and must be resampled once."""

    @property
    def rows(self) -> slice:
        return slice(self.offset[0], self.offset[0] + self.source[0])

    @property
    def columns(self) -> slice:
        return slice(self.offset[1], self.offset[1] + self.source[1])


def plan_canvas(source: tuple[int, int], canvas: tuple[int, int]) -> Plan:
    """Centre a source (height, width) on a canvas (height, width).

    A source that fits keeps its own pixels, one to one; a larger one is shrunk to the largest size that fits. Nothing
    is ever enlarged: extension adds surroundings, it does not invent detail in the product. When the free space is
    odd, the spare pixel goes below and to the right.
    """
    height, width = source
    shrink = min(1.0, canvas[0] / height, canvas[1] / width)
    placed = (
        min(canvas[0], max(1, round(height * shrink))),
        min(canvas[1], max(1, round(width * shrink))),
    )
    offset = ((canvas[0] - placed[0]) // 2, (canvas[1] - placed[1]) // 2)
    return Plan(canvas=canvas, source=placed, offset=offset, scaled=placed != source)


def resample(pixels: Bytes, size: tuple[int, int]) -> Bytes:
    """One Lanczos resampling of RGB pixels or of a coverage plane to (height, width)."""
    return np.asarray(Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.LANCZOS))


def resample_cut_out(pixels: RGB, alpha: Alpha, size: tuple[int, int]) -> tuple[RGB, Alpha]:
    """One Lanczos resampling of a cut-out; Pillow weights colours by coverage, so that clear pixels lend no colour."""
    both = resample(np.dstack([pixels, alpha]), size)
    return both[..., :3], both[..., 3]


def turn(plane: npt.NDArray[T], side: Side) -> npt.NDArray[T]:
    """A view of a plane with axis 0 along the border of this side and axis 1 away from the source."""
    match side:
        case "right":
            return plane
        case "left":
            return plane[:, ::-1]
        case "bottom":
            return plane.swapaxes(0, 1)
        case "top":
            return plane[::-1].swapaxes(0, 1)


def turn_back(plane: npt.NDArray[T], side: Side) -> npt.NDArray[T]:
    """The view that `turn` was made of."""
    return plane.swapaxes(0, 1)[::-1] if side == "top" else turn(plane, side)
