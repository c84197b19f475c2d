"""Builds a set: from its tables to meshes, surfaces, lights and a camera, ready to be exposed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import structs

from pergai.runners.render import geometry as g
from pergai.runners.render import lights, props, walls
from pergai.runners.render.camera import DecidedView
from pergai.runners.render.card import Card
from pergai.runners.render.geometry import Mesh
from pergai.runners.render.materials import Surface, Texture, surface
from pergai.runners.render.spec import Backdrop, Finish, Light, PhotoSet, Prop, Stand

ASIDE = 0.25
"""Units from the middle: a prop farther out stands beside the product, one nearer is meant to be behind or under it."""
GAP = 0.05
"""Units between a product and a prop beside it."""
FARTHEST_BACK = 0.4
"""Units that a prop may move back rather than aside: there is a wall."""
TOGETHER = 0.2
"""Units: props that are as near as that to each other are one thing: a vase and its twig, blocks on each other."""

Random = np.random.Generator
Solid = tuple[Mesh, Surface]
Obstacle = tuple[float, float, float, float]
"""Half width, front, back, top."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A built set without its camera."""

    solids: tuple[Solid, ...]
    emitters: tuple[dict[str, Any], ...]


def build(
    photo_set: PhotoSet,
    view: DecidedView,
    cards: Sequence[Card],
    *,
    shadow: str,
    seed: int,
    cache: Path,
    width: float | None = 1.0,
) -> Stage:
    """A set with the products' bodies standing in it.

    `width` is the product's width in units; None builds a set that is the same for every product. `seed` chooses where
    textures begin, how things are strewn and turns the lights a little; everything else stays the same.
    """
    texture_random, prop_random, light_random = (np.random.default_rng([seed, k]) for k in range(3))
    deepest = max(cards, key=lambda card: card.footprint[2], default=None)
    lift = 0.0 if photo_set.stand.kind == "none" or view == "top" else photo_set.stand.height
    solids: list[Solid] = []
    if photo_set.floor.shape != "none":
        solids += _floor(photo_set, view, lift, texture_random, cache)
    stands: list[Solid] = []
    if view != "top":
        solids += _backdrop(photo_set, lift, texture_random, cache)
        shared = width is None
        stands = _stand(photo_set.stand, width or 1.0, None if shared else deepest, texture_random, cache)
        solids += stands
    seen = [_strewn_round(prop, cards if width is not None else ()) for prop in photo_set.props if view in prop.views]
    meshes = [g.moved(props.build(prop, prop_random), (0, 0, -lift)) for prop in seen]
    if width is not None:
        meshes = _stepped_aside(seen, meshes, _obstacles(cards, stands))
    solids += [(mesh, surface(prop, cache, _offset(texture_random))) for prop, mesh in zip(seen, meshes, strict=True)]
    emitters = []
    for light in photo_set.lights:
        turned = _turned(lights.softened(light, shadow), light_random)
        emitters.append(lights.lamp(turned))
        mesh_or_none = lights.gobo(turned, light_random)
        if mesh_or_none is not None:
            solids.append((mesh_or_none, Surface({"type": "twosided", "bsdf": _grey(0.05)})))
    backdrop = photo_set.backdrop
    is_sky = backdrop.kind == "sky"
    emitters.append(lights.sky(photo_set.ambient, backdrop.colour if is_sky else "", backdrop.top if is_sky else ""))
    for card in cards:
        own = {"type": "diffuse", "reflectance": {"type": "bitmap", "bitmap": Texture(card.texture)}}
        solids.append((card.mesh, Surface({"type": "twosided", "bsdf": own})))
    return Stage(tuple(solids), tuple(emitters))


def _stepped_aside(props: Sequence[Prop], meshes: Sequence[Mesh], obstacles: Sequence[Obstacle]) -> list[Mesh]:
    """The props, those at the product's side moved outward as far as it is wide there, or its stand, or back where that is
    nearer: nothing stands in them, nor before the product, where its pixels would cover it. What stands together moves
    together; what is strewn keeps clear by itself (`_strewn_round`)."""
    needs = [_need(prop, mesh, obstacles) for prop, mesh in zip(props, meshes, strict=True)]
    moved = []
    for prop, mesh in zip(props, meshes, strict=True):
        others = [need for other, need in zip(props, needs, strict=True) if math.dist(prop.at, other.at) < TOGETHER]
        aside, back = max(others, key=sum)
        step = (math.copysign(aside, prop.at[0]), back, 0) if _beside(prop) else (0, 0, 0)
        moved.append(g.moved(mesh, step))
    return moved


def _obstacles(cards: Sequence[Card], stands: Sequence[Solid]) -> list[Obstacle]:
    """What props keep away from: the products and all before them, and their stand."""
    taken = [(card.footprint[0], -math.inf, card.footprint[2], math.inf) for card in cards]
    for mesh, _ in stands:
        low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
        taken.append((float(max(-low[0], high[0])), float(low[1]), float(high[1]), float(high[2])))
    return taken


def _need(prop: Prop, mesh: Mesh, obstacles: Sequence[Obstacle]) -> tuple[float, float]:
    """How far a prop must move outward, or else back, to leave them their place."""
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    in_the_way = [
        (half, back)
        for half, front, back, top in obstacles
        if low[1] < back + GAP and high[1] > front - GAP and low[2] < top - GAP
    ]
    if not in_the_way or not _beside(prop):
        return 0.0, 0.0
    aside = max(half for half, _ in in_the_way) + GAP - float(low[0] if prop.at[0] > 0 else -high[0])
    behind = max(back for _, back in in_the_way) + GAP - float(low[1])
    return (0.0, behind) if behind < min(aside, FARTHEST_BACK) else (max(aside, 0.0), 0.0)


def _beside(prop: Prop) -> bool:
    return prop.count == 1 and abs(prop.at[0]) >= ASIDE


def _strewn_round(prop: Prop, cards: Sequence[Card]) -> Prop:
    """A prop that keeps a circle clear round the product: one as wide as the product."""
    reach = max((card.footprint[0] + GAP for card in cards), default=0.0)
    return structs.replace(prop, clear=reach) if 0 < prop.clear < reach else prop


def heading(view: DecidedView, seed: int) -> float:
    """By how many degrees the camera walks round the set for this seed."""
    return 0.0 if view == "top" else float(np.random.default_rng([seed, 7]).uniform(-1.5, 1.5))


def _grey(value: float) -> dict[str, Any]:
    return {"type": "diffuse", "reflectance": {"type": "rgb", "value": [value] * 3}}


def _offset(random: Random) -> tuple[float, float]:
    return float(random.random()), float(random.random())


def _turned(light: Light, random: Random) -> Light:
    fields = {name: getattr(light, name) for name in light.__struct_fields__}
    fields["azimuth"] = light.azimuth + float(random.uniform(-6, 6))
    fields["elevation"] = float(np.clip(light.elevation + random.uniform(-2, 2), 3, 89))
    return Light(**fields)


def _floor(photo_set: PhotoSet, view: DecidedView, lift: float, random: Random, cache: Path) -> list[Solid]:
    floor, backdrop = photo_set.floor, photo_set.backdrop
    look = surface(floor, cache, _offset(random))
    if floor.shape == "flat":
        if backdrop.kind == "sweep" and view != "top" and not backdrop.colour and backdrop.material == "paper":
            mesh = walls.sweep(-14.0, backdrop.distance, min(1.4, backdrop.distance * 0.6), 30.0, 80.0)
        else:
            back = 14.0 if view == "top" else min(floor.depth, 60.0)
            mesh = g.ground((-40, 40), (-14, back))
        return [(g.moved(mesh, (0, 0, -lift)), look)]
    height = _RELIEFS[floor.shape](random, floor.relief)

    def settled(x: g.Array, y: g.Array) -> g.Array:
        calm = np.clip((np.hypot(x, y) - 0.3) / 0.5, 0, 1)
        calm = calm * calm * (3 - 2 * calm)
        level = height(x, y)
        return (level * (0.05 + 0.95 * calm) - 0.003 * (1 - calm)).astype(np.float32)

    back = 9.0 if floor.depth > 9 else floor.depth
    near = g.ground((-4.5, 4.5), (-4.5, back), settled, 420)
    far = [] if floor.depth <= 9 else [g.ground((-60, 60), (back - 0.05, 60))]
    wide = [g.ground((-60, -4.45), (-4.5, back)), g.ground((4.45, 60), (-4.5, back))]
    solids: list[Solid] = [(g.moved(near, (0, 0, -lift)), look)]
    return solids + [(g.moved(piece, (0, 0, -lift - 0.02)), look) for piece in far + wide]


def _ripples(random: Random, relief: float) -> Callable[[g.Array, g.Array], g.Array]:
    """Wind ripples in sand: asymmetric waves with forks, over gentle hummocks."""
    waves = _waves(random, 6, 0.5, 1.4)
    bend = _waves(random, 8, 0.8, 2.2)

    def height(x: g.Array, y: g.Array) -> g.Array:
        phase = 2 * np.pi * (5.2 * y + 1.1 * x) + 2.4 * bend(x, y)
        crest = (0.5 + 0.5 * np.sin(phase + 0.55 * np.sin(phase))) ** 1.3
        return np.asarray(relief * (0.022 * crest * (0.75 + 0.35 * waves(x, y)) + 0.035 * waves(y, x)), np.float32)

    return height


def _dunes(random: Random, relief: float) -> Callable[[g.Array, g.Array], g.Array]:
    low, fine = _waves(random, 6, 0.12, 0.35), _waves(random, 8, 0.8, 2.0)

    def height(x: g.Array, y: g.Array) -> g.Array:
        away = np.clip((y - 0.4) / 4, 0, 2)
        return np.asarray(relief * (0.38 * away * (0.6 + low(x, y)) + 0.02 * fine(x, y)), np.float32)

    return height


def _drifts(random: Random, relief: float) -> Callable[[g.Array, g.Array], g.Array]:
    low, fine = _waves(random, 8, 0.3, 0.9), _waves(random, 14, 1.5, 5.0)

    def height(x: g.Array, y: g.Array) -> g.Array:
        away = np.clip((y - 0.2) / 3, 0, 1.5)
        return (relief * (0.07 * low(x, y) + 0.12 * away + 0.008 * fine(x, y))).astype(np.float32)

    return height


def _cloth(random: Random, relief: float) -> Callable[[g.Array, g.Array], g.Array]:
    """Cloth laid down loosely: long soft folds of several directions and widths, each dying away along its length."""
    directions = random.normal(0, 0.5, 7)
    bends = [_waves(random, 4, 0.2, 0.7) for _ in directions]
    shifts, frequency = random.uniform(-2, 2, 7), random.uniform(0.25, 0.6, 7)
    widths = random.uniform(0.12, 0.3, 7)

    def height(x: g.Array, y: g.Array) -> g.Array:
        total = np.zeros_like(x)
        for angle, bend, shift, pitch, width in zip(directions, bends, shifts, frequency, widths, strict=True):
            across = x * np.cos(angle) + y * np.sin(angle) + 0.35 * bend(x, y) + shift
            ridge = np.abs((across * pitch + 0.5) % 1.0 - 0.5) / pitch
            presence = np.clip(0.5 + 0.6 * bend(0.6 * y, 0.6 * x), 0, 1.4)
            total = total + (width / 0.2) * presence / np.cosh(ridge / (0.6 * width)) ** 2
        return (relief * 0.055 * total).astype(np.float32)

    return height


def _rings(random: Random, relief: float) -> Callable[[g.Array, g.Array], g.Array]:
    """Rings on still water round what stands in it, dying away outward, over a hardly moving surface."""
    swell = _waves(random, 10, 0.5, 1.6)

    def height(x: g.Array, y: g.Array) -> g.Array:
        r = np.hypot(x, y) * (1 + 0.015 * swell(x, y))
        ring = np.sin(2 * np.pi * r / 0.17) * np.exp(-r / 1.1)
        return np.asarray(relief * (0.0085 * ring + 0.0012 * swell(x, y)), np.float32)

    return height


_RELIEFS = {"rings": _rings, "ripples": _ripples, "dunes": _dunes, "drifts": _drifts, "cloth": _cloth}


def _waves(random: Random, count: int, low: float, high: float) -> Callable[[g.Array, g.Array], g.Array]:
    """A smooth random function of the plane: a sum of sines of frequencies low to high; deviation about 1."""
    angle, frequency = random.uniform(0, 2 * np.pi, count), random.uniform(low, high, count)
    phase = random.uniform(0, 2 * np.pi, count)
    kx, ky = 2 * np.pi * frequency * np.cos(angle), 2 * np.pi * frequency * np.sin(angle)

    def value(x: g.Array, y: g.Array) -> g.Array:
        total = sum(np.sin(x * a + y * b + c) for a, b, c in zip(kx, ky, phase, strict=True))
        return np.asarray(total * np.sqrt(2 / count), np.float32)

    return value


def _backdrop(photo_set: PhotoSet, lift: float, random: Random, cache: Path) -> list[Solid]:
    backdrop = photo_set.backdrop
    if backdrop.kind in {"none", "sky"}:
        return []
    down = -lift - 0.01
    if backdrop.kind == "sweep":
        if not backdrop.colour and backdrop.material == "paper" and photo_set.floor.shape == "flat":
            return []
        finish: Finish = backdrop
        mesh = walls.sweep(backdrop.distance - 1.6, backdrop.distance, 1.2, 30.0, 80.0)
    elif backdrop.kind == "wall":
        finish, mesh = (
            backdrop,
            walls.extruded(np.array([[backdrop.distance, -8], [backdrop.distance, 30]], np.float32), 80.0),
        )
    elif backdrop.kind == "corner":
        finish, mesh = backdrop, _corner(backdrop)
    elif backdrop.kind in _WALLS:
        finish, mesh = backdrop, g.moved(_WALLS[backdrop.kind](backdrop.scale), (0, backdrop.distance, 0))
    else:
        finish = backdrop
        mesh = g.moved(walls.curtain(14.0, 9.0, 0.1, 2.5 / max(backdrop.scale, 0.1), random), (0, backdrop.distance, 0))
    return [(g.moved(mesh, (0, 0, down)), surface(finish, cache, _offset(random)))]


_WALLS: dict[str, Callable[[float], Mesh]] = {
    "fluted": lambda scale: g.moved(walls.fluted(16.0, 15.0, 0.115 * scale), (0, 0, -3)),
    "slats": lambda scale: g.moved(walls.slats(14.0, 13.0, 0.16 * scale), (0, 0, -3)),
    "niche": lambda scale: walls.niche(1.75 * scale, 1.85 * scale, 0.6 * scale, (40.0, 20.0)),
    "panelled": lambda scale: walls.panelled(16.0, 10.0, 1.7 * scale),
}


def _corner(backdrop: Backdrop) -> Mesh:
    """Two walls that meet behind the product, a little to the right."""
    d = backdrop.distance
    left = g.moved(
        walls.extruded(np.array([[0, -8], [0, 30]], np.float32), 30.0),
        (0.9 - 15 * np.cos(np.radians(12)), d - 15 * np.sin(np.radians(12)), 0),
        12,
    )
    right = g.moved(
        walls.extruded(np.array([[0, -8], [0, 30]], np.float32), 30.0),
        (0.9 + 15 * np.cos(np.radians(62)), d - 15 * np.sin(np.radians(62)), 0),
        -62,
    )
    return g.join([left, right])


def _stand(stand: Stand, width: float, card: Card | None, random: Random, cache: Path) -> list[Solid]:
    if stand.kind == "none":
        return []
    look = surface(stand, cache, _offset(random))
    half = max(width / 2 * stand.spread, 0.32)
    behind = card.footprint[2] if card is not None else 0.3
    centre = min(max(behind / 2, 0.05), half * 0.8)
    if stand.kind == "cylinder":
        mesh = g.cylinder(max(half, centre + 0.1), stand.height, stand.bevel)
    elif stand.kind == "block":
        mesh = g.block(2 * half, 2 * max(0.7 * half, centre + 0.15), stand.height, stand.bevel)
    elif stand.kind == "slab":
        mesh = g.block(3.2 * half, 2 * max(0.8 * half, centre + 0.15), stand.height, stand.bevel)
    elif stand.kind == "boulder":
        return [(_boulder(half, stand.height, centre, random), look)]
    else:
        lower = g.cylinder(half * 1.45, stand.height * 0.5, stand.bevel)
        upper = g.moved(g.cylinder(half, stand.height * 0.5, stand.bevel), (0, 0, stand.height * 0.5))
        mesh = g.join([lower, upper])
    return [(g.moved(mesh, (0, centre, -stand.height)), look)]


def _boulder(half: float, height: float, centre: float, random: Random) -> Mesh:
    """A rock with a flat top at z = 0."""
    n = 220
    gx, gy = np.meshgrid(np.linspace(-1, 1, n), np.linspace(-1, 1, n))
    rough, fine = _waves(random, 10, 0.35, 1.1), _waves(random, 16, 1.4, 4.0)
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
