"""Meshes of trees, as a background has them. Lengths and uv as in `geometry`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pergai.runners.render.geometry import Mesh, cylinder, join, moved
from pergai.runners.render.growth import blade


def conifer(height: float, spread: float, random: np.random.Generator) -> Mesh:
    """A fir standing on z = 0: whorls of drooping boughs of unequal length round a stem, `spread` wide at its foot. Its light
    is between the boughs, so it has no straight outline."""
    parts = [cylinder(0.012 * height, 0.8 * height)]
    whorls = 24
    for k in range(whorls):
        t = (k + float(random.uniform(-0.3, 0.3))) / whorls
        reach = spread / 2 * (1 - max(t, 0.0)) ** 0.85 + 0.015 * height
        for turn in np.linspace(0, 360, 11, endpoint=False):
            length = reach * float(random.uniform(0.62, 1.12))
            bough = blade(length, 0.42 * length, float(random.uniform(0.25, 0.6)), -0.25, 7)
            foot = (0.0, 0.0, height * (0.06 + 0.91 * t))
            parts.append(moved(bough, foot, turn + float(random.uniform(-14, 14)), float(random.uniform(-12, 8))))
    tree = join(parts)
    lying = np.maximum(
        tree.vertices, np.array([-np.inf, -np.inf, 0.0], np.float32)
    )  # the lowest boughs lie on the ground
    return replace(tree, vertices=lying)
