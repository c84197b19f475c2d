"""The products of the shots: small still lives of meshes, those of the tuning split and those of the held-out one.

A product is about one unit high, stands on z = 0 around the origin and faces the camera on the -y side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from pergai.runners.render.colour import linear
from pergai.runners.render.geometry import Mesh, ball, block, cylinder, disc, join, lathe, moved, ring, sheet
from pergai.runners.render.growth import blade
from pergai.runners.render.materials import Surface

Random = np.random.Generator
Parts = list[tuple[Mesh, Surface]]
Path = npt.NDArray[np.float64]


def _paint(colour: str, roughness: float = 0.5) -> Surface:
    bsdf = {"type": "principled", "base_color": _rgb(colour), "roughness": roughness, "specular": 0.4}
    return Surface({"type": "twosided", "bsdf": bsdf})


def _metal(colour: str, roughness: float = 0.2) -> Surface:
    bsdf = {"type": "principled", "base_color": _rgb(colour), "metallic": 1.0, "roughness": roughness}
    return Surface({"type": "twosided", "bsdf": bsdf})


def _tinted(colour: str) -> Surface:
    """Thin glass that bends nothing and takes its share of the light."""
    bsdf: dict[str, Any] = {"type": "thindielectric", "int_ior": 1.2, "specular_transmittance": _rgb(colour)}
    return Surface(bsdf)


def _rgb(colour: str) -> dict[str, Any]:
    return {"type": "rgb", "value": list(linear(colour))}


def _line(*points: tuple[float, float, float], n: int = 40) -> Path:
    """A smooth path through points."""
    from scipy.interpolate import CubicSpline

    t = np.linspace(0.0, 1.0, len(points))
    return np.asarray(CubicSpline(t, np.array(points))(np.linspace(0.0, 1.0, n)))


def _tube(path: Path, radius: float, segments: int = 16) -> Mesh:
    """A round tube along a path (n, 3) that hardly leaves one plane or one direction, without a twist."""
    tangent = np.gradient(path, axis=0)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-9)
    helper = np.eye(3)[np.abs(tangent).max(axis=0).argmin()]
    side = np.cross(tangent, helper)
    side /= np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-9)
    other = np.cross(side, tangent)
    angle = np.linspace(0, 2 * np.pi, segments + 1)
    rim = side[:, None] * np.cos(angle)[:, None] + other[:, None] * np.sin(angle)[:, None]
    points = path[:, None] + radius * rim
    return sheet(points.astype(np.float32), np.zeros((*points.shape[:2], 2), np.float32))


def _hair(
    random: Random, centre: tuple[float, float, float], radius: float, length: float, count: int, width: float
) -> Mesh:
    """Strands that stand away from a ball and hang a little."""
    directions = random.normal(size=(count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    bends = random.normal(0.0, 0.35, (count, 3))
    t = np.linspace(0.0, 1.0, 7)[:, None]
    strands = []
    for direction, bend, share in zip(directions, bends, random.uniform(0.5, 1.0, count), strict=True):
        reach = radius * 0.97 + t * length * share
        path = np.array(centre) + direction * reach + bend * length * t**2 + [0, 0, -0.3] * t**2 * length
        strands.append(_tube(path, width * share, 5))
    return join(strands)


def _ellipsoid(size: tuple[float, float, float], offset: tuple[float, float, float]) -> Mesh:
    sphere = ball(0.5)
    vertices = sphere.vertices * np.array(size, np.float32) + np.array(offset, np.float32)
    normals = None if sphere.normals is None else sphere.normals / np.array(size, np.float32)
    if normals is not None:
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return Mesh(vertices.astype(np.float32), sphere.faces, sphere.uv, normals)


# --- the tuning split ---------------------------------------------------------------------------------


def mug(random: Random) -> Parts:
    body = lathe([(0.0, 0.0), (0.3, 0.0), (0.33, 0.03), (0.34, 0.75), (0.32, 0.75), (0.31, 0.05), (0.0, 0.04)])
    handle = _tube(_line((0.32, 0, 0.62), (0.52, 0, 0.6), (0.56, 0, 0.36), (0.46, 0, 0.18), (0.32, 0, 0.14)), 0.035)
    return [(moved(join([body, handle]), turn=-20), _paint("#f4f2ee", 0.25))]


def bowl(random: Random) -> Parts:
    outer = [(0.0, 0.0), (0.2, 0.0), (0.22, 0.04), (0.38, 0.15), (0.5, 0.36), (0.48, 0.365), (0.36, 0.18), (0.0, 0.08)]
    return [(lathe(outer), _paint("#f6f5f2", 0.3))]


def carton(random: Random) -> Parts:
    return [(moved(block(0.6, 0.4, 0.75, 0.006), turn=35), _paint("#f1f0ec", 0.8))]


def pompom(random: Random) -> Parts:
    body = _ellipsoid((0.6, 0.6, 0.6), (0, 0, 0.22))
    return [
        (body, _paint("#e6d9c2", 0.9)),
        (_hair(random, (0, 0, 0.5), 0.3, 0.17, 1800, 0.004), _paint("#eadfca", 0.8)),
    ]


def whisk(random: Random) -> Parts:
    loops = [
        moved(_tube(_line((0, 0, 0.45), (0.2, 0, 0.6), (0.24, 0, 0.85), (0, 0, 1.05), (-0.24, 0, 0.85),
                         (-0.2, 0, 0.6), (0, 0, 0.45), n=90), 0.007, 8), turn=30.0 * k)
        for k in range(6)
    ]  # fmt: skip
    return [(join(loops), _metal("#c8c8cc")), (cylinder(0.045, 0.48), _paint("#23262b", 0.3))]


def chair(random: Random) -> Parts:
    legs = [
        _tube(_line((x, y, 0.0), (0.9 * x, 0.9 * y, 0.45), n=6), 0.025) for x in (-0.28, 0.28) for y in (-0.25, 0.25)
    ]
    spokes = [_tube(_line((x, 0.22, 0.47), (1.1 * x, 0.3, 1.0), n=6), 0.013) for x in np.linspace(-0.24, 0.24, 7)]
    rail = _tube(_line((-0.3, 0.3, 1.0), (0.0, 0.34, 1.03), (0.3, 0.3, 1.0)), 0.028)
    seat = moved(block(0.6, 0.56, 0.05, 0.02), (0, 0, 0.44))
    return [(moved(join([*legs, *spokes, rail, seat]), turn=25), _paint("#8a5a33", 0.4))]


def headphones(random: Random) -> Parts:
    band = _tube(_line((-0.34, 0, 0.3), (-0.32, 0, 0.7), (0, 0, 0.97), (0.32, 0, 0.7), (0.34, 0, 0.3)), 0.03)
    cups = [_ellipsoid((0.16, 0.34, 0.36), (x, 0, 0.1)) for x in (-0.33, 0.33)]
    return [(moved(join([band, *cups]), turn=20), _paint("#17181a", 0.35))]


def gold_ring(random: Random) -> Parts:
    return [(moved(ring(0.36, 0.055), turn=25), _metal("#e6b65a", 0.12))]


def hoops(random: Random) -> Parts:
    rings = [moved(ring(0.2, 0.02), (x, 0, 0.1), turn=turn) for x, turn in ((-0.32, 20.0), (0.32, -15.0))]
    drops = [_ellipsoid((0.1, 0.1, 0.14), (x, 0, 0.0)) for x in (-0.32, 0.32)]
    return [(join(rings), _metal("#d9d9de", 0.15)), (join(drops), _paint("#1f5fa8", 0.1))]


def amber(random: Random) -> Parts:
    body = lathe([(0.26, 0.01), (0.27, 0.55), (0.2, 0.66), (0.08, 0.72), (0.08, 0.84)])
    label = moved(lathe([(0.274, 0.15), (0.274, 0.42)]), turn=0)
    return [
        (body, _tinted("#c98a4a")), (label, _paint("#efe6d6", 0.7)),
        (moved(cylinder(0.1, 0.13), (0, 0, 0.84)), _paint("#15161a")),
    ]  # fmt: skip


def spray(random: Random) -> Parts:
    body = lathe(
        [(0.0, 0.0), (0.2, 0.0), (0.22, 0.03), (0.22, 0.6), (0.17, 0.7), (0.09, 0.74), (0.09, 0.82), (0, 0.82)]
    )
    head = moved(block(0.32, 0.13, 0.14, 0.02), (-0.06, 0, 0.82))
    trigger = _tube(_line((-0.14, 0, 0.84), (-0.17, 0, 0.74), (-0.15, 0, 0.64)), 0.02)
    return [(body, _paint("#eceff1", 0.35)), (join([head, trigger]), _paint("#3d7f6a", 0.35))]


def plant(random: Random) -> Parts:
    pot = lathe([(0.0, 0.0), (0.2, 0.0), (0.27, 0.36), (0.24, 0.36), (0.22, 0.3), (0.0, 0.3)])
    leaves = [
        moved(moved(blade(0.55, 0.09), tilt=float(random.uniform(35, 75))), (0, 0, 0.33), turn=float(turn))
        for turn in np.linspace(0, 345, 14)
    ]
    return [(pot, _paint("#f5f4f0", 0.4)), (join(leaves), _paint("#4e7a3a", 0.5))]


# --- the held-out split -------------------------------------------------------------------------------


def bottle(random: Random) -> Parts:
    """Shampoo with a pump."""
    body = lathe([(0.0, 0.0), (0.19, 0.0), (0.21, 0.03), (0.21, 0.58), (0.17, 0.66), (0.08, 0.69), (0.08, 0.74)])
    label = lathe([(0.212, 0.14), (0.212, 0.44)])
    pump = [cylinder(0.09, 0.09), moved(cylinder(0.035, 0.12), (0, 0, 0.09)), moved(cylinder(0.06, 0.05), (0, 0, 0.2))]
    nozzle = _tube(_line((0.0, 0, 0.96), (-0.16, 0, 0.96), (-0.21, 0, 0.92)), 0.022)
    return [
        (body, _paint("#d98f6c", 0.3)), (label, _paint("#f7f1e8", 0.6)),
        (join([*(moved(part, (0, 0, 0.74)) for part in pump), nozzle]), _paint("#f2f2f0", 0.3)),
    ]  # fmt: skip


def parcel(random: Random) -> Parts:
    """A folding box of a cream, standing before a lying one."""
    tall = moved(block(0.36, 0.3, 0.85, 0.005), (-0.08, 0, 0), turn=28)
    band = moved(block(0.366, 0.306, 0.22, 0.005), (-0.08, 0, 0.3), turn=28)
    low = moved(block(0.4, 0.26, 0.2, 0.005), (0.3, -0.24, 0), turn=-12)
    return [(tall, _paint("#e7e3da", 0.7)), (band, _paint("#2f5d50", 0.6)), (low, _paint("#c9b79a", 0.7))]


def cup(random: Random) -> Parts:
    """Coffee in a cup on its saucer."""
    saucer = lathe([(0.0, 0.0), (0.24, 0.0), (0.27, 0.02), (0.46, 0.07), (0.46, 0.085), (0.25, 0.04), (0.0, 0.04)])
    body = lathe([(0.0, 0.04), (0.16, 0.04), (0.18, 0.07), (0.28, 0.26), (0.31, 0.46), (0.295, 0.46), (0.26, 0.26)])
    handle = _tube(_line((0.28, 0, 0.4), (0.44, 0, 0.41), (0.46, 0, 0.27), (0.25, 0, 0.19)), 0.028)
    return [
        (moved(join([saucer, body, handle]), turn=-25), _paint("#f3f1ec", 0.2)),
        (disc(0.284, 0.4), _paint("#3b2416", 0.2)),
    ]


def trainer(random: Random) -> Parts:
    """A shoe from the side: a sole, an upper with a collar to look into, laces."""
    t = np.linspace(0.0, 1.0, 60)
    length = -0.55 + 1.1 * t
    half = 0.02 + 0.17 * np.sin(np.pi * np.clip(t, 0.02, 0.98)) ** 0.5
    height = np.interp(t, [0, 0.08, 0.22, 0.42, 0.6, 0.85, 1.0], [0.36, 0.47, 0.46, 0.42, 0.28, 0.18, 0.08])
    angle = np.linspace(0.0, np.pi, 33)[None]
    upper = np.stack(
        np.broadcast_arrays(
            length[:, None],
            half[:, None] * np.cos(angle) * 0.95,
            0.07 + (height[:, None] - 0.07) * np.sin(angle) ** 0.6,
        ),
        -1,
    )
    rim = np.stack([length, half * 1.06, 0 * t], 1)
    rim = np.concatenate([rim, rim[::-1] * [1, -1, 1]])
    sole = np.stack([
        rim, np.add(rim, [0, 0, 0.1]), np.add(rim * [0.99, 0.9, 0], [0, 0, 0.105]), np.add(rim * [1, 0, 0], [0, 0, 0.105]),
    ])  # fmt: skip
    laces = [
        _tube(_line((x, -0.1, z - 0.03), (x + 0.03, 0, z + 0.015), (x, 0.1, z - 0.03)), 0.012)
        for x, z in ((-0.02, 0.405), (0.05, 0.36), (0.12, 0.315))
    ]
    uv = np.zeros((*upper.shape[:2], 2), np.float32)
    turn = {"turn": -20.0}
    return [
        (moved(sheet(upper.astype(np.float32), uv), **turn), _paint("#3f5f8a", 0.8)),
        (moved(sheet(sole.astype(np.float32), np.zeros((*sole.shape[:2], 2), np.float32)), **turn), _paint("#f4f3f0", 0.7)),
        (moved(join(laces), **turn), _paint("#f6f6f4", 0.8)),
    ]  # fmt: skip


def handbag(random: Random) -> Parts:
    body = moved(block(0.78, 0.26, 0.52, 0.07))
    flap = moved(block(0.8, 0.28, 0.26, 0.06), (0, 0, 0.28))
    clasp = moved(block(0.1, 0.03, 0.07, 0.01), (0, -0.15, 0.3))
    handles = [
        _tube(_line((-0.22, y, 0.5), (-0.2, y, 0.76), (0, 1.4 * y, 0.9), (0.2, y, 0.76), (0.22, y, 0.5)), 0.018)
        for y in (-0.08, 0.09)
    ]
    return [
        (moved(join([body, flap, *handles]), turn=18), _paint("#7b3b2e", 0.45)),
        (moved(clasp, turn=18), _metal("#d9b36a", 0.2)),
    ]


def toy_car(random: Random) -> Parts:
    """Wood, painted."""
    body = moved(block(1.0, 0.42, 0.2, 0.06), (0, 0, 0.12))
    cabin = moved(block(0.5, 0.36, 0.2, 0.07), (-0.05, 0, 0.31))
    wheels = [moved(cylinder(0.13, 0.08), (x, y, 0.13), tilt=90) for x in (-0.3, 0.3) for y in (-0.18, 0.26)]
    turn = {"turn": 28.0}
    return [
        (moved(join([body]), **turn), _paint("#c8372d", 0.35)),
        (moved(cabin, **turn), _paint("#efe2c6", 0.4)),
        (moved(join(wheels), **turn), _paint("#2a2a2c", 0.6)),
    ]


def watch(random: Random) -> Parts:
    """Standing on its closed strap."""
    a = np.linspace(0, 2 * np.pi, 90)
    loop = np.stack([0.33 * np.cos(a), 0.36 * np.sin(a) + 0.37], 1)
    strap = np.stack([[[x, y, z] for x, z in loop] for y in (-0.1, 0.1)]).astype(np.float32)
    inner = np.stack([[[0.93 * x, y, 0.37 + 0.93 * (z - 0.37)] for x, z in loop] for y in (0.1, -0.1)])
    band = sheet(np.concatenate([strap, inner.astype(np.float32), strap[:1]]), np.zeros((5, 90, 2), np.float32))
    case = moved(cylinder(0.21, 0.09, 0.02), (0, 0, 0.7))
    dial = disc(0.18, 0.793)
    crown = moved(cylinder(0.025, 0.06), (0.2, 0, 0.745), tilt=0)
    tilted = {"turn": 70.0, "tilt": 0.0}
    return [
        (moved(band, **tilted), _paint("#4a2f22", 0.6)), (moved(join([case, crown]), **tilted), _metal("#cfd1d4", 0.15)),
        (moved(dial, **tilted), _paint("#f4f4f2", 0.3)),
    ]  # fmt: skip


def jar(random: Random) -> Parts:
    """Face cream: white, with a lid of metal."""
    return [
        (cylinder(0.34, 0.32, 0.05), _paint("#f1efeb", 0.15)),
        (moved(cylinder(0.35, 0.17, 0.02), (0, 0, 0.32)), _metal("#d8c3a0", 0.25)),
    ]


def perfume(random: Random) -> Parts:
    """Tinted glass, clear enough to see through."""
    shell = moved(block(0.5, 0.24, 0.56, 0.03), turn=20)
    cap = moved(block(0.2, 0.16, 0.2, 0.015), (0, 0, 0.62), turn=20)
    collar = moved(cylinder(0.06, 0.07), (0, 0, 0.56))
    return [(shell, _tinted("#dba9b4")), (collar, _metal("#d9b36a", 0.15)), (cap, _paint("#18181a", 0.2))]


def sunglasses(random: Random) -> Parts:
    rims = [moved(ring(0.2, 0.024), (x, 0, 0.0)) for x in (-0.25, 0.25)]
    lenses = [moved(cylinder(0.195, 0.012, 0.002), (x, 0.006, 0.224), tilt=90) for x in (-0.25, 0.25)]
    bridge = _tube(_line((-0.07, 0, 0.28), (0, -0.02, 0.32), (0.07, 0, 0.28)), 0.02)
    arms = [
        _tube(_line((s * 0.46, 0, 0.27), (s * 0.47, 0.4, 0.27), (s * 0.45, 0.75, 0.14), n=30), 0.018) for s in (-1, 1)
    ]
    return [
        (moved(join([*rims, bridge, *arms]), turn=-20), _paint("#5b3a21", 0.25)),
        (moved(join(lenses), turn=-20), _paint("#141518", 0.08)),
    ]


def bangle(random: Random) -> Parts:
    """Silver, leaning: one sees the ground through it."""
    return [(moved(ring(0.42, 0.035), (0, 0, 0.02), turn=20, tilt=-28), _metal("#d9dadd", 0.12))]


def rabbit(random: Random) -> Parts:
    """Plush, with short hair."""
    balls = [((0, 0, 0.27), 0.25), ((0, -0.04, 0.62), 0.18)]
    ears = [_ellipsoid((0.1, 0.07, 0.36), (x, 0, 0.72)) for x in (-0.09, 0.09)]
    feet = [_ellipsoid((0.17, 0.3, 0.14), (x, -0.2, 0.0)) for x in (-0.14, 0.14)]
    solids = [_ellipsoid((2 * r, 2 * r, 2 * r), (x, y, z - r)) for (x, y, z), r in balls]
    coat = [_hair(random, centre, r, 0.045, int(14000 * r), 0.003) for centre, r in balls]
    eyes = [_ellipsoid((0.035, 0.035, 0.035), (x, -0.22, 0.64)) for x in (-0.07, 0.07)]
    return [
        (join([*solids, *ears, *feet]), _paint("#b9a48c", 0.9)), (join(coat), _paint("#c2ad95", 0.8)),
        (join(eyes), _paint("#151515", 0.1)),
    ]  # fmt: skip


def armchair(random: Random) -> Parts:
    seat = moved(block(0.62, 0.6, 0.16, 0.05), (0, 0, 0.24))
    back = moved(block(0.62, 0.14, 0.5, 0.05), (0, 0.26, 0.36))
    sides = [moved(block(0.12, 0.58, 0.34, 0.05), (x, 0, 0.22)) for x in (-0.34, 0.34)]
    legs = [_tube(_line((1.1 * x, 1.1 * y, 0.0), (x, y, 0.24), n=4), 0.022) for x in (-0.3, 0.3) for y in (-0.22, 0.22)]
    return [
        (moved(join([seat, back, *sides]), turn=30), _paint("#6d7f6a", 0.9)),
        (moved(join(legs), turn=30), _paint("#a3744a", 0.5)),
    ]


def carafe(random: Random) -> Parts:
    """White porcelain with a handle."""
    z = np.linspace(0.0, 0.95, 50)
    r = 0.13 + 0.16 * np.sin(np.clip(z / 0.7, 0, 1) * np.pi) ** 1.2 + 0.05 * np.clip((z - 0.8) / 0.15, 0, 1) ** 2
    body = lathe(
        [
            (0.0, 0.0),
            *((float(a), float(b)) for a, b in zip(r, z, strict=True)),
            (float(r[-1]) - 0.02, 0.95),
            (0.1, 0.75),
        ]
    )
    handle = _tube(_line((0.14, 0, 0.82), (0.36, 0, 0.82), (0.42, 0, 0.55), (0.28, 0, 0.36)), 0.03)
    return [(moved(join([body, handle]), turn=-15), _paint("#f2f1ee", 0.2))]


def lantern(random: Random) -> Parts:
    """A cage of black wire round a candle."""
    posts = [_tube(_line((x, y, 0.0), (x, y, 0.62), n=3), 0.012) for x in (-0.22, 0.22) for y in (-0.22, 0.22)]
    roof = lathe([(0.32, 0.62), (0.08, 0.8), (0.0, 0.81)], 4)
    handle = moved(ring(0.07, 0.01), (0, 0, 0.79))
    base = moved(block(0.5, 0.5, 0.04, 0.005))
    wax = moved(cylinder(0.11, 0.28, 0.02), (0, 0, 0.04))
    return [
        (moved(join([*posts, base, handle]), turn=25), _paint("#1d1e20", 0.5)),
        (moved(roof, turn=70), _paint("#1d1e20", 0.5)), (wax, _paint("#f3ead6", 0.5)),
    ]  # fmt: skip


TUNING: dict[str, Callable[[Random], Parts]] = {
    f.__name__: f for f in (mug, bowl, carton, pompom, whisk, chair, headphones, gold_ring, hoops, amber, spray, plant)
}
HELD_OUT: dict[str, Callable[[Random], Parts]] = {
    f.__name__: f
    for f in (bottle, parcel, cup, trainer, handbag, toy_car, watch, jar, perfume, sunglasses, bangle, rabbit, armchair,
              carafe, lantern)
}  # fmt: skip
