"""Lamps, sun and sky, and what is held in front of them (gobos), as descriptions."""

# ruff: noqa: ARG001 - every entry of the table has the same signature
from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec import structs

from pergai.runners.render.colour import LUMINANCE, kelvin, linear
from pergai.runners.render.geometry import Mesh, block, join, moved, scaled
from pergai.runners.render.growth import blade
from pergai.runners.render.materials import Texture
from pergai.runners.render.spec import Ambient, Light, PhotoSet

Vector = npt.NDArray[np.float64]


SKY_ASKED = 1e-6
"""How often a path asks a sky, where it asks a lamp of the same power once: a path that goes on meets the sky by itself, and
what it asks of it is behind a wall half of the time. Not never, or a set without a lamp would have nothing to ask."""

HIGHEST_FROM_ABOVE = 44.0
"""Degrees."""


def direction(azimuth: float, elevation: float) -> Vector:
    """From the product towards a light. Azimuth 0 is the camera's side, 90 the right."""
    a, e = np.radians(azimuth), np.radians(elevation)
    return np.array([np.sin(a) * np.cos(e), -np.cos(a) * np.cos(e), np.sin(e)])


def lamp(light: Light) -> dict[str, Any]:
    """An emitter that gives a white surface facing it, at its target, the radiance `power`."""
    towards = direction(light.azimuth, light.elevation)
    colour = np.asarray(linear(light.colour) if light.colour else kelvin(light.kelvin))
    colour = colour / max(float(colour @ LUMINANCE), 1e-3)
    if light.kind == "sun":
        distance = 2000.0
        radius = distance * float(np.tan(np.radians(max(light.size[0], 0.3)) / 2))
        shape, size, area = "disk", (radius, radius), np.pi * radius**2
    else:
        distance = light.distance
        width, height = light.size if light.kind != "strip" else (light.size[0], light.size[1])
        shape, size, area = "rectangle", (width / 2, height / 2), width * height
    radiance = colour * light.power * np.pi * distance**2 / area
    aim = np.asarray(light.target)
    origin = aim + towards * distance
    return {
        "type": shape,
        "to_world": ("facing", origin.tolist(), aim.tolist(), size),
        "emitter": {
            "type": "area",
            "radiance": {"type": "rgb", "value": radiance.tolist()},
            "sampling_weight": light.power,
        },
    }


def level(photo_set: PhotoSet) -> float:
    """How brightly a white surface is lit at the product: the mean of one that lies and one that faces the camera.

    Worked out from the lamps alone, so that it does not depend on the product: a catalogue keeps one exposure.
    """
    total = photo_set.ambient.power * float(np.asarray(linear(photo_set.ambient.colour)) @ LUMINANCE)
    for light in photo_set.lights:
        if not _for_the_product(light):
            continue
        towards = direction(light.azimuth, light.elevation)
        total += light.power * (max(float(towards[2]), 0.0) + max(float(-towards[1]), 0.0)) / 2
    return max(total, 1e-3)


def _for_the_product(light: Light) -> bool:
    return float(np.hypot(light.target[0], light.target[1])) <= 1.0


def from_above(light: Light) -> Light:
    """A light for a camera that looks straight down: a lamp at the product is no higher than `HIGHEST_FROM_ABOVE`, or a glossy
    floor would mirror it beside the product."""
    if light.kind == "sun" or light.elevation <= HIGHEST_FROM_ABOVE or not _for_the_product(light):
        return light
    return structs.replace(light, elevation=HIGHEST_FROM_ABOVE)


def softened(light: Light, shadow: str) -> Light:
    """The same light with another edge to its shadows."""
    factor = {"soft": 2.2, "hard": 0.18}.get(shadow)
    if factor is None:
        return light
    width, height = light.size
    if light.kind == "sun":
        width = max(width * factor, 9.0) if shadow == "soft" else min(width, 0.6)
    else:
        width, height = width * factor, height * factor
    fields = {name: getattr(light, name) for name in light.__struct_fields__} | {"size": (width, height)}
    return Light(**fields)


def sky(ambient: Ambient, horizon: str = "", top: str = "") -> dict[str, Any]:
    """Light from everywhere: even, or a gradient from the ground over the horizon to the zenith."""
    even = np.asarray(linear(ambient.colour)) * ambient.power
    if not (ambient.ground or horizon):
        return {"type": "constant", "radiance": {"type": "rgb", "value": even.tolist()}, "sampling_weight": SKY_ASKED}
    low = np.asarray(linear(ambient.ground or ambient.colour)) * ambient.power
    middle = np.asarray(linear(horizon)) * ambient.power if horizon else even
    high = np.asarray(linear(top)) * ambient.power if top else even
    elevation = np.linspace(90, -90, 180)[:, None]
    t = np.clip(elevation / 50, 0, 1) ** 0.6
    above = middle * (1 - t) + high * t
    ground = np.clip(-elevation / 4, 0, 1)
    column = above * (1 - ground) + low * ground
    picture = np.repeat(column[:, None].astype(np.float32), 8, axis=1)
    return {
        "type": "envmap",
        "bitmap": Texture(np.ascontiguousarray(picture), raw=True),
        "to_world": ("upright",),
        "sampling_weight": SKY_ASKED,
    }


def gobo(light: Light, random: np.random.Generator) -> Mesh | None:
    """What stands between a light and the set, where its shadow is wanted."""
    if light.gobo == "none":
        return None
    towards = direction(light.azimuth, light.elevation)
    flat = _GOBOS[light.gobo](random)
    mesh = scaled(flat, light.gobo_scale)
    side = np.cross([0, 0, 1], towards)
    side /= np.linalg.norm(side)
    up = np.cross(towards, side)
    frame = np.stack([side, up, towards], axis=1).astype(np.float32)
    away = {"leaves": 3.2, "branches": 3.2, "palm": 3.2}.get(light.gobo, 8.0)
    return Mesh(
        mesh.vertices @ frame.T + (np.asarray(light.target) + towards * away).astype(np.float32), mesh.faces, mesh.uv
    )


def _leaves(random: np.random.Generator) -> Mesh:
    """Twigs with leaves that come in from the upper edges and leave the middle mostly open."""
    leaves: list[Mesh] = []
    for _ in range(9):
        angle = random.uniform(0, 2 * np.pi)
        base = np.array([np.cos(angle), np.sin(angle)]) * random.uniform(1.5, 2.2)
        heading = np.degrees(np.arctan2(-base[1], -base[0])) - 90 + random.uniform(-45, 45)
        length = random.uniform(1.0, 1.9)
        forward = np.array([-np.sin(np.radians(heading)), np.cos(np.radians(heading))])
        for k in range(13):
            spot = base + forward * length * k / 12
            side = 1 if k % 2 else -1
            leaf = blade(random.uniform(0.32, 0.5), random.uniform(0.11, 0.19), droop=0.1, n=9)
            leaves.append(moved(leaf, (*spot, random.uniform(-0.2, 0.2)), heading + side * random.uniform(30, 65)))
        stem = block(0.012, length, 0.012, 0.002, n=3)
        leaves.append(moved(stem, (*(base + forward * length / 2), 0.0), heading))
    return join([Mesh(leaf.vertices, leaf.faces, leaf.uv) for leaf in leaves])


def _palm(random: np.random.Generator) -> Mesh:
    """Fronds: long ribs with narrow leaflets."""
    leaves: list[Mesh] = []
    for angle in (random.uniform(15, 30), random.uniform(55, 80), random.uniform(-25, -8)):
        base = np.array([-1.9, -0.9])
        rib = np.radians(angle)
        for k in range(30):
            along = 0.25 + 3.0 * k / 29
            bend = rib - 0.10 * along
            spot = base + along * np.array([np.cos(bend), np.sin(bend)])
            length = 0.95 * float(np.sin(np.pi * (0.12 + 0.8 * k / 29))) + 0.1
            for side in (1, -1):
                heading = np.degrees(bend) - 90 + side * random.uniform(38, 50)
                leaves.append(moved(blade(length, 0.075, droop=0.1, n=7), (*spot, 0.0), heading))
    return join([Mesh(leaf.vertices, leaf.faces, leaf.uv) for leaf in leaves])


def _branches(random: np.random.Generator) -> Mesh:
    parts: list[Mesh] = []
    for _ in range(7):
        start = np.array([random.uniform(-2.2, 2.2), random.choice([-1.9, 1.9])])
        heading = np.degrees(np.arctan2(-start[1], -start[0])) - 90 + random.uniform(-35, 35)
        for _ in range(5):
            length = random.uniform(0.6, 1.3)
            forward = np.array([-np.sin(np.radians(heading)), np.cos(np.radians(heading))])
            thick = random.uniform(0.012, 0.035)
            parts.append(
                moved(block(thick, length, thick, 0.004, n=3), (*(start + forward * length / 2), 0.0), heading)
            )
            start = start + forward * length * random.uniform(0.5, 1.0)
            heading += random.uniform(-40, 40)
    return join([Mesh(part.vertices, part.faces, part.uv) for part in parts])


def _blinds(random: np.random.Generator) -> Mesh:
    """Slats with light between them."""
    slats = [moved(block(6.0, 0.13, 0.004, 0.001, n=3), (0, -2.6 + 0.26 * k, 0)) for k in range(21)]
    return join([Mesh(slat.vertices, slat.faces, slat.uv) for slat in slats])


def _window(random: np.random.Generator) -> Mesh:
    """A wall with a tall window of two by three panes."""
    bars = [moved(block(0.07, 3.4, 0.02, 0.002, n=3), (x, 0, 0)) for x in (-0.02,)]
    bars += [moved(block(2.4, 0.06, 0.02, 0.002, n=3), (0, y, 0)) for y in (-0.55, 0.55)]
    wall = [((3.4, 9.0), (2.75, 0)), ((3.4, 9.0), (-2.75, 0)), ((2.2, 3.2), (0, 3.2)), ((2.2, 3.2), (0, -3.2))]
    bars += [moved(block(w, h, 0.02, 0.002, n=3), (x, y, 0)) for (w, h), (x, y) in wall]
    return join([Mesh(bar.vertices, bar.faces, bar.uv) for bar in bars])


_GOBOS = {"leaves": _leaves, "palm": _palm, "branches": _branches, "blinds": _blinds, "window": _window}
