"""The camera: where it stands, what it sees where, and how the photo's own viewpoint is read from the matte."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from pergai.imaging.picture import Alpha
from pergai.imaging.placement import bounding_box

Floats = npt.NDArray[np.float64]
DecidedView = Literal["front", "three-quarter", "top"]


@dataclass(frozen=True, slots=True)
class View:
    """A pinhole camera with a shifted lens: the set's origin lies at a chosen pixel, verticals stay as they are."""

    origin: tuple[float, float, float]
    right: tuple[float, float, float]
    up: tuple[float, float, float]
    forward: tuple[float, float, float]
    focal: float
    """Pixels."""
    centre: tuple[float, float]
    """Pixel (x, y) that looks along `forward`, which is where the set's origin is seen."""
    width: int
    height: int
    pitch: float
    """Degrees below the horizon."""
    distance: float
    """From the origin, in units."""

    def rays(self, x: npt.ArrayLike, y: npt.ArrayLike) -> Floats:
        """Directions (…, 3) through pixels, not normalised: one unit deep along `forward`."""
        u = (np.asarray(x, np.float64) - self.centre[0]) / self.focal
        v = (np.asarray(y, np.float64) - self.centre[1]) / self.focal
        return np.asarray(
            np.asarray(self.forward) + u[..., None] * np.asarray(self.right) - v[..., None] * np.asarray(self.up)
        )

    def project(self, points: npt.ArrayLike) -> Floats:
        """Pixels (…, 2) of points (…, 3)."""
        p = np.asarray(points, np.float64) - np.asarray(self.origin)
        depth = p @ np.asarray(self.forward)
        x = self.centre[0] + self.focal * (p @ np.asarray(self.right)) / depth
        y = self.centre[1] - self.focal * (p @ np.asarray(self.up)) / depth
        return np.stack([x, y], -1)

    def enlarged(self, width: int, height: int) -> View:
        """The same view with other pixels."""
        factor = width / self.width
        centre = (self.centre[0] * factor, self.centre[1] * height / self.height)
        return replace(self, focal=self.focal * factor, centre=centre, width=width, height=height)

    def cropped(self, left: int, top: int, width: int, height: int) -> View:
        """What is seen through a window of the picture, pixel for pixel."""
        return replace(self, centre=(self.centre[0] - left, self.centre[1] - top), width=width, height=height)


def aim(
    width: int, height: int, centre: tuple[int, int], unit: float, pitch: float, distance: float, heading: float = 0.0
) -> View:
    """A camera `distance` units from the origin, looking `pitch` degrees down at it, that shows one unit there as
    `unit` pixels and the origin at pixel `centre`. `heading` walks it round the set, in degrees."""
    p, h = np.radians(pitch), np.radians(heading)
    forward = np.array([-np.sin(h) * np.cos(p), np.cos(h) * np.cos(p), -np.sin(p)])
    right = np.array([np.cos(h), np.sin(h), 0.0])
    up = np.cross(right, forward)
    return View(
        _triple(-forward * distance), _triple(right), _triple(up), _triple(forward),
        unit * distance, (float(centre[0]), float(centre[1])), width, height, pitch, distance,
    )  # fmt: skip


def _triple(v: Floats) -> tuple[float, float, float]:
    return float(v[0]), float(v[1]), float(v[2])


def photographed_pitch(alpha: Alpha) -> float | None:
    """From how far above the product was photographed, in degrees, or None where the matte does not tell.

    A round foot seen from `pitch` above ends in half an ellipse with axes 1 : sin(pitch). The lower outline, its left
    and right halves averaged (which forgives a camera held askew), is fitted with such a half ellipse; a straight one is
    a front view; anything else says nothing.
    """
    box = bounding_box(alpha, 128)
    if box is None or box.width < 16 or box.height < 16:
        return None
    solid = alpha[box.top : box.bottom, box.left : box.right] >= 128
    columns = np.flatnonzero(solid.any(axis=0))
    outline = np.interp(np.arange(box.width), columns, np.argmax(solid[::-1], axis=0)[columns])
    middle = (box.width - 1) / 2
    for half in np.array([0.5, 0.46, 0.42, 0.38, 0.34, 0.3]) * box.width:
        t = np.linspace(0, 0.92, 60)
        left = np.interp(middle - t * half, np.arange(box.width), outline)
        right = np.interp(middle + t * half, np.arange(box.width), outline)
        rise = (left + right) / 2
        shape = np.stack([1 - np.sqrt(1 - t * t), np.ones_like(t)], axis=1)
        (depth, start), *_ = np.linalg.lstsq(shape, rise, rcond=None)
        error = float(np.sqrt(np.mean((rise - shape @ [depth, start]) ** 2)))
        ratio = float(depth / half)
        if error > 0.012 * half + 0.04 * abs(depth) or start > 0.1 * box.height:
            continue
        if ratio > 0.93:
            return None  # round all over: a ball, a ring, a bear
        return float(np.degrees(np.arcsin(np.clip(ratio, 0, 1))))
    return None
