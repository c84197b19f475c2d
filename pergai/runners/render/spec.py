"""The `set` table of a scene card: what stands on the set, what it is made of, how it is lit and seen.

Lengths are in *units*: one unit is the product's longer side as it stands in the picture. The product stands at the
origin on the surface z = 0; x runs to the right, y away from the camera, z upward. Azimuths are degrees seen from
above: 0 comes from the camera, 90 from the right, 180 from behind, -90 from the left.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from pergai.cards.structs import SceneCard
from pergai.errors import CardError
from pergai.runners.render.colour import is_colour

MaterialName = Literal[
    "paper", "plaster", "concrete", "marble", "wood", "linen", "velvet", "silk", "sand", "snow", "stone", "terrazzo",
    "ceramic", "lacquer", "acrylic", "gold", "copper", "steel", "chrome", "glass", "frosted", "water", "leaf", "petal",
    "moss", "asphalt", "tiles", "leather", "glow", "planks", "travertine", "herringbone", "pool", "kraft", "brick", "denim",
    "gingham", "citrus", "garden", "meadow", "forest", "firs", "pearl", "pebble", "bench",
]  # fmt: skip


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the card; an unknown field is an error."""


class Finish(Part, frozen=True, kw_only=True):
    """What a surface is made of."""

    material: MaterialName = "paper"
    colour: str = ""
    """Main colour, "#rrggbb"; the material's own when empty."""
    accent: str = ""
    """Second colour: veins, chips, grain."""
    scale: float = 1.0
    """Size of the texture against the material's natural size."""
    turn: float = 0.0
    """Turn of the texture in degrees."""
    gloss: float | None = None
    """0 matt - 1 mirror-smooth; the material's own when missing."""
    power: float = 1.0
    """Of what shines, a `glow`: its radiance against its colour's."""


class Floor(Finish, frozen=True, kw_only=True):
    """What the product (or its stand) stands on."""

    shape: Literal["flat", "ripples", "dunes", "drifts", "cloth", "gathers", "rings", "none"] = "flat"
    """`rings` are those a drop leaves on still water."""
    relief: float = 1.0
    """Height of the shape against its natural height."""
    depth: float = 40.0
    """How far the floor reaches behind the product: a table's edge when small."""


class Backdrop(Finish, frozen=True, kw_only=True):
    """What is behind the product."""

    kind: Literal[
        "sweep", "wall", "corner", "curtain", "fluted", "slats", "niche", "panelled", "vista", "sky", "none"
    ] = "sweep"
    """`sweep` is the floor's own surface curving up (its finish is the floor's when none is given); `fluted` has half-round
    ribs, `slats` are upright battens, `niche` a round-headed recess, `panelled` a moulding, `vista` is a
    picture of the far distance out of focus: of the material `garden`, `meadow`, `forest` or `firs`. `scale` is theirs too."""
    distance: float = 3.0
    z: float = 0.0
    """`vista`: height of its foot above the floor; a garden behind a table lies below."""
    top: str = ""
    """`sky`: the colour overhead; `colour` is the one at the horizon."""


class Stand(Finish, frozen=True, kw_only=True):
    """What lifts the product off the floor."""

    kind: Literal["none", "cylinder", "block", "slab", "steps", "boulder", "cobble"] = "none"
    height: float = 0.2
    spread: float = 1.35
    """Width against the product's width."""
    bevel: float = 0.012
    lying: bool = False
    """Whether a product that lies, seen from above, lies on it too. Else it lies on the floor."""


class Prop(Finish, frozen=True, kw_only=True):
    """A thing on the set, or several of them."""

    kind: Literal[
        "sphere", "block", "cylinder", "arch", "panel", "disc", "ring", "slab", "stairs", "column", "leaves", "petals",
        "stones", "branch", "plant", "grass", "fir", "flakes", "gift", "ribbon", "tube", "wall", "book", "cone",
        "berries", "maple", "pumpkin", "stem", "slice", "beans", "ice", "vase", "bowl", "flame", "bough", "blossom", "lawn",
        "shingle", "strand", "shavings",
    ]  # fmt: skip
    at: tuple[float, float] = (0.0, 0.0)
    """Centre on the floor (x, y)."""
    z: float = 0.0
    """Height of its foot above the floor."""
    size: tuple[float, ...] = (0.3,)
    """Radius, or width, depth and height, as the kind needs."""
    heading: float = 0.0
    """Turn about the vertical in degrees."""
    count: int = 1
    spread: tuple[float, float] = (0.0, 0.0)
    """Half width and half depth of the area over which `count` things are strewn."""
    above: float = 0.0
    """With `count`: how far above `z` they may float."""
    clear: float = 0.0
    """Radius around the product that stays free."""
    views: tuple[Literal["front", "three-quarter", "top"], ...] = ("front", "three-quarter", "top")


class Light(Part, frozen=True, kw_only=True):
    """A lamp, or the sun."""

    kind: Literal["softbox", "strip", "sun", "spot"] = "softbox"
    azimuth: float = -45.0
    elevation: float = 45.0
    distance: float = 5.0
    size: tuple[float, float] = (2.0, 2.0)
    """Width and height of a softbox; of a sun the first is its apparent diameter in degrees."""
    power: float = 1.0
    """Light at its target against the other lights of the set."""
    target: tuple[float, float, float] = (0.0, 0.0, 0.35)
    """What it is pointed at; the middle of the product. Azimuth, elevation and distance are seen from there."""
    kelvin: float = 5600.0
    colour: str = ""
    """Instead of a colour temperature."""
    gobo: Literal["none", "leaves", "palm", "blinds", "window", "branches"] = "none"
    gobo_scale: float = 1.0


class Ambient(Part, frozen=True, kw_only=True):
    """Light from everywhere."""

    power: float = 0.35
    colour: str = "#ffffff"
    ground: str = ""
    """Colour from below the horizon and from behind the set; `colour` when empty."""


class Camera(Part, frozen=True, kw_only=True):
    view: Literal["auto", "front", "three-quarter", "top"] = "auto"
    pitch: float = 7.0
    """Degrees the camera looks down in the front view."""
    distance: float = 6.0
    """From the product, in units: large is a long lens."""
    aperture: float = 0.06
    """Radius of the lens in units; 0 is sharp everywhere."""
    scale: float = 0.52
    """Height of the product over the picture's height."""
    base: float = 0.80
    """Height of the product's base line in the picture, 0 top - 1 bottom."""


class Bokeh(Part, frozen=True, kw_only=True):
    """Points of light far behind the product, out of focus. They lie in the upper part of the picture."""

    count: int = 0
    colours: tuple[str, ...] = ("#ffd9a0", "#ffc070", "#fff0d8")
    size: float = 0.035
    """Radius of a disc over the picture's height."""
    power: float = 1.0
    lowest: float = 0.6
    """How far down they reach, 0 top - 1 bottom."""
    skyline: float = 0.0
    """Degrees above the horizon: they lie between there and the floor's far edge, as a city's do. 0: down to `lowest`."""


class Look(Part, frozen=True, kw_only=True):
    """How the light becomes a photograph; of the set only, never of the product."""

    exposure: float = 0.0
    """Stops above or below a correctly lit white."""
    contrast: float = 0.1
    saturation: float = 1.0
    grain: float = 1.0
    """Grain against the source's own noise."""
    vignette: float = 0.0
    glare: float = 0.4
    """Share of a lamp's or a flame's light that the lens spreads round it."""
    seamless: bool = False
    """Pure white (255) wherever no shadow falls."""


class PhotoSet(Part, frozen=True, kw_only=True):
    """A whole set."""

    floor: Floor = Floor()
    backdrop: Backdrop = Backdrop()
    stand: Stand = Stand()
    props: tuple[Prop, ...] = ()
    lights: tuple[Light, ...] = (Light(),)
    ambient: Ambient = Ambient()
    camera: Camera = Camera()
    bokeh: Bokeh = Bokeh()
    look: Look = Look()
    samples: float = 1.0
    """Paths a pixel against the pipeline's own number: more where small lamps, gobos or glass leave noise."""
    depth: int = 0
    """Longest path, where the pipeline's own is shorter: light needs many steps through ice and glass, or it ends in black."""
    colours: dict[str, str] = {}
    """Names for colours of this set; a finish refers to one as "$name"."""


_FIELD = re.compile(r"`\$\.?(?P<path>[^`]*)`")


def check(card: SceneCard) -> PhotoSet:
    """The card's set. Raises CardError naming the card's file and the field."""
    place = f"scenes/{card.id}.toml"
    try:
        photo_set = msgspec.convert(_resolve(card.set, card.set.get("colours", {})), PhotoSet)
    except msgspec.ValidationError as error:
        detail = _FIELD.sub(lambda found: f"set.{found['path']}".rstrip("."), str(error))
        raise CardError(f"{place}: {detail}") from error
    for path, colour in _colours(msgspec.to_builtins(photo_set), "set"):
        if colour and not is_colour(colour):
            raise CardError(f"{place}: {path}: {colour!r} is not a colour like '#c0a080' nor a name in set.colours")
    return photo_set


def _resolve(node: object, names: object) -> object:
    """Replace every "$name" by the colour of that name."""
    if isinstance(node, dict):
        return {key: _resolve(value, names) for key, value in node.items()}
    if isinstance(node, list):
        return [_resolve(value, names) for value in node]
    if isinstance(node, str) and node.startswith("$") and isinstance(names, dict):
        return names.get(node[1:], node)
    return node


def _colours(node: object, path: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    if isinstance(node, dict):
        for key, value in node.items():
            if key in {"colour", "accent", "top", "ground"} and isinstance(value, str):
                found.append((f"{path}.{key}", value))
            elif key == "colours" and isinstance(value, (list, tuple)):
                found += [(f"{path}.colours[{i}]", str(colour)) for i, colour in enumerate(value)]
            elif key == "colours" and isinstance(value, dict):
                found += [(f"{path}.colours.{name}", colour) for name, colour in value.items()]
            else:
                found += _colours(value, f"{path}.{key}")
    elif isinstance(node, (list, tuple)):
        for i, value in enumerate(node):
            found += _colours(value, f"{path}[{i}]")
    return found
