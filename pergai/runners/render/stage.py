"""Builds a set: from its tables to meshes, surfaces, lights and a camera, ready to be exposed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pergai.runners.render import geometry as g
from pergai.runners.render import lights, props, room, stands, terrain, walls
from pergai.runners.render.camera import DecidedView
from pergai.runners.render.card import Card, Footprint
from pergai.runners.render.geometry import Mesh
from pergai.runners.render.materials import Paintbox, Surface, Texture, surface
from pergai.runners.render.spec import Backdrop, Finish, Floor, Light, PhotoSet, Stand
from pergai.runners.render.vistas import ASPECT

Random = np.random.Generator
VISTA_HEIGHT = 2.4
"""Units."""
STAND_DEPTH = 0.3
"""Units from the foremost point of a product to its back, where a stand is built for none in particular."""
Solid = tuple[Mesh, Surface]


@dataclass(frozen=True, slots=True)
class Stage:
    """A built set without its camera."""

    solids: tuple[Solid, ...]
    emitters: tuple[dict[str, Any], ...]
    crowded: bool
    """A prop reaches into a product, or before it."""
    overhung: bool
    """A product is wider than the top of its stand."""


def build(
    photo_set: PhotoSet,
    view: DecidedView,
    cards: Sequence[Card],
    *,
    shadow: str,
    seed: int,
    cache: Path,
    width: float = 1.0,
    shared: Footprint | None = None,
) -> Stage:
    """A set with the products' bodies standing in it.

    `width` is that of the product, in units, which the stand is made for. `shared` is the footprint that room is made for
    instead of the products' own, so that many share the set. `seed` chooses where textures begin, how things are strewn and
    turns the lights a little; everything else stays the same.
    """
    feet = [card.footprint for card in cards]
    taken = feet if shared is None else [shared]
    paintbox = Paintbox(cache)
    texture_random, prop_random, light_random = (np.random.default_rng([seed, k]) for k in range(3))
    stand = photo_set.stand if view != "top" or photo_set.stand.lying else Stand()
    lift = 0.0 if stand.kind == "none" else stand.height
    solids: list[Solid] = []
    ground: terrain.Height = terrain.level
    if photo_set.floor.shape != "none":
        offset = _offset(texture_random)
        ground = _relief(photo_set.floor, lift, texture_random, taken)
        solids += _floor(photo_set, view, lift, surface(photo_set.floor, paintbox, offset), ground)
    standing: list[Mesh] = []
    if view != "top":
        solids += _backdrop(photo_set, lift, texture_random, paintbox)
    if stand.kind != "none":
        look = surface(stand, paintbox, _offset(texture_random))
        if view == "top":
            width = max([width, *(foot.depth for foot in taken)])
            standing = [stands.lying(stand, width, texture_random)]
        else:
            behind = max((foot.back for foot in feet), default=STAND_DEPTH) if shared is None else STAND_DEPTH
            standing = [stands.build(stand, width, behind, texture_random)]
        solids.append((standing[0], look))
    seen = [room.strewn_round(prop, taken) for prop in photo_set.props if view in prop.views]
    raised = [g.moved(mesh, (0, 0, lift)) for mesh in standing]
    meshes = [g.moved(props.build(prop, prop_random, raised, ground), (0, 0, -lift)) for prop in seen]
    meshes = room.stepped_aside(seen, meshes, room.obstacles(taken, standing))
    solids += [
        (mesh, surface(prop, paintbox, _offset(texture_random))) for prop, mesh in zip(seen, meshes, strict=True)
    ]
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
    carried = stands.reach(stand, width) if standing else math.inf
    overhung = any(max(-foot.left, foot.right) > carried for foot in feet)
    return Stage(tuple(solids), tuple(emitters), room.crowded(seen, meshes, feet), overhung)


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


def _relief(floor: Floor, lift: float, random: Random, footprints: Sequence[Footprint]) -> terrain.Height:
    """How high the floor is, level under the products: it would rise above their feet."""
    if floor.shape == "flat":
        return terrain.level
    height = terrain.RELIEFS[floor.shape](random, floor.relief)
    left = min((foot.left for foot in footprints), default=-0.3)
    right = max((foot.right for foot in footprints), default=0.3)
    front = min((foot.front for foot in footprints), default=0.0)
    behind = max((foot.back for foot in footprints), default=0.0)

    def settled(x: g.Array, y: g.Array) -> g.Array:
        outside = np.hypot(x - np.clip(x, left, right), y - np.clip(y, front, behind))
        calm = np.clip((outside - 0.04) / 0.5, 0, 1)
        calm = calm * calm * (3 - 2 * calm)
        return np.asarray(height(x, y) * calm, np.float32)

    return height if lift and floor.shape in terrain.LOW else settled


def _floor(photo_set: PhotoSet, view: DecidedView, lift: float, look: Surface, relief: terrain.Height) -> list[Solid]:
    floor, backdrop = photo_set.floor, photo_set.backdrop
    if floor.shape == "flat":
        if backdrop.kind == "sweep" and view != "top" and not backdrop.colour and backdrop.material == "paper":
            mesh = walls.sweep(-14.0, backdrop.distance, min(1.4, backdrop.distance * 0.6), 30.0, 80.0)
        else:
            back = 14.0 if view == "top" else min(floor.depth, 60.0)
            mesh = g.ground((-40, 40), (-14, back))
        return [(g.moved(mesh, (0, 0, -lift)), look)]
    back = 9.0 if floor.depth > 9 else floor.depth
    near = g.ground((-4.5, 4.5), (-4.5, back), relief, 400)
    beyond, points, lower = (relief, 200, 0.0) if floor.shape in terrain.ENDLESS else (None, 2, 0.02)
    far = [] if floor.depth <= 9 else [g.ground((-60, 60), (back - 0.05, 60), beyond, points)]
    wide = [g.ground(x, (-4.5, back), beyond, points) for x in ((-60, -4.45), (4.45, 60))]
    solids: list[Solid] = [(g.moved(near, (0, 0, -lift)), look)]
    return solids + [(g.moved(piece, (0, 0, -lift - lower)), look) for piece in far + wide]


def _backdrop(photo_set: PhotoSet, lift: float, random: Random, paintbox: Paintbox) -> list[Solid]:
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
    elif backdrop.kind == "vista":
        high = VISTA_HEIGHT * backdrop.scale
        picture = walls.vista(high, high * ASPECT, float(random.random()))
        finish, mesh = backdrop, g.moved(picture, (0, backdrop.distance, backdrop.z))
    elif backdrop.kind in _WALLS:
        finish, mesh = backdrop, g.moved(_WALLS[backdrop.kind](backdrop.scale), (0, backdrop.distance, 0))
    else:
        finish = backdrop
        mesh = g.moved(walls.curtain(14.0, 9.0, 0.1, 2.5 / max(backdrop.scale, 0.1), random), (0, backdrop.distance, 0))
    return [(g.moved(mesh, (0, 0, down)), surface(finish, paintbox, _offset(random)))]


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
