"""The camera: where it stands, what it sees where, and how the photo's own viewpoint is read from the matte."""

from __future__ import annotations

from dataclasses import dataclass
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
        return np.asarray(self.forward) + u[..., None] * np.asarray(self.right) - v[..., None] * np.asarray(self.up)

    def project(self, points: npt.ArrayLike) -> Floats:
        """Pixels (…, 2) of points (…, 3)."""
        p = np.asarray(points, np.float64) - np.asarray(self.origin)
        depth = p @ np.asarray(self.forward)
        x = self.centre[0] + self.focal * (p @ np.asarray(self.right)) / depth
        y = self.centre[1] - self.focal * (p @ np.asarray(self.up)) / depth
        return np.stack([x, y], -1)


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

    A round foot seen from `pitch` above ends in half an ellipse with axes 1 : sin(pitch). The lower outline is
    fitted with such a half ellipse; a straight one is a front view; anything else says nothing.
    """
    box = bounding_box(alpha, 128)
    if box is None or box.width < 16 or box.height < 16:
        return None
    solid = alpha[box.top : box.bottom, box.left : box.right] >= 128
    has = solid.any(axis=0)
    lowest = solid.shape[0] - 1 - np.argmax(solid[::-1], axis=0)
    x = np.flatnonzero(has).astype(np.float64)
    rise = (solid.shape[0] - 1 - lowest[has]).astype(np.float64)
    foot = x[rise <= 0.5 * rise.max() + 2] if rise.max() > 0.1 * box.height else x
    centre = (foot[0] + foot[-1]) / 2
    best: tuple[float, float] | None = None
    for half in np.linspace(0.28, 0.52, 25) * box.width:
        t = np.clip(1 - ((x - centre) / half) ** 2, 0, None)
        use = np.abs(x - centre) < 0.93 * half
        if use.sum() < 0.5 * box.width:
            continue
        shape = 1 - np.sqrt(t[use])
        flatness = float((rise[use] * shape).sum() / max((shape * shape).sum(), 1e-9))
        error = float(np.sqrt(np.mean((rise[use] - flatness * shape) ** 2)) / box.width)
        if best is None or error < best[0]:
            best = (error, flatness / half)
    if best is None or best[0] > 0.022:
        return None
    ratio = best[1]
    round_all_over = abs(box.width / box.height - 1) < 0.08 and ratio > 0.8
    if ratio > 0.95 or round_all_over:
        return None
    return float(np.degrees(np.arcsin(np.clip(ratio, 0, 1))))
