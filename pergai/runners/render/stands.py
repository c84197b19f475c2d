"""What the product stands on: cylinders, blocks, slabs, steps and boulders, their tops at z = 0."""

from __future__ import annotations

import numpy as np

from pergai.runners.render import geometry as g
from pergai.runners.render.card import Card
from pergai.runners.render.geometry import Mesh
from pergai.runners.render.spec import Stand
from pergai.runners.render.terrain import waves

Random = np.random.Generator


def build(stand: Stand, width: float, card: Card | None, random: Random) -> Mesh:
    """A stand of any kind but `none` for a product `width` units wide, deep enough for its body."""
    half = max(width / 2 * stand.spread, 0.32)
    behind = card.footprint[2] if card is not None else 0.3
    centre = min(max(behind / 2, 0.05), half * 0.8)
    if stand.kind == "boulder":
        return _boulder(half, stand.height, centre, random)
    if stand.kind == "cylinder":
        mesh = g.cylinder(max(half, centre + 0.1), stand.height, stand.bevel)
    elif stand.kind == "block":
        mesh = g.block(2 * half, 2 * max(0.7 * half, centre + 0.15), stand.height, stand.bevel)
    elif stand.kind == "slab":
        mesh = g.block(3.2 * half, 2 * max(0.8 * half, centre + 0.15), stand.height, stand.bevel)
    else:
        lower = g.cylinder(half * 1.45, stand.height * 0.5, stand.bevel)
        upper = g.moved(g.cylinder(half, stand.height * 0.5, stand.bevel), (0, 0, stand.height * 0.5))
        mesh = g.join([lower, upper])
    return g.moved(mesh, (0, centre, -stand.height))


def _boulder(half: float, height: float, centre: float, random: Random) -> Mesh:
    """A rock with a flat top at z = 0."""
    n = 220
    gx, gy = np.meshgrid(np.linspace(-1, 1, n), np.linspace(-1, 1, n))
    rough, fine = waves(random, 10, 0.35, 1.1), waves(random, 16, 1.4, 4.0)
    x32, y32 = gx.astype(np.float32), gy.astype(np.float32)
    radius = np.hypot(gx, gy * 1.05) * (1 + 0.07 * rough(x32, y32))
    wall = np.clip((radius - 0.72) / 0.2, 0, 1)
    skirt = np.clip((radius - 0.9) / 0.1, 0, 1)  # its rim stays under water and sand
    z = (
        -height * (1.3 * wall**1.5 * (1 + 0.1 * fine(x32, y32)) + 0.4 * skirt)
        + 0.006 * fine(y32, x32) * np.clip(radius - 0.5, 0, 0.2) * 5
        - 0.002
    )
    span = half * 1.55
    points = np.stack([gx * span, gy * span * 0.85 + centre, z], -1)
    uv = np.stack([gx * span, gy * span * 0.85 + z], -1)
    return g.sheet(points.astype(np.float32), uv.astype(np.float32))
