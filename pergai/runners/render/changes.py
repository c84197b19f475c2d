"""Changes of a set that words ask for: each a function from a set to a set. Strength 1 is the whole change, 0 none of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
import numpy as np

from pergai.runners.render.colour import LUMINANCE, srgb, to_hex
from pergai.runners.render.materials import MATERIALS
from pergai.runners.render.spec import Backdrop, Finish, Floor, Light, PhotoSet, Prop, Stand

Part = Literal["floor", "backdrop", "stand"]

GOBOS = ("none", "leaves", "palm", "blinds", "window", "branches")
_TINTS = {"white": "#ffffff", "black": "#000000", "warm": "#ffa860", "cool": "#7fb0ff"}


def shaded(colour: str, shade: Mapping[str, float]) -> str:
    """A colour made paler, deeper, warmer…: shares of `white`, `black`, `warm`, `cool` and its own `grey` are mixed in, its
    `saturation` multiplied."""
    rgb = srgb(colour)
    for name, share in shade.items():
        grey = np.full(3, float(rgb @ LUMINANCE))
        if name == "saturation":
            rgb = np.clip(grey + (rgb - grey) * share, 0, 1)
        else:
            rgb = rgb + (grey if name == "grey" else srgb(_TINTS[name])) * share - rgb * share
    return to_hex(rgb)


def painted(photo_set: PhotoSet, part: Part, colour: str, strength: float = 1.0) -> PhotoSet:
    """One part in another colour; with a strength below 1 only tinted, above 1 in a stronger colour. A sweep without a finish
    of its own is one piece with the floor: the floor is painted. Before a vista hangs paper."""
    if part == "backdrop" and (one_piece(photo_set) or photo_set.backdrop.kind == "none"):
        part = "floor"
    if part == "backdrop" and photo_set.backdrop.kind == "vista" and strength >= 1:
        photo_set = laid(photo_set, part, {"material": "paper"})
    finish: Floor | Backdrop | Stand = getattr(photo_set, part)
    if strength < 1:
        rgb = srgb(_colour(finish)) * (1 - strength) + srgb(colour) * strength
        colour = to_hex(rgb)
    elif strength > 1:
        colour = shaded(colour, {"saturation": min(strength, 1.5)})
    return msgspec.structs.replace(photo_set, **{part: _recoloured(finish, colour)})


def colour_of(photo_set: PhotoSet, part: Part) -> str:
    """The colour of a part; of the floor where a sweep is one piece with it."""
    if part == "backdrop" and (one_piece(photo_set) or photo_set.backdrop.kind == "none"):
        part = "floor"
    return _colour(getattr(photo_set, part))


def one_piece(photo_set: PhotoSet) -> bool:
    backdrop = photo_set.backdrop
    return backdrop.kind == "sweep" and not backdrop.colour and backdrop.material == "paper"


def split(photo_set: PhotoSet) -> PhotoSet:
    """The same set with the sweep as a wall of the floor's finish, so that both can differ."""
    if not one_piece(photo_set):
        return photo_set
    floor = photo_set.floor
    wall = msgspec.structs.replace(
        photo_set.backdrop, kind="wall", material=floor.material, colour=floor.colour, accent=floor.accent
    )
    return msgspec.structs.replace(photo_set, backdrop=wall)


def everywhere(photo_set: PhotoSet, colour: str) -> PhotoSet:
    """Tone on tone: floor and backdrop in a colour, the stand a shade lighter."""
    photo_set = painted(painted(photo_set, "floor", colour), "backdrop", colour)
    if photo_set.stand.kind == "none":
        return photo_set
    return painted(photo_set, "stand", shaded(colour, {"white": 0.18}))


def lit_in(photo_set: PhotoSet, colour: str) -> PhotoSet:
    """Every lamp in a colour."""
    lights = tuple(msgspec.structs.replace(light, colour=colour) for light in photo_set.lights)
    return msgspec.structs.replace(photo_set, lights=lights)


def laid(photo_set: PhotoSet, part: Part, finish: Mapping[str, Any]) -> PhotoSet:
    """One part made of another material; `shape` is the floor's, `hung` the backdrop's kind."""
    change = {"colour": "", "accent": "", "gloss": None, "scale": 1.0, **finish}
    own = {key: value for key, value in change.items() if key in Finish.__struct_fields__}
    if part == "floor":
        apart = photo_set
        if one_piece(photo_set):
            apart = split(photo_set) if photo_set.floor.colour else photo_set
        floor = msgspec.structs.replace(apart.floor, shape=str(finish.get("shape", "flat")), **own)
        return msgspec.structs.replace(apart, floor=floor)
    if part == "backdrop":
        kind = "wall" if photo_set.backdrop.kind in {"sweep", "vista", "sky", "none"} else photo_set.backdrop.kind
        own["kind"] = finish.get("hung", kind)
        return msgspec.structs.replace(photo_set, backdrop=msgspec.structs.replace(photo_set.backdrop, **own))
    raised = "cylinder" if photo_set.stand.kind == "none" else photo_set.stand.kind
    return msgspec.structs.replace(photo_set, stand=msgspec.structs.replace(photo_set.stand, kind=raised, **own))


def with_props(
    photo_set: PhotoSet, added: tuple[Prop, ...], finish: Mapping[str, Any], size: float, amount: float | None
) -> PhotoSet:
    """More props: in another finish, `size` times as large, so many of them."""
    own = {key: value for key, value in finish.items() if key in Finish.__struct_fields__}
    grown = tuple(
        msgspec.structs.replace(
            prop, **own, size=tuple(value * size for value in prop.size), count=_count(prop, amount)
        )
        for prop in _some(added, amount)
    )
    return msgspec.structs.replace(photo_set, props=photo_set.props + grown)


def _some(added: tuple[Prop, ...], amount: float | None) -> tuple[Prop, ...]:
    """Of props that stand singly, so many as are asked for."""
    single = all(prop.count == 1 for prop in added) and len({prop.kind for prop in added}) == 1
    return added[: int(amount)] if single and amount is not None and amount >= 1 and amount == int(amount) else added


def _count(prop: Prop, amount: float | None) -> int:
    if amount is None or prop.count == 1:
        return prop.count
    return max(1, int(amount) if amount >= 1 and amount == int(amount) else round(prop.count * amount))


def without_props(photo_set: PhotoSet, kinds: frozenset[str] | None = None, material: str = "") -> PhotoSet:
    """Props of these kinds or this material are taken away; all when neither is named. Leaves take their gobo with them."""
    kept = tuple(
        prop
        for prop in photo_set.props
        if (kinds is not None and prop.kind not in kinds) or (material and prop.material != material)
    )
    photo_set = msgspec.structs.replace(photo_set, props=kept)
    return without_gobo(photo_set, ("leaves", "palm")) if kinds and kinds & {"leaves", "plant"} else photo_set


def without_gobo(photo_set: PhotoSet, gobos: tuple[str, ...] = GOBOS) -> PhotoSet:
    lights = tuple(
        msgspec.structs.replace(light, gobo="none") if light.gobo in gobos else light for light in photo_set.lights
    )
    return msgspec.structs.replace(photo_set, lights=lights)


def accented(photo_set: PhotoSet, finish: Mapping[str, Any]) -> PhotoSet:
    """What stands about in another colour or material."""
    own = {"accent": "", **{key: value for key, value in finish.items() if key in Finish.__struct_fields__}}
    props = tuple(msgspec.structs.replace(prop, **own) for prop in photo_set.props)
    return msgspec.structs.replace(photo_set, props=props)


def dulled(photo_set: PhotoSet) -> PhotoSet:
    """A floor and a stand that mirror nothing."""
    floor, stand = (msgspec.structs.replace(part, gloss=0.25) for part in (photo_set.floor, photo_set.stand))
    return msgspec.structs.replace(photo_set, floor=floor, stand=stand)


def lit(photo_set: PhotoSet, change: Mapping[str, float], strength: float = 1.0) -> PhotoSet:
    """Another light. Values that are set move `strength` of the way; factors are raised to it, sums multiplied by it. The
    main light takes all, the others the colour temperature."""
    lights = [
        _relit(light, change if i == 0 else _only_colour(change), strength) for i, light in enumerate(photo_set.lights)
    ]
    look, ambient = photo_set.look, photo_set.ambient
    look = msgspec.structs.replace(
        look,
        exposure=look.exposure + change.get("exposure", 0.0) * strength,
        contrast=look.contrast + change.get("contrast", 0.0) * strength,
        saturation=look.saturation * change.get("saturation", 1.0) ** strength,
        vignette=min(max(look.vignette + change.get("vignette", 0.0) * strength, 0.0), 0.4),
    )
    ambient = msgspec.structs.replace(ambient, power=ambient.power * change.get("ambient", 1.0) ** strength)
    return msgspec.structs.replace(photo_set, lights=tuple(lights), look=look, ambient=ambient)


def _only_colour(change: Mapping[str, float]) -> Mapping[str, float]:
    return {"kelvin": change["kelvin"]} if "kelvin" in change else {}


def _relit(light: Light, change: Mapping[str, float], strength: float) -> Light:
    def moved(name: str, low: float, high: float) -> float:
        own: float = getattr(light, name)
        return min(max(own + (change.get(name, own) - own) * strength, low), high)

    kind, (width, height) = light.kind, light.size
    if change.get("sun") and strength > 0:
        kind, (width, height) = "sun", light.size if light.kind == "sun" else (1.2, 1.2)
    elif (change.get("sun") and strength < 0) or (change.get("lamp") and light.kind == "sun"):
        kind, (width, height) = "softbox", (2.2, 2.2)
    factor = change.get("size", 1.0) ** strength
    positive = min(strength, 1.0) if strength > 0 else 0.0
    gobo: str = light.gobo
    if "gobo" in change:
        gobo = GOBOS[int(change["gobo"])] if strength > 0 else "none"
    own_azimuth, own_elevation = light.azimuth, light.elevation
    return msgspec.structs.replace(
        light,
        kind=kind,
        size=(width * factor, height * factor),
        kelvin=moved("kelvin", 1800.0, 14000.0),
        colour="" if "kelvin" in change else light.colour,
        power=light.power * change.get("power", 1.0) ** strength,
        azimuth=own_azimuth + (change.get("azimuth", own_azimuth) - own_azimuth) * positive,
        elevation=own_elevation + (change.get("elevation", own_elevation) - own_elevation) * positive,
        gobo=gobo,
    )


def aimed(photo_set: PhotoSet, change: Mapping[str, Any], strength: float = 1.0) -> PhotoSet:
    """Another camera: `view` and `pitch` are set; `scale` and `aperture` are factors, `least` is the smallest aperture."""
    camera = photo_set.camera
    aperture = camera.aperture * float(change.get("aperture", 1.0)) ** strength
    return msgspec.structs.replace(
        photo_set,
        camera=msgspec.structs.replace(
            camera,
            view=change.get("view", camera.view),
            pitch=float(change.get("pitch", camera.pitch)),
            scale=min(max(camera.scale * float(change.get("scale", 1.0)) ** strength, 0.15), 0.85),
            aperture=min(max(aperture, float(change.get("least", 0.0)) * strength), 0.3),
        ),
    )


def _colour(finish: Finish) -> str:
    return finish.colour or MATERIALS[finish.material].colour


def _recoloured(finish: Floor | Backdrop | Stand, colour: str) -> Floor | Backdrop | Stand:
    """A sky's colour is the one at its horizon; overhead it follows."""
    change = {"colour": colour, "accent": ""}
    if isinstance(finish, Backdrop) and finish.kind == "sky":
        change["top"] = shaded(colour, {"black": 0.18})
    return msgspec.structs.replace(finish, **change)
