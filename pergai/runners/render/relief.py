"""What the fine relief of surfaces does to their light, learnt from the noisy light itself.

A weave, a grain of stone or of sand is seen by how its slopes face the lamps: paths are far too few to show it, and a denoiser
takes it for noise. Its normals, though, are known without any noise. In each neighbourhood the light is regressed on them (the
first-order model of Bitterli et al. 2016, "Nonlinearly weighted first-order regression for denoising Monte Carlo renderings"):
which way the light comes from there, in shadow or not, shows in hundreds of pixels.

Learnt is only from what changes within a few pixels, and not beside anything flat, the product or the sky: elsewhere light and
slopes change together because one surface ends and another begins, and the noise of blurred normals would be seen as specks
round every edge.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from pergai.runners.render.colour import LUMINANCE
from pergai.runners.render.neighbourhood import at_full_size, in_cells, mean_around

Floats = npt.NDArray[np.float32]
Plane = npt.NDArray[np.float32]

AROUND = 5
"""Cells over which means are taken, twice."""
NEAR = 3
"""Cells within which changes are learnt from."""
FLATTEST = 1e-4
"""Variance of a normal that is as good as none."""
MOST = 3.0
"""A pixel's light differs by no more than this factor of the neighbourhood's for being learnt from."""
DARKEST, BRIGHTEST = 0.2, 3.0
MOST_UPRIGHT = 2.0
"""By how many times its share the light grows, at most, with the part of a normal that is upright: once in a single light."""
UPRIGHT, NOTHING = 0.9999, 1e-3
"""The upright part of a normal from which on a pixel is flat, and up to which there is no surface."""
SEAMLESS = 1e-3
"""Share of a neighbourhood that may be flat where it is learnt from."""


def shading(light: Floats, albedo: Floats, normals: Floats) -> Floats:
    """How many times brighter its relief makes each pixel (height, width, 1) than the surface is thereabouts.

    `light` with its noise and `albedo`, linear, and `normals` of the relief over its surface, which is (0, 0, 1) where it is
    flat: each (height, width, 3).
    """
    level, colour = np.asarray(light @ LUMINANCE, np.float32), np.asarray(albedo @ LUMINANCE, np.float32)
    planes = [np.ascontiguousarray(plane) for plane in np.moveaxis(normals, -1, 0)]
    flat = np.asarray((planes[2] > UPRIGHT) | (planes[2] < NOTHING), np.float32)
    learnt = _nearby(flat) < SEAMLESS
    excess = np.clip(_excess(level, 1e-3 * float(level.mean())), -MOST, MOST)
    known = [*(plane - _nearby(plane) for plane in planes), _excess(colour, 0.02)]
    *sideways, upright, _ = _regressed(excess * learnt, [plane * learnt for plane in known])
    factors = [*sideways, np.clip(upright, 0, MOST_UPRIGHT)]
    slopes = [plane - _thereabouts(plane) for plane in planes]
    shade = 1 + sum((factor * slope for factor, slope in zip(factors, slopes, strict=True)), np.float32(0))
    return np.asarray(np.clip(shade, DARKEST, BRIGHTEST), np.float32)[..., None]


def _excess(plane: Plane, least: float) -> Plane:
    """By what share of its neighbourhood a pixel exceeds those nearby."""
    return np.asarray((plane - _nearby(plane)) / (_thereabouts(plane) + least), np.float32)


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


def _nearby(plane: Plane) -> Plane:
    return at_full_size(ndimage.uniform_filter(in_cells(plane), NEAR), plane.shape)


def _mean(plane: Plane) -> Plane:
    """The mean round each cell."""
    return mean_around(in_cells(plane), AROUND)
