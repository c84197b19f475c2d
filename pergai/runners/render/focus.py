"""What of a set a lens shows sharply, and what is known of the rest."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from pergai.runners.render.camera import View
from pergai.runners.render.geometry import Mesh

Floats = npt.NDArray[np.float32]

WINDOWS = (3, 5, 9, 17)
"""Pixels a side over which what is blurred may be averaged: each where it is blurred over at least `SPREAD` times as many, so
that little is lost that the lens has left."""
SPREAD = 1.5
POINTS = 40_000
"""Of a mesh that are looked at, about, or its corners: a floor has two triangles, and a piece of them is in the picture."""
NEAREST = 0.1
"""Units before the camera from which on something is seen."""


def least_blur(mesh: Mesh, view: View, aperture: float) -> float:
    """Diameter in pixels of the circle that the sharpest point of a mesh is spread over, of all its points within the picture,
    hidden by others or not; infinite when there is none. `aperture` is the radius of the lens in units."""
    across = max(round((2 * POINTS / len(mesh.faces)) ** 0.5), 1)
    first, second = (part.ravel() / across for part in np.mgrid[: across + 1, : across + 1])
    inside = first + second <= 1 + 1e-6
    shares = np.stack([first, second, 1 - first - second], axis=-1)[inside]
    points = (shares @ mesh.vertices[mesh.faces].astype(np.float64)).reshape(-1, 3)
    depth = (points - np.asarray(view.origin)) @ np.asarray(view.forward)
    before = depth > NEAREST
    x, y = view.project(points[before]).T
    seen = depth[before][(x >= 0) & (x < view.width) & (y >= 0) & (y < view.height)]
    if not seen.size:
        return np.inf
    return float(2 * aperture * view.focal * np.abs(1 / view.distance - 1 / seen).min())


def evened(seen: Floats, blur: Floats) -> Floats:
    """A mean of few looks through a lens (height, width, channels) without most of their noise where the lens spreads points over
    circles of several pixels, `blur` (height, width). What is sharp is neither changed nor mixed in."""
    even = seen
    for side in WINDOWS:
        blurred = np.asarray(blur >= SPREAD * side, np.float32)
        if not blurred.any():
            break
        share = np.maximum(ndimage.uniform_filter(blurred, side), 1e-6)[..., None]
        mean = ndimage.uniform_filter(seen * blurred[..., None], (side, side, 0)) / share
        even = np.where(blurred[..., None] > 0, mean, even)
    return np.ascontiguousarray(even, np.float32)
