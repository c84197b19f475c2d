"""Meshes of what is grown, worn or frozen: leaves, pumpkins, shavings, stones, ice. Lengths and uv as in `geometry`."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.spatial import ConvexHull

from pergai.runners.render.geometry import Array, Faces, Mesh, block, join, moved, scaled, sheet, tube, with_normals


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


def lobed(length: float, random: np.random.Generator, lobes: int = 5, n: int = 13) -> Mesh:
    """A fallen leaf of maple: `lobes` (5 or 7) toothed lobes round the end of its stalk, each folded along its vein, the rim
    curled as it dried. The end of the blade's stalk is at the origin, the middle lobe lies along y; uv as of `blade`."""
    angle = np.linspace(-np.pi, np.pi, 193)
    side = lobes // 2
    spread = np.arange(-side, side + 1) * (2.1 / side) + random.normal(0, 0.05, lobes)
    reach = 1 - 0.5 * np.abs(np.arange(-side, side + 1) / side) ** 1.5
    apart = np.abs(angle[None] - spread[:, None]) / (2.1 / side)
    tooth = 0.12 * np.clip(1 - np.abs(apart - 0.42) / 0.12, 0, 1) + 0.07 * np.clip(1 - np.abs(apart - 0.2) / 0.08, 0, 1)
    lobe = reach[:, None] * (0.16 + 0.84 * np.clip(1 - apart / 0.62, 0, 1) ** 0.85 + tooth)
    rim = np.maximum(lobe.max(axis=0), 0.36 * np.clip((np.pi - np.abs(angle)) / 0.5, 0.15, 1))
    r = np.linspace(0, 1, n)[:, None]
    x, y = r * rim * np.sin(angle), r * rim * np.cos(angle)
    fold = np.clip(apart.min(axis=0), 0, 0.5)
    curl, twist, phase = random.uniform(0.1, 0.45), random.uniform(-0.3, 0.3), random.uniform(0, 6)
    z = curl * r**2.5 * rim * (0.6 + 0.6 * np.sin(2 * angle + phase)) + twist * x * y + 0.22 * r * fold * rim
    stalk_t = np.linspace(0, 1, 9)[:, None]
    stalk = np.concatenate([0.12 * stalk_t**2 * random.normal(), -0.62 * stalk_t, 0.02 + 0.1 * stalk_t**2], axis=1)
    points = np.stack([x, y, z], -1)
    uv = np.stack([0.5 + 0.42 * x, 0.12 + 0.86 * np.clip(y, -0.1, 1)], -1)
    stem = tube(stalk.astype(np.float32), 0.012, 5)
    stem = replace(stem, uv=np.full_like(stem.uv, 0.5))
    return scaled(join([sheet(points.astype(np.float32), uv.astype(np.float32)), stem]), length / 1.42)


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


def stone(radius: float, flat: float, random: np.random.Generator) -> Mesh:
    """A water-worn stone standing on z = 0; `flat` is its height over its width. uv spread from its top down its sides
    and meet where it touches the ground."""
    rough = 0.16
    direction, faces = _evenly_round(3083)
    bump = np.zeros(len(direction))
    for frequency, weight in ((1.3, 1.0), (2.4, 0.5), (4.5, 0.2)):
        for _ in range(3):
            axis, phase = random.normal(0, 1, 3), random.random() * 2 * np.pi
            bump += weight / 3 * np.sin(frequency * direction @ axis + phase)
    points = radius * direction * (1 + rough * bump)[:, None] * [1.0, random.uniform(0.75, 1.0), flat]
    points[:, 2] += radius * flat * (1 - rough * 0.3) * 0.92
    aside = np.sqrt(np.maximum(1 - direction[:, 2:] ** 2, 1e-9))
    uv = radius * np.arccos(direction[:, 2:]) * direction[:, :2] / aside
    return with_normals(Mesh(points.astype(np.float32), faces, uv.astype(np.float32)))


@cache
def _evenly_round(count: int) -> tuple[npt.NDArray[np.float64], Faces]:
    """A ball without poles: `count` directions as far from each other everywhere, down a spiral by the golden angle, and the
    triangles (2 * count - 4) between them, facing outwards."""
    k = np.arange(count) + 0.5
    z, turn = 1 - 2 * k / count, np.pi * (3 - 5**0.5) * k
    aside = np.sqrt(1 - z * z)
    direction = np.stack([aside * np.cos(turn), aside * np.sin(turn), z], -1)
    hull = ConvexHull(direction)
    a, b, c = direction[hull.simplices].transpose(1, 0, 2)
    inwards = (np.cross(b - a, c - a) * hull.equations[:, :3]).sum(axis=1) < 0
    faces = np.where(inwards[:, None], hull.simplices[:, ::-1], hull.simplices)
    return direction, faces.astype(np.uint32)


def shaving(radius: float, width: float, random: np.random.Generator) -> Mesh:
    """A curl that a plane took off a board, lying on z = 0 with its axis along x: rolled up ever more tightly towards one end,
    drawn out along its axis, a little conical, narrow where the plane began and ended. uv run along it and across."""
    turns, slant = random.uniform(0.9, 2.2), random.uniform(-0.2, 0.2)
    drawn = random.choice([-1, 1]) * random.uniform(0.3, 2.6)
    t, s = np.linspace(0, 1, 64)[:, None], np.linspace(-1, 1, 5)[None]
    angle = 2 * np.pi * turns * t + random.uniform(0, 6)
    r = radius * (1 - 0.55 * t) * (1 + slant * s)
    half = width / 2 * np.clip(7 * np.minimum(t, 1.02 - t), 0.1, 1) ** 0.5
    x, y, z = np.broadcast_arrays(half * s + drawn * width * t, r * np.cos(angle), r * np.sin(angle))
    points = np.stack([x, y, z - z.min()], -1)
    uv = np.stack(np.broadcast_arrays(2 * np.pi * turns * radius * t * (1 - 0.3 * t), half * s), -1)
    return sheet(points.astype(np.float32), uv.astype(np.float32))


def bean(length: float, random: np.random.Generator) -> Mesh:
    """A roasted coffee bean lying on z = 0, its flat side with the curved seam up or down."""
    theta = np.linspace(0, np.pi, 21)[:, None]
    phi = np.linspace(0, 2 * np.pi, 49)[None]
    x, y, z = np.broadcast_arrays(np.sin(theta) * np.cos(phi), np.cos(theta) + 0 * phi, np.sin(theta) * np.sin(phi))
    across = x - 0.10 * np.sin(2.6 * y)
    seam = np.exp(-((across / 0.085) ** 2)) * np.clip(3 * z, 0, 1)
    shoulder = np.exp(-((across / 0.3) ** 2)) * np.clip(3 * z, 0, 1)
    flat = np.where(z > 0, 0.34 * np.sqrt(np.clip(z, 0, 1)) - 0.06 * shoulder - 0.22 * seam, 0.8 * z)
    points = np.stack([0.36 * x, 0.5 * y * (1 - 0.06 * x), 0.36 * flat + 0.28], -1) * length
    mesh = sheet(points.astype(np.float32), np.stack([x, y], -1).astype(np.float32))
    if random.random() < 0.45:
        mesh = moved(mesh, (0, 0, 0.4 * length), 0, 180)
    return moved(mesh, (0, 0, 0), 0, float(random.uniform(-14, 14)))


def petal(length: float, width: float, droop: float = -0.4, cup: float = 0.25, n: int = 9) -> Mesh:
    """A round petal with a notch in its tip: it starts at the origin along y, narrow, and rises at its rim by `cup`. uv as of
    `blade`."""
    t = 1 - (1 - np.linspace(0, 1, n)[:, None]) ** 1.7
    s = np.linspace(-1, 1, 9)[None]
    half = 1.55 * t**0.75 * np.clip(1.0 - t, 0, 1) ** 0.42 * width / 2
    notch = 1 - 0.13 * np.exp(-((s / 0.2) ** 2)) * t**5
    x = half * s
    along = t * notch * np.sinc(droop * t / np.pi)
    z = -t * np.sin(droop * t) * 0.8 + cup * (s**2 * half / max(width, 1e-9)) + 0 * t
    across, v = np.broadcast_arrays(0.5 + 0.5 * s, t)
    points = np.stack(np.broadcast_arrays(x, length * along, length * z), -1)
    return sheet(points.astype(np.float32), np.stack([across, v], -1).astype(np.float32))


def flower(radius: float, random: np.random.Generator) -> Mesh:
    """An open blossom of five notched petals with a tuft of stamens, facing up from the origin; now and then one that is
    still half closed."""
    opening = float(random.uniform(8, 30)) if random.random() < 0.75 else float(random.uniform(50, 72))
    parts = []
    for k in range(5):
        leaf = petal(radius, radius * float(random.uniform(0.86, 1.0)), float(random.uniform(-0.5, 0.3)))
        parts.append(
            moved(leaf, (0, 0, 0), 72 * k + float(random.uniform(-6, 6)), opening + float(random.uniform(-6, 6)))
        )
    for _ in range(9):
        hair = blade(radius * float(random.uniform(0.3, 0.45)), radius * 0.035, 0.2, 0.0, 4)
        hair = replace(hair, uv=hair.uv * np.float32(0.1))
        parts.append(moved(hair, (0, 0, 0), float(random.uniform(0, 360)), float(random.uniform(52, 84))))
    return join(parts)


def bough(length: float, random: np.random.Generator) -> tuple[Mesh, list[tuple[Array, float]]]:
    """A crooked limb that rises from the origin and leans over to +x, with side twigs, all thinning out: its wood, and where
    blossoms sit on it in clusters: places, and the direction (degrees) they face."""
    limb = _crooked(np.zeros(3, np.float32), np.array([0.86, 0.0, 0.50], np.float32), length, random)
    wood, spots = [_tapered(limb, 0.013 * length)], _clusters(limb[8:], 0.036 * length, random)
    for k in (6, 10, 14, 18, 22, 25):
        forward = limb[k + 1] - limb[k]
        forward = forward / np.linalg.norm(forward)
        aside = np.array(
            [random.uniform(-0.3, 0.6), random.normal(0, 0.35), (1 if k % 4 else -0.5) * random.uniform(0.5, 1)]
        )
        twig = _crooked(
            limb[k], forward + aside, length * float(random.uniform(0.2, 0.38)) * (1.15 - k / 40), random, 14
        )
        wood.append(_tapered(twig, 0.0055 * length))
        spots += _clusters(twig[3:], 0.036 * length, random)
    return join(wood), spots


def _crooked(start: Array, towards: Array, length: float, random: np.random.Generator, n: int = 30) -> Array:
    """A path (n, 3) that changes its direction a little at every node and slowly bends down."""
    way = towards / np.linalg.norm(towards)
    points = [np.asarray(start, np.float64)]
    for k in range(n - 1):
        if k % 3 == 0:
            way = way + random.normal(0, 0.13, 3)
        way = way - np.array([0.0, 0.0, 0.009])
        way = way / np.linalg.norm(way)
        points.append(points[-1] + way * length / (n - 1))
    return np.asarray(points, np.float32)


def _tapered(path: Array, radius: float) -> Mesh:
    """A round twig along a path (n, 3): `radius` at its foot, a third of it at its tip, thicker at the nodes."""
    whole = tube(path[:, [2, 0, 1]], radius, 9)  # its rings are turned without a twist where the path never follows z
    rings = whole.vertices.reshape(len(path), -1, 3)[..., [1, 2, 0]]
    thick = np.linspace(1, 0.34, len(path)) + 0.14 * (np.arange(len(path)) % 3 == 0)
    thinned = path[:, None] + (rings - path[:, None]) * thick[:, None, None].astype(np.float32)
    return with_normals(replace(whole, vertices=thinned.reshape(-1, 3).astype(np.float32)))


def _clusters(path: Array, apart: float, random: np.random.Generator) -> list[tuple[Array, float]]:
    """Blossoms in clusters of two to five at the nodes of a twig."""
    spots = []
    for node in path[::3]:
        for _ in range(int(random.integers(2, 6))):
            spots.append(((node + random.normal(0, 0.6, 3) * apart).astype(np.float32), float(random.uniform(0, 360))))
    return spots


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
