"""Things on the set: from a prop's table to a mesh."""

# ruff: noqa: ARG001 - every entry of the table has the same signature
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from scipy.interpolate import PchipInterpolator

from pergai.runners.render import geometry as g
from pergai.runners.render import growth, pebbles, walls
from pergai.runners.render.geometry import Mesh
from pergai.runners.render.spec import Prop
from pergai.runners.render.terrain import Height, level

Random = np.random.Generator
Maker = Callable[[Prop, Random], Mesh]


LYING = frozenset({"leaves", "petals", "maple"})
"""Kinds that touch the ground with their lowest points; others stand on what is under their middle, some of them sunk in."""
TOUCH = 0.002
"""Units above the ground that they begin: what lies in the same plane is seen through."""


def build(prop: Prop, random: Random, standing: Sequence[Mesh] = (), ground: Height = level) -> Mesh:
    """All copies of a prop on the `ground`, where its table says; a bed of pebbles lies round what is `standing` there
    already."""
    if prop.kind == "shingle":
        return _shingle(prop, random, standing)
    maker = _MAKERS[prop.kind]
    if prop.count == 1:
        return _laid(prop, g.moved(maker(prop, random), (*prop.at, prop.z), prop.heading), prop.at, ground)
    copies, taken = [], list[tuple[float, float]]()
    for _ in range(prop.count):
        x, y = _spot(prop, random, taken)
        taken.append((x, y))
        strewn = maker(prop, random)
        strewn = g.scaled(strewn, float(random.uniform(0.75, 1.2)))
        z = prop.z + float(random.random()) * prop.above
        tilt = float(random.uniform(-70, 70)) if prop.above else 0.0
        strewn = g.moved(strewn, (x, y, z), float(random.uniform(0, 360)), tilt)
        copies.append(_laid(prop, strewn, (x, y), ground))
    return g.join(copies)


def _laid(prop: Prop, copy: Mesh, at: Sequence[float], ground: Height) -> Mesh:
    if prop.kind in LYING and not prop.above:
        x, y, z = copy.vertices.T
        return g.moved(copy, (0, 0, prop.z + TOUCH + float((ground(x, y) - z).max())))
    under = ground(np.array([at[0]], np.float32), np.array([at[1]], np.float32))
    return g.moved(copy, (0, 0, float(under[0])))


def _spot(prop: Prop, random: Random, taken: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """A place off the product and, for stones, off those that lie there already: they would grow into each other."""
    apart = 2.2 * prop.size[0] if prop.kind == "stones" else 0.0
    for _ in range(200):
        x = prop.at[0] + float(random.uniform(-1, 1)) * prop.spread[0]
        y = prop.at[1] + float(random.uniform(-1, 1)) * prop.spread[1]
        if np.hypot(x, y) >= prop.clear and all(np.hypot(x - a, y - b) >= apart for a, b in taken):
            break
    return x, y


def _size(prop: Prop, *defaults: float) -> list[float]:
    """The prop's sizes, the missing ones as a share of the first."""
    given = list(prop.size)
    return given + [given[0] * share for share in defaults[len(given) :]]


def _sphere(prop: Prop, random: Random) -> Mesh:
    return g.ball(prop.size[0])


def _block(prop: Prop, random: Random) -> Mesh:
    width, depth, height = _size(prop, 1, 1, 1)[:3]
    return g.block(width, depth, height)


def _cylinder(prop: Prop, random: Random) -> Mesh:
    radius, height = _size(prop, 1, 1)[:2]
    return g.cylinder(radius, height)


def _arch(prop: Prop, random: Random) -> Mesh:
    width, depth, height, thickness = _size(prop, 1, 0.25, 1.3, 0.2)[:4]
    return walls.arch(width, depth, height, thickness)


def _panel(prop: Prop, random: Random) -> Mesh:
    width, depth, height = _size(prop, 1, 0.1, 1.4)[:3]
    return walls.panel(width, depth, height)


def _disc(prop: Prop, random: Random) -> Mesh:
    """A round plate on edge, facing the camera."""
    radius, thickness = _size(prop, 1, 0.06)[:2]
    return g.moved(g.moved(g.cylinder(radius, thickness), (0, 0, 0), 0, 90), (0, thickness, radius))


def _ring(prop: Prop, random: Random) -> Mesh:
    radius, thickness = _size(prop, 1, 0.05)[:2]
    return g.ring(radius, thickness)


def _stairs(prop: Prop, random: Random) -> Mesh:
    width, depth, height = _size(prop, 1, 0.8, 0.5)[:3]
    steps = 4
    parts = []
    for i in range(steps):
        run = depth * (steps - i) / steps
        parts.append(g.moved(g.block(width, run, height / steps), (0, (depth - run) / 2, height * i / steps)))
    return g.join(parts)


def _column(prop: Prop, random: Random) -> Mesh:
    """A fluted column on a square foot."""
    radius, height = _size(prop, 1, 8)[:2]
    angle = np.linspace(0, 2 * np.pi, 289)
    flute = 1 - 0.06 * np.abs(np.cos(12 * angle))
    z = np.linspace(0.12 * height * 0.4, height, 5)
    r = radius * flute[None] * (1 - 0.08 * (z / height))[:, None]
    points = np.stack([r * np.cos(angle), r * np.sin(angle), np.broadcast_to(z[:, None], r.shape)], -1)
    uv = np.stack(np.broadcast_arrays(angle[None] * radius, z[:, None]), -1)
    shaft = g.sheet(points.astype(np.float32), uv.astype(np.float32))
    foot = g.block(radius * 2.5, radius * 2.5, radius * 0.35)
    return g.join([shaft, foot, g.moved(g.cylinder(radius * 1.15, radius * 0.3, radius * 0.14), (0, 0, radius * 0.35))])


def _leaf(prop: Prop, random: Random) -> Mesh:
    length, width = _size(prop, 1, 0.45)[:2]
    leaf = growth.blade(length, width, droop=float(random.uniform(-0.3, 0.5)), fold=float(random.uniform(0.05, 0.3)))
    _, along, down = leaf.vertices[-1]
    return g.moved(leaf, tilt=float(-np.degrees(np.arctan2(down, along))))  # its tip no lower than its stalk


def _petal(prop: Prop, random: Random) -> Mesh:
    length, width = _size(prop, 1, 0.85)[:2]
    return growth.petal(length, width, droop=float(random.uniform(-0.5, 0.1)), cup=float(random.uniform(0.15, 0.45)))


def _stone(prop: Prop, random: Random) -> Mesh:
    radius, flat = (prop.size[0], prop.size[1] if len(prop.size) > 1 else 0.6)
    return growth.stone(radius, flat, random)


def _branch(prop: Prop, random: Random) -> Mesh:
    """A twig with alternating leaves that rises and arches over; it starts at its foot."""
    length, leaf = _size(prop, 1, 0.24)[:2]
    t = np.linspace(0, 1, 24)
    lean, bend = random.uniform(0.25, 0.6), random.uniform(0.2, 0.6)
    path = np.stack(
        [length * (lean * t + 0.25 * bend * t**2), length * 0.08 * np.sin(3 * t), length * (t - 0.35 * bend * t**2)], -1
    )
    parts = [g.tube(path.astype(np.float32), length * 0.009, 8)]
    for k in range(2, 24):
        size = leaf * (1.15 - 0.5 * t[k]) * float(random.uniform(0.8, 1.1))
        blade = growth.blade(size, size * 0.42, droop=float(random.uniform(0.1, 0.7)), fold=0.2, n=9)
        side = 1 if k % 2 else -1
        parts.append(
            g.moved(blade, path[k], -90 + side * float(random.uniform(35, 75)), float(random.uniform(-10, 50)))
        )
    return g.join(parts)


def _plant(prop: Prop, random: Random) -> Mesh:
    """A tuft of long arching leaves, as of a house plant."""
    height, width = _size(prop, 1, 0.14)[:2]
    parts = []
    for k in range(26):
        blade = growth.blade(
            height * float(random.uniform(0.7, 1.1)),
            width * float(random.uniform(0.7, 1.2)),
            float(random.uniform(0.3, 1.3)),
            0.35,
            21,
        )
        parts.append(g.moved(blade, (0, 0, 0), k * 137.5, float(random.uniform(35, 85))))
    return g.join(parts)


def _grass(prop: Prop, random: Random) -> Mesh:
    """A tuft of thin blades."""
    height, width = _size(prop, 1, 0.035)[:2]
    parts = []
    for _ in range(14):
        blade = growth.blade(
            height * float(random.uniform(0.6, 1.1)), width, float(random.uniform(0.2, 1.0)), 0.2, 9, 0.6
        )
        spot = random.normal(0, 0.06 * height, 2)
        parts.append(g.moved(blade, (*spot, 0), float(random.uniform(0, 360)), float(random.uniform(55, 88))))
    return g.join(parts)


def _fir(prop: Prop, random: Random) -> Mesh:
    """A conifer twig lying or standing: needles all round a stem."""
    length, needle = _size(prop, 1, 0.16)[:2]
    parts = [
        g.tube(
            np.stack(
                [0 * np.linspace(0, 1, 8), length * np.linspace(0, 1, 8), 0.03 + 0 * np.linspace(0, 1, 8)], -1
            ).astype(np.float32),
            length * 0.012,
            6,
        )
    ]
    for k in range(150):
        t = k / 150
        blade = growth.blade(needle * (1.05 - 0.6 * t), needle * 0.10, 0.1, 0.1, 5)
        turn = float(random.choice([-1, 1])) * float(random.uniform(25, 65))
        parts.append(g.moved(blade, (0, length * (0.04 + 0.95 * t), 0.03), turn, float(random.uniform(-20, 45))))
    return g.join(parts)


def _flake(prop: Prop, random: Random) -> Mesh:
    return g.moved(g.disc(prop.size[0], 0.004, 12), (0, 0, 0), 0, float(random.uniform(-12, 12)))


def _gift(prop: Prop, random: Random) -> Mesh:
    width, depth, height = _size(prop, 1, 1, 0.7)[:3]
    return g.block(width, depth, height, 0.006)


def _ribbon(prop: Prop, random: Random) -> Mesh:
    """The ribbon round a gift of the same size, with a bow."""
    width, depth, height = _size(prop, 1, 1, 0.7)[:3]
    band, out = width * 0.14, 0.006
    parts = [
        g.block(band, depth + 2 * out, height + out, 0.003),
        g.block(width + 2 * out, band, height + out, 0.003),
    ]
    for side in (-1, 1):
        loop = g.ring(width * 0.13, width * 0.028)
        loop = g.moved(loop, (0, 0, 0), 0, 55 * side)
        parts.append(g.moved(loop, (side * width * 0.10, 0, height + out), 35 * side))
    return g.join(parts)


def _tube(prop: Prop, random: Random) -> Mesh:
    """A neon tube: a ring of light facing the camera, or a bar when it has a length."""
    radius, thickness = _size(prop, 1, 0.03)[:2]
    if len(prop.size) > 2:
        path = np.stack([np.zeros(12), np.zeros(12), np.linspace(0, prop.size[2], 12)], -1)
        return g.tube(path.astype(np.float32), thickness)
    return g.ring(radius, thickness)


def _wall(prop: Prop, random: Random) -> Mesh:
    width, height = _size(prop, 1, 1)[:2]
    return walls.extruded(np.array([[0, 0], [0, height]], np.float32), width)


def _book(prop: Prop, random: Random) -> Mesh:
    width, depth, height = _size(prop, 1, 0.72, 0.13)[:3]
    return g.block(width, depth, height, 0.008)


def _cone(prop: Prop, random: Random) -> Mesh:
    radius, height = _size(prop, 1, 2.2)[:2]
    return g.cone(radius, height)


def _berries(prop: Prop, random: Random) -> Mesh:
    return g.join([
        g.moved(g.ball(prop.size[0], 20), (*random.normal(0, prop.size[0] * 1.6, 2), 0)) for _ in range(5)
    ])  # fmt: skip


def _maple(prop: Prop, random: Random) -> Mesh:
    leaf = growth.lobed(prop.size[0], random, int(random.choice([5, 5, 7])))
    return g.moved(leaf, tilt=float(random.uniform(-9, 12)))


def _pumpkin(prop: Prop, random: Random) -> Mesh:
    radius, flat = (prop.size[0], prop.size[1] if len(prop.size) > 1 else 0.72)
    return growth.ribbed(radius, flat, 14)


def _stem(prop: Prop, random: Random) -> Mesh:
    """What a pumpkin hung on, from z = 0 upward: a bent, tapering stalk."""
    length, thick = _size(prop, 1, 0.22)[:2]
    t = np.linspace(0, 1, 12)
    path = np.stack([0.45 * length * t**2, 0.1 * length * t, length * (t - 0.25 * t**2)], -1)
    return g.tube(path.astype(np.float32), thick * length, 9)


def _slice(prop: Prop, random: Random) -> Mesh:
    """A slice of citrus: lying, or leaning back by a third size in degrees. uv lay one slice's picture on both faces."""
    radius, thick = _size(prop, 1, 0.16)[:2]
    lean = prop.size[2] if len(prop.size) > 2 else 0.0
    rim = g.lathe([(radius * 0.985, 0.0), (radius, thick * 0.3), (radius, thick * 0.7), (radius * 0.985, thick)])
    faces = [g.disc(radius * 0.985, z) for z in (0.0, thick)]
    picture = [replace(face, uv=face.uv / (2 * radius) + np.float32(0.5)) for face in faces]
    whole = g.join([replace(rim, uv=np.full_like(rim.uv, 0.02)), *picture])
    return g.moved(whole, (0, 0, radius * float(np.sin(np.radians(lean)))), 0, -lean)


def _bean(prop: Prop, random: Random) -> Mesh:
    return growth.bean(prop.size[0], random)


def _shaving(prop: Prop, random: Random) -> Mesh:
    radius, width = _size(prop, 1, 0.9)[:2]
    return growth.shaving(radius, width * float(random.uniform(0.6, 1.2)), random)


def _ice(prop: Prop, random: Random) -> Mesh:
    width, depth, height = _size(prop, 1, 0.95, 0.85)[:3]
    return growth.ice(width, depth, height, random)


def _turned(outline: list[tuple[float, float]], prop: Prop, tall: float) -> Mesh:
    """A turned vessel: an outline of (radius, height) in shares of the prop's radius and height."""
    radius, height = _size(prop, 1, tall)[:2]
    knots = np.array(outline)
    at = np.linspace(0, 1, 60)
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(knots, axis=0), axis=1))])
    smooth = PchipInterpolator(along / along[-1], knots, axis=0)(at)
    return g.lathe([(radius * float(r), height * float(z)) for r, z in smooth])


def _vase(prop: Prop, random: Random) -> Mesh:
    outline = [(0.0, 0.0), (0.5, 0.0), (0.82, 0.18), (1.0, 0.42), (0.86, 0.66), (0.4, 0.86), (0.36, 0.96), (0.46, 1.0),
               (0.36, 0.97), (0.3, 0.8)]  # fmt: skip
    return _turned(outline, prop, 2.4)


def _bowl(prop: Prop, random: Random) -> Mesh:
    outline = [(0.0, 0.0), (0.42, 0.0), (0.46, 0.06), (0.8, 0.4), (0.97, 0.9), (1.0, 1.0), (0.94, 0.94), (0.7, 0.42),
               (0.3, 0.16), (0.0, 0.12)]  # fmt: skip
    return _turned(outline, prop, 0.62)


def _flame(prop: Prop, random: Random) -> Mesh:
    """A candle's flame."""
    outline = [(0.0, 0.0), (0.6, 0.08), (1.0, 0.28), (0.72, 0.6), (0.25, 0.88), (0.0, 1.0)]
    return _turned(outline, prop, 4.6)


def _bough(prop: Prop, random: Random) -> Mesh:
    """A twig of cherry, without its blossom."""
    return growth.bough(prop.size[0], _own(prop))[0]


def _blossom(prop: Prop, random: Random) -> Mesh:
    """The blossom of a `bough` of the same size and place."""
    own = _own(prop)
    _, spots = growth.bough(prop.size[0], own)
    radius = prop.size[1] if len(prop.size) > 1 else prop.size[0] * 0.065
    return g.join([
        g.moved(growth.flower(radius * float(own.uniform(0.7, 1.1)), own), spot.tolist(), turn, float(own.uniform(-75, 75)))
        for spot, turn in spots
    ])  # fmt: skip


def _own(prop: Prop) -> Random:
    """The same for props that belong together: a twig and its blossom."""
    return np.random.default_rng([round(1000 * abs(v)) for v in (*prop.at, prop.size[0])])


def _lawn(prop: Prop, random: Random) -> Mesh:
    width, depth, height = _size(prop, 1, 1, 0.05)[:3]
    return growth.lawn(width, depth, height, random)


def _shingle(prop: Prop, random: Random, standing: Sequence[Mesh]) -> Mesh:
    width, depth, radius = _size(prop, 1, 1, 0.05)[:3]
    (x, y), above = prop.at, [mesh.vertices[mesh.vertices[:, 2] > 0, :2] for mesh in standing]
    across, along = (x - width / 2, x + width / 2), (y - depth / 2, y + depth / 2)
    bed = pebbles.shingle(across, along, radius, random, np.concatenate(above) if above else None)
    return g.moved(bed, (0, 0, prop.z))


def _strand(prop: Prop, random: Random) -> Mesh:
    """A string of beads laid down in an open loop: their radius, the loop's width and its depth. It begins and ends at the
    right, the ends apart."""
    radius, width, depth = _size(prop, 1, 14, 8)[:3]
    turn = np.linspace(0.25, 2 * np.pi - 0.55, 600)
    wander = 1 + 0.1 * np.sin(3 * turn + random.uniform(0, 6)) + 0.05 * np.sin(5 * turn + random.uniform(0, 6))
    path = np.stack([width / 2 * np.cos(turn) * wander, depth / 2 * np.sin(turn) * wander], -1)
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    stops = np.arange(0, along[-1], 2.1 * radius)
    spots = np.stack([np.interp(stops, along, path[:, k]) for k in (0, 1)], -1)
    return g.join([g.moved(g.ball(radius, 32), (*spot, 0)) for spot in spots])


_MAKERS: dict[str, Maker] = {
    "sphere": _sphere, "block": _block, "cylinder": _cylinder, "arch": _arch, "panel": _panel, "disc": _disc,
    "ring": _ring, "slab": _block, "stairs": _stairs, "column": _column, "leaves": _leaf, "petals": _petal,
    "stones": _stone, "branch": _branch, "plant": _plant, "grass": _grass, "fir": _fir, "flakes": _flake,
    "gift": _gift, "ribbon": _ribbon, "tube": _tube, "wall": _wall, "book": _book, "cone": _cone, "berries": _berries,
    "maple": _maple, "pumpkin": _pumpkin, "stem": _stem, "slice": _slice, "beans": _bean, "ice": _ice, "vase": _vase,
    "bowl": _bowl, "flame": _flame, "bough": _bough, "blossom": _blossom, "lawn": _lawn, "strand": _strand,
    "shavings": _shaving,
}  # fmt: skip
