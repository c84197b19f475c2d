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


def vase(random: Random) -> Parts:
    z = np.linspace(0.0, 1.0, 60)
    r = 0.13 + 0.17 * np.sin(np.clip(z / 0.75, 0, 1) * np.pi) ** 1.4 + 0.06 * np.clip((z - 0.85) / 0.15, 0, 1) ** 2
    return [
        (lathe([(0.0, 0.0), *zip(r, z, strict=True), (float(r[-1]) - 0.02, 1.0), (0.08, 0.8)]), _paint("#f7f6f3", 0.3))
    ]


def teapot(random: Random) -> Parts:
    body = _ellipsoid((0.8, 0.72, 0.6), (0, 0, 0.0))
    lid = moved(
        join([_ellipsoid((0.34, 0.34, 0.12), (0, 0, 0.0)), _ellipsoid((0.08, 0.08, 0.09), (0, 0, 0.1))]), (0, 0, 0.55)
    )
    spout = _tube(_line((-0.32, 0, 0.22), (-0.5, 0, 0.3), (-0.58, 0, 0.5), (-0.66, 0, 0.58)), 0.055)
    handle = _tube(_line((0.34, 0, 0.46), (0.58, 0, 0.48), (0.6, 0, 0.2), (0.36, 0, 0.13)), 0.035)
    return [(moved(join([body, lid, spout, handle]), turn=15), _paint("#f3f2f0", 0.2))]


def gift_box(random: Random) -> Parts:
    drum = join([cylinder(0.38, 0.42, 0.008), moved(cylinder(0.4, 0.16, 0.008), (0, 0, 0.42))])
    bow = [
        _tube(_line((0, 0, 0.6), (s * 0.18, -0.05, 0.74), (s * 0.3, 0, 0.66), (s * 0.1, 0.02, 0.6), (0, 0, 0.6)), 0.018)
        for s in (-1, 1)
    ]
    return [(drum, _paint("#f5f3ef", 0.7)), (join(bow), _paint("#c9b27c", 0.4))]


def spectacles(random: Random) -> Parts:
    rims = [moved(ring(0.24, 0.014), (x, 0, 0.0)) for x in (-0.3, 0.3)]
    bridge = _tube(_line((-0.07, 0, 0.3), (0, -0.02, 0.35), (0.07, 0, 0.3)), 0.013)
    arms = [_tube(_line((s * 0.54, 0, 0.3), (s * 0.56, 0.4, 0.31), (s * 0.52, 0.8, 0.2), n=30), 0.012) for s in (-1, 1)]
    return [(moved(join([*rims, bridge, *arms]), turn=22), _metal("#2a2a2e", 0.3))]


def bear(random: Random) -> Parts:
    balls = [((0, 0, 0.3), 0.27), ((0, -0.03, 0.72), 0.2), ((-0.17, 0, 0.9), 0.075), ((0.17, 0, 0.9), 0.075)]
    solids = [_ellipsoid((2 * r, 2 * r, 2 * r), (x, y, z - r)) for (x, y, z), r in balls]
    coat = [_hair(random, centre, r, 0.09, int(9000 * r), 0.0035) for centre, r in balls]
    return [(join(solids), _paint("#2d221c", 0.9)), (join(coat), _paint("#3a2b22", 0.8))]


def necklace(random: Random) -> Parts:
    links = []
    for k, a in enumerate(np.linspace(0, 2 * np.pi, 44, endpoint=False)):
        link = moved(ring(0.036, 0.009, 32), (0, 0, -0.045), tilt=90.0 if k % 2 else 0.0, turn=0.0)
        links.append(moved(moved(link, turn=90.0), (0.5 * np.cos(a), 0.5 * np.sin(a), 0.045), turn=0.0))
    pendant = _ellipsoid((0.16, 0.2, 0.09), (0, -0.6, 0.0))
    return [(join(links), _metal("#d8d8dc", 0.15)), (pendant, _paint("#7a1f2d", 0.15))]


def slippers(random: Random) -> Parts:
    shoes = []
    for x, turn in ((-0.3, 8.0), (0.3, -14.0)):
        sole = _ellipsoid((0.34, 0.95, 0.12), (0, 0, 0.0))
        upper = _ellipsoid((0.33, 0.55, 0.3), (0, -0.18, 0.02))
        shoes.append(moved(join([sole, upper]), (x, 0, 0), turn=turn))
    return [(join(shoes), _paint("#f2f1ed", 0.85))]


def basket(random: Random) -> Parts:
    ribs = [
        _tube(_line((0.3 * np.cos(a), 0.3 * np.sin(a), 0.02), (0.42 * np.cos(a), 0.42 * np.sin(a), 0.6), n=8), 0.012)
        for a in np.linspace(0, 2 * np.pi, 24, endpoint=False)
    ]
    turns = np.linspace(0, 2 * np.pi, 80)
    hoops_ = [
        _tube(np.stack([(0.3 + 0.2 * z) * np.cos(turns), (0.3 + 0.2 * z) * np.sin(turns), 0 * turns + z], 1), 0.014, 8)
        for z in (0.02, 0.16, 0.31, 0.46, 0.6)
    ]
    handle = _tube(_line((-0.42, 0, 0.6), (-0.3, 0, 0.95), (0, 0, 1.1), (0.3, 0, 0.95), (0.42, 0, 0.6)), 0.02)
    return [(join([*ribs, *hoops_, moved(handle, turn=35)]), _paint("#b98d58", 0.6))]


def goblet(random: Random) -> Parts:
    bowl_ = lathe([(0.05, 0.46), (0.2, 0.52), (0.27, 0.68), (0.25, 0.95)])
    foot = join([lathe([(0.0, 0.02), (0.24, 0.0)]), lathe([(0.03, 0.02), (0.03, 0.47)]), disc(0.05, 0.47)])
    return [(bowl_, _tinted("#8fb8d8")), (foot, _metal("#c9ccd2", 0.2))]


def lamp(random: Random) -> Parts:
    shade = lathe([(0.33, 0.62), (0.16, 1.0)])
    stand = join([cylinder(0.18, 0.05), lathe([(0.02, 0.04), (0.02, 0.8)])])
    cable = _tube(
        _line((0.16, 0, 0.02), (0.4, -0.1, 0.02), (0.5, -0.35, 0.02), (0.7, -0.2, 0.02), (0.75, 0.1, 0.02)), 0.01
    )
    return [(shade, _paint("#31506b", 0.8)), (join([stand, cable]), _paint("#222326", 0.3))]


def kettle(random: Random) -> Parts:
    body = lathe([(0.0, 0.0), (0.36, 0.0), (0.38, 0.05), (0.3, 0.5), (0.16, 0.6), (0.05, 0.62), (0.05, 0.68), (0, 0.7)])
    spout = _tube(_line((-0.3, 0, 0.3), (-0.44, 0, 0.46), (-0.52, 0, 0.56)), 0.045)
    handle = _tube(_line((-0.22, 0, 0.58), (-0.2, 0, 0.85), (0.0, 0, 0.93), (0.2, 0, 0.85), (0.22, 0, 0.58)), 0.025)
    return [
        (moved(join([body, spout]), turn=20), _metal("#d5d7da", 0.1)),
        (moved(handle, turn=20), _paint("#17181b", 0.4)),
    ]


def wheel(random: Random) -> Parts:
    spokes = [
        _tube(_line((0, 0, 0.47), (0.4 * np.cos(a), 0, 0.47 + 0.4 * np.sin(a)), n=3), 0.005, 6)
        for a in np.linspace(0, 2 * np.pi, 20, endpoint=False)
    ]
    hub = moved(_ellipsoid((0.1, 0.14, 0.1), (0, 0, 0.42)))
    tyre = moved(ring(0.42, 0.035), (0, 0, 0.015))
    return [
        (moved(join([*spokes, hub]), turn=25), _metal("#b9bcc2", 0.2)), (moved(tyre, turn=25), _paint("#1b1b1d", 0.8)),
    ]  # fmt: skip


def earbuds(random: Random) -> Parts:
    buds = [_ellipsoid((0.16, 0.16, 0.2), (x, 0, 0.0)) for x in (-0.4, 0.35)]
    cords = [
        _tube(
            _line((-0.4, 0.05, 0.03), (-0.3, 0.3, 0.02), (0.0, 0.1, 0.02), (0.1, 0.5, 0.02), (0.0, 0.9, 0.02)), 0.012
        ),
        _tube(
            _line((0.35, 0.05, 0.03), (0.45, 0.3, 0.02), (0.15, 0.35, 0.02), (0.2, 0.7, 0.02), (0.0, 0.9, 0.02)), 0.012
        ),
    ]
    plug = moved(block(0.07, 0.2, 0.06), (0.0, 0.95, 0.0))
    return [(join([*buds, *cords, plug]), _paint("#f4f4f4", 0.3))]


def brush(random: Random) -> Parts:
    spots = random.uniform(-1, 1, (900, 2)) * [0.3, 0.08]
    bristles = [
        _tube(np.array([[x, y, 0.5], [x * 1.25, y * 1.6, 0.25], [x * 1.6 + d, y * 2.0, 0.0]]), 0.004, 5)
        for (x, y), d in zip(spots, random.normal(0, 0.03, 900), strict=True)
    ]
    handle = join([moved(block(0.68, 0.22, 0.14, 0.03), (0, 0, 0.46)), moved(cylinder(0.045, 0.5, 0.03), (0, 0, 0.58))])
    return [(join(bristles), _paint("#26211d", 0.6)), (handle, _paint("#c58f56", 0.4))]


def candle(random: Random) -> Parts:
    wick = _tube(_line((0, 0, 0.78), (0.01, 0, 0.84), (0.03, 0, 0.88)), 0.008)
    return [(cylinder(0.24, 0.8, 0.03), _paint("#f6f3ea", 0.6)), (wick, _paint("#2a2522", 0.9))]


def stool(random: Random) -> Parts:
    legs = [
        _tube(_line((0.34 * np.cos(a), 0.34 * np.sin(a), 0), (0.22 * np.cos(a), 0.22 * np.sin(a), 0.8), n=5), 0.025)
        for a in np.radians([20, 110, 200, 290])
    ]
    foot_ring = moved(ring(0.28, 0.014), (0, 0, 0), tilt=90)
    seat = moved(cylinder(0.32, 0.07, 0.03), (0, 0, 0.79))
    return [(join([*legs, moved(foot_ring, (0, 0.294, 0.35)), seat]), _paint("#f4f3f1", 0.4))]


TUNING: dict[str, Callable[[Random], Parts]] = {
    f.__name__: f for f in (mug, bowl, carton, pompom, whisk, chair, headphones, gold_ring, hoops, amber, spray, plant)
}
HELD_OUT: dict[str, Callable[[Random], Parts]] = {
    f.__name__: f
    for f in (vase, teapot, gift_box, spectacles, bear, necklace, slippers, basket, goblet, lamp, kettle, wheel, earbuds,
              brush, candle, stool)
}  # fmt: skip
