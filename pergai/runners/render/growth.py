"""Meshes of what is grown, worn or frozen: leaves, pumpkins, pebbles, ice. Lengths and uv as in `geometry`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pergai.runners.render.geometry import Array, Mesh, block, join, moved, scaled, sheet, with_normals


def blade(length: float, width: float, droop: float = 0.3, fold: float = 0.15, n: int = 13, blunt: float = 0.8) -> Mesh:
    """A leaf or petal: it starts at the origin along y, bends down by `droop`, folds up at its rim. uv run 0-1 across it and
    along it, for a texture with a midrib."""
    t = np.linspace(0, 1, n)
    outline = np.sin(np.pi * np.clip(t, 0, 1) ** blunt) ** 0.8 * width / 2
    s = np.linspace(-1, 1, 7)
    x = outline[:, None] * s[None]
    angle = droop * t[:, None]
    y = np.broadcast_to(length * t[:, None] * np.sinc(angle / np.pi), x.shape)
    z = -length * t[:, None] * np.sin(angle) * 0.8 + np.abs(s)[None] ** 1.5 * outline[:, None] * fold * 2
    across, along = np.broadcast_arrays(0.5 + 0.5 * s[None], t[:, None])
    return sheet(np.stack([x, y, z], -1).astype(np.float32), np.stack([across, along], -1).astype(np.float32))


def lobed(length: float, random: np.random.Generator, lobes: int = 5, n: int = 15) -> Mesh:
    """A fallen leaf with pointed lobes (maple, plane tree), its rim curled. It starts at its stalk and lies along y; uv as
    of `blade`."""
    angle = np.linspace(-np.pi, np.pi, 16 * lobes + 1)
    tip = np.abs((angle * lobes / (2 * np.pi) + 0.5) % 1 - 0.5) * 2
    teeth = 0.06 * np.abs((angle * lobes * 1.5 / np.pi) % 1 - 0.5)
    rim = (
        (1 - 0.58 * tip**0.8 - teeth)
        * (0.72 + 0.28 * np.cos(angle))
        * (1 + 0.06 * random.normal(0, 1, len(angle)) * 0.5)
    )
    r = np.linspace(0, 1, n)[:, None]
    x, y = r * rim * np.sin(angle), r * rim * np.cos(angle)
    curl, twist, phase = random.uniform(0.15, 0.5), random.uniform(-0.3, 0.3), random.uniform(0, 6)
    z = curl * r**2.5 * rim * (0.7 + 0.5 * np.sin(3 * angle + phase)) + twist * x * y - 0.06 * np.cos(lobes * angle) * r
    points = np.stack([x, y + 0.42, z - z.min() * 0.5], -1) * length / 1.42
    uv = np.stack([0.5 + 0.5 * x, (y + 0.42) / 1.42], -1)
    return sheet(points.astype(np.float32), uv.astype(np.float32))


def ribbed(radius: float, flat: float, ribs: int, n: int = 49) -> Mesh:
    """A pumpkin standing on z = 0: a flattened ball with ribs and dimples at its poles."""
    theta = np.linspace(0.02, np.pi - 0.02, n)[:, None]
    phi = np.linspace(0, 2 * np.pi, 12 * ribs + 1)[None]
    groove = 1 - 0.13 * np.abs(np.cos(ribs * phi / 2)) ** 5 * np.sin(theta) ** 0.4
    r = radius * groove * np.sin(theta) ** 0.8
    z = radius * flat * (np.cos(theta) * (1 - 0.42 * np.exp(-((np.sin(theta) / 0.32) ** 2)))) + 0 * phi
    points = np.stack([r * np.cos(phi), r * np.sin(phi), z - z.min()], -1)
    uv = np.stack(np.broadcast_arrays(phi * radius, theta * radius), -1)
    return sheet(points.astype(np.float32), uv.astype(np.float32))


def ice(width: float, depth: float, height: float, random: np.random.Generator) -> Mesh:
    """A block of ice: a box with round edges, worn a little out of true."""
    box = block(width, depth, height, 0.12 * min(width, depth, height), n=15)
    phase, axis = random.uniform(0, 6, 4), random.normal(0, 1, (4, 3)) * 2.2 / max(width, depth, height)
    bump = sum(np.sin(box.vertices @ axis[k] + phase[k]) for k in range(4))
    out = box.normals if box.normals is not None else np.zeros_like(box.vertices)
    worn = box.vertices + out * np.float32(0.012 * max(width, depth, height)) * np.asarray(bump)[:, None]
    return with_normals(replace(box, vertices=worn.astype(np.float32)))


def pebble(radius: float, flat: float, random: np.random.Generator, n: int = 40, rough: float = 0.16) -> Mesh:
    """A water-worn stone standing on z = 0; `flat` is its height over its width."""
    theta = np.linspace(0, np.pi, n)[:, None]
    phi = np.linspace(0, 2 * np.pi, 2 * n)[None]
    direction = np.stack(
        np.broadcast_arrays(np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)), -1
    )
    bump = np.zeros(direction.shape[:2])
    for frequency, weight in ((1.3, 1.0), (2.4, 0.5), (4.5, 0.2)):
        for _ in range(3):
            axis, phase = random.normal(0, 1, 3), random.random() * 2 * np.pi
            bump += weight / 3 * np.sin(frequency * direction @ axis + phase)
    points = radius * direction * (1 + rough * bump)[..., None] * [1.0, random.uniform(0.75, 1.0), flat]
    points[..., 2] += radius * flat * (1 - rough * 0.3) * 0.92
    uv = np.stack(np.broadcast_arrays(phi * radius, theta * radius), -1)
    return sheet(points.astype(np.float32), uv.astype(np.float32))


def bean(length: float, random: np.random.Generator) -> Mesh:
    """A roasted coffee bean lying on z = 0, its seam up or down."""
    theta = np.linspace(0, np.pi, 17)[:, None]
    phi = np.linspace(0, 2 * np.pi, 33)[None]
    x, y, z = np.broadcast_arrays(np.sin(theta) * np.cos(phi), np.cos(theta) + 0 * phi, np.sin(theta) * np.sin(phi))
    seam = np.exp(-((x / 0.13) ** 2)) * np.clip(z, 0, 1)
    flat = np.where(z > 0, 0.42 * z - 0.26 * seam, 0.62 * z)
    points = np.stack([0.36 * x, 0.5 * y, 0.36 * flat + 0.22], -1) * length
    mesh = sheet(points.astype(np.float32), np.stack([x, y], -1).astype(np.float32))
    if random.random() < 0.55:
        mesh = moved(mesh, (0, 0, 0.4 * length), 0, 180)
    return moved(mesh, (0, 0, 0), 0, float(random.uniform(-14, 14)))


def flower(radius: float, random: np.random.Generator) -> Mesh:
    """An open blossom of five round petals, facing up from the origin."""
    parts = []
    for k in range(5):
        petal = blade(radius, radius * 0.92, float(random.uniform(-0.5, 0.1)), 0.2, 11, 0.62)
        parts.append(moved(petal, (0, 0, 0), 72 * k + float(random.uniform(-7, 7)), float(random.uniform(14, 34))))
    return join(parts)


def bough(length: float, random: np.random.Generator) -> tuple[Array, list[tuple[Array, float]]]:
    """A crooked twig that rises from the origin and leans over: its path (n, 3), and where blossoms sit on it: places and
    the direction (degrees) they face."""
    t = np.linspace(0, 1, 30)
    path = np.stack([0.75 * t, 0.05 * np.sin(9 * t), 0.8 * t - 0.32 * t**2], -1) * length
    path = path + np.cumsum(random.normal(0, 0.0035, (30, 3)), axis=0) * length
    spots = []
    for k in range(4, 30):
        for _ in range(int(random.integers(0, 3))):
            spots.append(
                ((path[k] + random.normal(0, 0.018, 3) * length).astype(np.float32), float(random.uniform(0, 360)))
            )
    return path.astype(np.float32), spots


def lawn(width: float, depth: float, height: float, random: np.random.Generator) -> Mesh:
    """A meadow of blades as one mesh: upright, bent every way, of unequal height, standing on z = 0."""
    count = min(int(width * depth * 1500), 45_000)
    foot = np.stack([random.uniform(-width / 2, width / 2, count), random.uniform(-depth / 2, depth / 2, count)], -1)
    tall = height * random.uniform(0.55, 1.15, count)
    turn, lean = random.uniform(0, 2 * np.pi, count), random.uniform(0.05, 0.75, count)
    t = np.array([0.0, 0.45, 0.8, 1.0])
    half = 0.007 * np.array([1.0, 0.85, 0.5, 0.06])
    way = np.stack([np.cos(turn), np.sin(turn)], -1)
    side = np.stack([-way[:, 1], way[:, 0]], -1)
    bent = (lean[:, None] * tall[:, None] * t[None] ** 1.8)[..., None] * way[:, None]
    middle = foot[:, None] + bent
    edge = half[None, :, None] * side[:, None]
    z = np.repeat((tall[:, None] * t[None] * (1 - 0.25 * lean[:, None] * t[None]))[:, :, None], 2, axis=2)
    xy = np.stack([middle - edge, middle + edge], 2)
    points = np.concatenate([xy, z[..., None]], -1).reshape(-1, 3)
    uv = np.broadcast_to(np.stack(np.meshgrid([0.3, 0.7], t), -1), (count, 4, 2, 2)).reshape(-1, 2)
    quad = np.array([[0, 1, 3], [0, 3, 2], [2, 3, 5], [2, 5, 4], [4, 5, 7], [4, 7, 6]])
    faces = (quad[None] + 8 * np.arange(count)[:, None, None]).reshape(-1, 3)
    return with_normals(Mesh(points.astype(np.float32), faces.astype(np.uint32), uv.astype(np.float32)))


def shingle(width: float, depth: float, radius: float, random: np.random.Generator) -> Mesh:
    """A bed of pebbles, as close as they lie, over the plane z = 0: a score of stones, turned and scaled. Each takes its uv
    from another place."""
    stones = [pebble(radius, float(random.uniform(0.4, 0.6)), random, 11) for _ in range(20)]
    step = radius * 1.5
    parts = []
    for level, share in ((0.0, 1.0), (0.55, 0.45)):
        for y in np.arange(-depth / 2, depth / 2, step * 0.87):
            for x in np.arange(-width / 2, width / 2, step):
                if random.random() > share:
                    continue
                stone = scaled(stones[int(random.integers(len(stones)))], float(random.uniform(0.7, 1.15)))
                where = (x + random.normal(0, 0.25) * step, y + random.normal(0, 0.25) * step, radius * (level - 0.75))
                stone = moved(stone, where, float(random.uniform(0, 360)), float(random.uniform(-14, 14)))
                parts.append(replace(stone, uv=stone.uv + random.random(2).astype(np.float32) * 3))
    return join(parts)
