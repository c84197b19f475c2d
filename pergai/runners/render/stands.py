"""What the product stands on: cylinders, blocks, slabs, steps, boulders and cobbles, their tops at z = 0."""

from __future__ import annotations

import numpy as np

from pergai.runners.render import geometry as g
from pergai.runners.render.geometry import Mesh
from pergai.runners.render.spec import Stand
from pergai.runners.render.terrain import waves

Random = np.random.Generator


def build(stand: Stand, width: float, behind: float, random: Random) -> Mesh:
    """A stand of any kind but `none` for a product `width` units wide whose back is `behind` units behind its foremost point."""
    half = _half(stand, width)
    centre = min(max(behind / 2, 0.05), half * 0.8)
    if stand.kind == "boulder":
        return _boulder(half, stand.height, centre, random)
    if stand.kind == "cobble":
        return _cobble(half, max(0.72 * half, centre + 0.15), stand.height, centre, random)
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


def lying(stand: Stand, length: float, random: Random) -> Mesh:
    """The same for a product that lies on it round the origin, seen from above, `length` units long."""
    mesh = build(stand, length, length, random)
    low, high = mesh.vertices[:, 1].min(), mesh.vertices[:, 1].max()
    return g.moved(mesh, (0, -float(low + high) / 2, 0))


def reach(stand: Stand, width: float) -> float:
    """How far to each side its top carries a product, in units."""
    return _half(stand, width) * (1.6 if stand.kind == "slab" else 1.0)


def _half(stand: Stand, width: float) -> float:
    return max(width / 2 * stand.spread, 0.32)


def _boulder(half: float, height: float, centre: float, random: Random) -> Mesh:
    """A split rock with a flat top at z = 0: planes cut its sides, each with a worn edge, and go on below the ground."""
    reach = 1.6 * half
    grid = np.linspace(-reach, reach, 300, dtype=np.float32)
    x, y = np.meshgrid(grid, grid)
    bent, fine = waves(random, 8, 0.4, 1.2), waves(random, 20, 2.0, 7.0)
    across, along = x + 0.035 * half * bent(x, y), 1.15 * y + 0.035 * half * bent(y, x)
    sides = 9
    azimuths = 2 * np.pi * (np.arange(sides) + random.uniform(-0.35, 0.35, sides)) / sides
    fall = np.zeros_like(x)
    for azimuth in azimuths:
        out = across * np.cos(azimuth) + along * np.sin(azimuth) - half * random.uniform(0.98, 1.16)
        steep, worn = random.uniform(0.9, 3.5), random.uniform(0.04, 0.2) * height
        side = np.where(out > 0, worn + steep * out, worn * np.clip(1 + out / (3 * worn), 0, 1) ** 2)
        fall = np.maximum(fall, side)
    rough = 0.05 * height * fine(x, y) * np.clip(fall / (0.3 * height), 0, 1)
    z = -np.minimum(fall + rough, 1.5 * height) - 0.002
    points = np.stack([x, y + centre, z], -1)
    return g.sheet(points, np.stack([x - 0.6 * z, y + centre + z], -1))


def _cobble(half: float, deep: float, height: float, centre: float, random: Random) -> Mesh:
    """A large water-worn stone, `half` units wide to each side and `deep` to the front and back: nearly level on top, round at
    its rim, its lower part in the ground."""
    angle = np.linspace(0, 2 * np.pi, 257)
    outline = 1 + sum(random.uniform(0.0, 0.05 / k) * np.cos(k * angle + random.uniform(0, 6)) for k in (2, 3, 4))
    out = np.sin(np.linspace(0, np.pi / 2, 48))
    top = 0.7 * height * (np.sqrt(1 - out**5) - 1)
    below = (-0.7 - 0.8 * np.sqrt(1 - out**3)) * height
    r, z = np.concatenate([out, out[-2::-1]])[:, None], np.concatenate([top, below[-2::-1]])[:, None]
    x, y, z = np.broadcast_arrays(half * r * outline * np.cos(angle), deep * r * outline * np.sin(angle), z)
    uv = np.stack([x + 0.7 * z, y + 0.7 * z], -1)
    return g.sheet(np.stack([x, y + centre, z], -1).astype(np.float32), uv.astype(np.float32))
