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
    """How many times brighter its relief makes each pixel than the surface is thereabouts, in each colour of the light (height,
    width, 3): what faces the sun is warmer than what faces the sky.

    `light` with its noise and `albedo`, linear, and `normals` of the relief over its surface, which is (0, 0, 1) where it is
    flat: each (height, width, 3).
    """
    planes = _planes(normals)
    flat = np.asarray((planes[2] > UPRIGHT) | (planes[2] < NOTHING), np.float32)
    learnt = np.asarray(_nearby(flat) < SEAMLESS, np.float32)
    lightness = np.asarray(albedo @ LUMINANCE, np.float32)
    known = [learnt * plane for plane in (*(plane - _nearby(plane) for plane in planes), _excess(lightness, 0.02))]
    wanted = [learnt * np.clip(_excess(plane, 1e-3 * float(plane.mean())), -MOST, MOST) for plane in _planes(light)]
    slopes = [plane - _thereabouts(plane) for plane in planes]
    factors = _regressed(wanted, known)
    np.clip(factors[2], 0, MOST_UPRIGHT, out=factors[2])
    shade = np.empty_like(light)
    for colour in range(3):
        found = 1 + sum(
            (at_full_size(factors[i, colour], light.shape) * slope for i, slope in enumerate(slopes)), np.float32(0)
        )
        np.clip(found, DARKEST, BRIGHTEST, out=shade[..., colour])
    return shade


def _planes(picture: Floats) -> list[Plane]:
    return [np.ascontiguousarray(plane) for plane in np.moveaxis(picture, -1, 0)]


def _excess(plane: Plane, least: float) -> Plane:
    """By what share of its neighbourhood a pixel exceeds those nearby."""
    return np.asarray((plane - _nearby(plane)) / (_thereabouts(plane) + least), np.float32)


def _regressed(wanted: Sequence[Plane], known: Sequence[Plane]) -> Floats:
    """The factors (known, wanted, rows, columns) of a sum of what is known that comes nearest to each that is wanted, round each
    cell."""
    count = len(known)
    right = np.stack([[_mean(a * b) for b in wanted] for a in known])
    left = np.empty((count, *right.shape[:1], *right.shape[2:]), np.float32)
    for i, a in enumerate(known):
        for j, b in enumerate(known[: i + 1]):
            left[i, j] = left[j, i] = _mean(a * b)
        left[i, i] += FLATTEST
    factors: Floats = np.linalg.solve(np.moveaxis(left, (0, 1), (-2, -1)), np.moveaxis(right, (0, 1), (-2, -1)))
    return np.moveaxis(factors, (-2, -1), (0, 1))


def _thereabouts(plane: Plane) -> Plane:
    return at_full_size(_mean(plane), plane.shape)


def _nearby(plane: Plane) -> Plane:
    return at_full_size(ndimage.uniform_filter(in_cells(plane), NEAR), plane.shape)


def _mean(plane: Plane) -> Plane:
    """The mean round each cell."""
    return mean_around(in_cells(plane), AROUND)
