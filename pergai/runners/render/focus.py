"""What of a set a lens shows sharply."""

from __future__ import annotations

import numpy as np

from pergai.runners.render.camera import View
from pergai.runners.render.geometry import Mesh

POINTS = 40_000
"""Of a mesh that are looked at, about: a floor has two triangles, and only a piece of them is in the picture."""
NEAREST = 0.1


def least_blur(mesh: Mesh, view: View, aperture: float) -> float:
    """Diameter in pixels of the circle that the sharpest point of a mesh is spread over, of all its points within the picture,
    hidden by others or not; infinite when there is none. `aperture` is the radius of the lens in units."""
    across = round((2 * POINTS / len(mesh.faces)) ** 0.5)
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
