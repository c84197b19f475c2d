"""What the fine relief of surfaces does to their light, learnt from the noisy light itself.

A weave, a grain of stone or of sand is seen by how its slopes face the lamps: paths are far too few to show it, and a denoiser
takes it for noise. Its normals, though, are known without any noise. In each neighbourhood the light is regressed on them (the
first-order model of Bitterli et al. 2016, "Nonlinearly weighted first-order regression for denoising Monte Carlo renderings"):
which way the light comes from there, in shadow or not, shows in hundreds of pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pergai.runners.render.colour import LUMINANCE
from pergai.runners.render.neighbourhood import at_full_size, in_cells, mean_around

Floats = npt.NDArray[np.float32]
Plane = npt.NDArray[np.float32]

AROUND = 5
"""Cells over which means are taken, twice."""
FLATTEST = 1e-4
"""Variance of a normal that is as good as none."""
MOST = 3.0
"""A pixel's light differs by no more than this factor of the neighbourhood's for being learnt from."""
DARKEST, BRIGHTEST = 0.2, 3.0


def shading(light: Floats, albedo: Floats, normals: Floats) -> Floats:
    """How many times brighter its relief makes each pixel (height, width, 1) than the surface is thereabouts.

    `light` with its noise and `albedo`, linear, and `normals` of the relief over its surface, which is (0, 0, 1) where it is
    flat: each (height, width, 3).
    """
    level, colour = np.asarray(light @ LUMINANCE, np.float32), np.asarray(albedo @ LUMINANCE, np.float32)
    excess = np.clip(_excess(level, 1e-3 * float(level.mean())), -MOST, MOST)
    slopes = [plane - _thereabouts(plane) for plane in np.moveaxis(normals, -1, 0)]
    known = [*slopes, _excess(colour, 0.02)]
    factors = _regressed(excess, known)[: len(slopes)]
    shade = 1 + sum((factor * slope for factor, slope in zip(factors, slopes, strict=True)), np.float32(0))
    return np.asarray(np.clip(shade, DARKEST, BRIGHTEST), np.float32)[..., None]


def _excess(plane: Plane, least: float) -> Plane:
    """By what share a pixel exceeds its neighbourhood."""
    mean = _thereabouts(plane)
    return np.asarray((plane - mean) / (mean + least), np.float32)


def _regressed(wanted: Plane, known: Sequence[Plane]) -> list[Plane]:
    """The factors of a sum of what is known that comes nearest to what is wanted, in each neighbourhood."""
    count = len(known)
    products = np.stack([[_mean(a * b) for b in known] for a in known])
    right = np.stack([_mean(a * wanted) for a in known])
    left = np.moveaxis(products, (0, 1), (-2, -1)) + FLATTEST * np.eye(count, dtype=np.float32)
    factors = np.linalg.solve(left, np.moveaxis(right, 0, -1)[..., None])[..., 0]
    return [at_full_size(plane, wanted.shape) for plane in np.moveaxis(factors, -1, 0)]


def _thereabouts(plane: Plane) -> Plane:
    return at_full_size(_mean(plane), plane.shape)


def _mean(plane: Plane) -> Plane:
    """The mean round each cell."""
    return mean_around(in_cells(plane), AROUND)
