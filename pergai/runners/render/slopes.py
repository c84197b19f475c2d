"""The fine relief of surfaces: where it is worth a look, and which way it faces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pergai.runners.render.camera import View
from pergai.runners.render.focus import least_blur
from pergai.runners.render.geometry import Mesh
from pergai.runners.render.materials import Surface

Floats = npt.NDArray[np.float32]

STEEP = 0.1
"""Slope, root mean square, from which on a denoiser takes more of a relief away than a look at it costs."""
SHARP = 0.01
"""Of the picture's longer side, over which a surface may be blurred: where it is more, a look costs more than it shows."""
ROWS = 64
"""Of a texture that are turned into normals at once: they fit into a processor's cache."""


@dataclass(frozen=True, slots=True, eq=False)
class Relief:
    height: Floats
    """At each texel, (rows, columns)."""
    scale: float
    """The slope that one of it is from a texel to the next."""


def reliefs(view: View, aperture: float, solids: Iterable[tuple[Mesh, Surface]]) -> dict[int, Relief]:
    """Those that are steep and sharp, by the identity of their surfaces. What has one relief in two colours has it once."""
    found: dict[int, Relief] = {}
    known: dict[tuple[int, float], Relief] = {}
    slopes: dict[int, float] = {}
    sharp = SHARP * max(view.width, view.height)
    for mesh, surface in solids:
        if not (described := bump(surface)) or id(surface) in found:
            continue
        height = described["arbitrary"]["bitmap"].array
        scale = described["scale"] / surface.period * height.shape[1]
        if id(height) not in slopes:
            slopes[id(height)] = _slope(height)
        if slopes[id(height)] * scale >= STEEP and least_blur(mesh, view, aperture) <= sharp:
            found[id(surface)] = known.setdefault((id(height), scale), Relief(height, scale))
    return found


def bump(surface: Surface) -> Mapping[str, Any]:
    """The description of its relief, empty where there is none."""
    bsdf: Mapping[str, Any] = surface.bsdf
    while bsdf["type"] != "bumpmap":
        if "bsdf" not in bsdf:
            return {}
        bsdf = bsdf["bsdf"]
    return bsdf


def normals(relief: Relief) -> Floats:
    """Between four texels of a height each, (rows, columns, 3), of length 1; it comes again beyond the borders."""
    height = np.pad(relief.height, ((0, 1), (0, 1)), mode="wrap")
    found = np.empty((*relief.height.shape, 3), np.float32)
    for top in range(0, len(found), ROWS):
        here = height[top : top + ROWS + 1] * np.float32(relief.scale / 2)
        falling, rising = here[:-1, :-1] - here[1:, 1:], here[:-1, 1:] - here[1:, :-1]
        upright = 1 / np.sqrt(1 + 2 * (falling * falling + rising * rising))
        found[top : top + ROWS] = np.stack(
            [(falling - rising) * upright, (falling + rising) * upright, upright], axis=-1
        )
    return found


def _slope(height: Floats) -> float:
    """Root mean square, from a texel to the next."""
    along, across = np.diff(height[::4], axis=1), np.diff(height[:, ::4], axis=0)
    return float(np.sqrt((along**2).mean() + (across**2).mean()))
