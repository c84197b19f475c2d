"""What each material is to the light: its texture, its size, its gloss, as a BSDF description.

A description is a nested dictionary in Mitsuba's own vocabulary, with `Texture` where a bitmap goes; `model.py`
turns it into the real thing on the device thread. Textures are painted once and kept on the disk.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pergai.runners.render.colour import linear, srgb
from pergai.runners.render.noise import Noise
from pergai.runners.render.spec import Finish
from pergai.runners.render.textures import PAINTERS, mixed, mixture, quantised

TEXTURE_SIZE = 2048
THING_SIZE, VISTA_SIZE = 512, 1024
"""Of a texture that is a picture of one small thing, and of a view as wide as any photograph."""
REVISION = 10
REVISIONS: dict[str, int] = {}
"""Count up when painters change, all or one, so that old cached textures are not used."""


@dataclass(frozen=True, slots=True)
class Texture:
    """A bitmap of a description."""

    array: npt.NDArray[Any]
    """(height, width[, 3]) uint8 or float32."""
    raw: bool = False
    """Numbers, not sRGB colours."""


@dataclass(frozen=True, slots=True)
class Material:
    """One entry of the table."""

    colour: str
    accent: str
    period: float = 2.0
    """Units that the texture covers; 0 for a plain colour."""
    roughness: float = 0.8
    specular: float = 0.5
    bump: float = 1.0
    principled: Mapping[str, float] = field(default_factory=dict)
    """Further parameters of the principled BSDF."""
    mirrored: float = 1.0
    """How often a path is mirrored here for each time that it is scattered: less where a surface is pale and rough, or seen
    from above, more where it is dark and polished. It decides about noise alone."""
    conductor: str = ""
    thin: float = 0.0
    """Share of light that goes through a leaf or a petal."""
    dielectric: bool = False
    matt: bool = False
    """Perfectly diffuse."""
    fitted: int = 0
    """Size of a texture that is a picture of one whole thing, whose uv run 0-1: it is neither scaled, turned nor shifted."""


MATERIALS: dict[str, Material] = {
    "paper": Material("#e9e6e1", "#d0ccc4", 3.0, matt=True),
    "plaster": Material("#e6ddd0", "#c2b39c", 3.2, bump=0.22, matt=True),
    "concrete": Material("#b6b3ad", "#85827c", 3.0, 0.7, 0.4, mirrored=0.15),
    "marble": Material("#f3f1ed", "#83868c", 2.6, 0.12, 0.5, principled={"clearcoat": 0.3}),
    "travertine": Material("#e6d9c3", "#b39a78", 2.4, 0.5, 0.4, mirrored=0.3),
    "terrazzo": Material("#efe9e0", "#c98d6b", 2.4, 0.16, 0.5),
    "stone": Material("#8a8680", "#4c4a47", 2.6, 0.7, 0.4, mirrored=0.3),
    "pebble": Material("#77736d", "#2c2b2a", 6.0, 0.26, 0.5),
    "asphalt": Material("#6b6b6b", "#2a2a2a", 2.4, 0.75, 0.4),
    "wood": Material("#b98555", "#6f4423", 2.8, 0.45, 0.45),
    "planks": Material("#c39a6b", "#7a5230", 3.2, 0.45, 0.45),
    "bench": Material("#b08a5f", "#5a3c24", 2.4, 0.55, 0.4),
    "herringbone": Material("#c39a6b", "#7a5230", 3.2, 0.4, 0.45),
    "linen": Material("#e3dccd", "#a89a82", 1.6, 0.9, 0.2, principled={"sheen": 0.4}, mirrored=0.15),
    "velvet": Material("#7a1f2d", "#2f0a10", 1.8, 0.9, 0.2, principled={"sheen": 3.0, "sheen_tint": 0.6}),
    "silk": Material("#d9b8a8", "#a57f70", 1.4, 0.4, 0.5, principled={"metallic": 0.45}),
    "leather": Material("#7a4a2b", "#3f2313", 1.8, 0.45, 0.5),
    "sand": Material("#e6cfa6", "#b08f60", 1.6, matt=True),
    "snow": Material("#f5f8fc", "#d5e0ee", 1.6, 0.65, 0.4, mirrored=0.2),
    "moss": Material("#6f8a3a", "#2b3d18", 1.6, 0.95, 0.2, principled={"sheen": 0.5, "sheen_tint": 0.8}, mirrored=0.15),
    "tiles": Material("#e9eeee", "#b5b5b0", 2.2, 0.1, 0.5, mirrored=0.2),
    "water": Material(
        "#1d3a44", "#12252b", 2.6, 0.03, 0.6, principled={"clearcoat": 1.0, "clearcoat_gloss": 1.0}, mirrored=2.5
    ),
    "ceramic": Material(
        "#f2efe9", "#d8d4cc", 0.0, 0.28, 0.5, principled={"clearcoat": 0.6, "clearcoat_gloss": 0.95}, mirrored=0.3
    ),
    "lacquer": Material(
        "#20242a", "#101010", 0.0, 0.06, 0.5, principled={"clearcoat": 1.0, "clearcoat_gloss": 1.0}, mirrored=2.5
    ),
    "acrylic": Material("#e8eef2", "#cfd8de", 0.0, 0.04, 0.6, principled={"clearcoat": 1.0, "clearcoat_gloss": 1.0}),
    "gold": Material("#e6b65a", "#b98a35", 0.0, 0.16, conductor="Au"),
    "copper": Material("#d98b66", "#a4603f", 0.0, 0.18, conductor="Cu"),
    "chrome": Material("#d8dadc", "#8a8a8e", 0.0, 0.07, conductor="Cr"),
    "steel": Material("#c9c9cc", "#8a8a8e", 1.2, 0.28, 0.5, principled={"metallic": 1.0, "anisotropic": 0.6}),
    "glass": Material("#ffffff", "#ffffff", 0.0, 0.0, dielectric=True),
    "frosted": Material("#ffffff", "#ffffff", 0.0, 0.25, dielectric=True),
    "pool": Material("#a8dcdc", "#f4ffff", 3.2, 0.03, 0.6, principled={"clearcoat": 1.0, "clearcoat_gloss": 1.0}),
    "kraft": Material("#c8a47a", "#96734c", 2.0, matt=True),
    "brick": Material("#a9614a", "#bdb2a4", 3.0, 0.85, 0.3, mirrored=0.15),
    "denim": Material("#33486b", "#c3cbd6", 1.3, 0.9, 0.2, principled={"sheen": 0.3}, mirrored=0.15),
    "gingham": Material("#c23b3b", "#f6f2ea", 1.9, 0.9, 0.2, principled={"sheen": 0.3}, mirrored=0.15),
    "citrus": Material("#ef8f1d", "#f7b64a", 1.0, 0.3, 0.5, fitted=THING_SIZE, mirrored=0.2),
    "leaf": Material("#4f7138", "#2d4a22", 1.0, 0.45, 0.5, thin=0.45, fitted=THING_SIZE),
    "petal": Material("#f1c9d0", "#d99aa8", 1.0, 0.7, 0.2, thin=0.5, fitted=THING_SIZE),
    "garden": Material("#a8c45c", "#2f4a22", 1.0, matt=True, fitted=VISTA_SIZE),
    "meadow": Material("#b9c873", "#4a6636", 1.0, matt=True, fitted=VISTA_SIZE),
    "forest": Material("#9fb95a", "#24361c", 1.0, matt=True, fitted=VISTA_SIZE),
    "firs": Material("#5f7f73", "#1f3029", 1.0, matt=True, fitted=VISTA_SIZE),
    "pearl": Material("#f5ede6", "#ead8d2", 0.0, 0.2, 0.8, principled={"metallic": 0.3, "clearcoat": 1.0}),
    "glow": Material("#ffd9a0", "#ffd9a0", 0.0),
}


@dataclass(frozen=True, slots=True)
class Surface:
    """A BSDF and how its texture lies on a mesh whose uv are in units."""

    bsdf: dict[str, Any]
    period: float = 0.0
    turn: float = 0.0
    offset: tuple[float, float] = (0.0, 0.0)
    glow: tuple[float, float, float] | None = None
    """Radiance of a surface that shines."""


@dataclass(frozen=True, slots=True)
class Paintbox:
    """The textures of one picture: what is in it in several colours is read once."""

    cache: Path
    """Where painted textures are kept."""
    heights: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Descriptions of the reliefs in use, by material."""
    _kept: dict[tuple[str, int], dict[str, npt.NDArray[Any]]] = field(default_factory=dict)

    def painted(self, name: str, colour: str, accent: str, size: int = TEXTURE_SIZE) -> dict[str, npt.NDArray[Any]]:
        """The maps of one material in two colours; the same for ever for the same arguments."""
        if (name, size) not in self._kept:
            self._kept[name, size] = _painting(name, size, self.cache)
        maps = self._kept[name, size]
        return {**maps, "colour": mixed(maps["colour"], srgb(colour), srgb(accent))}


def surface(finish: Finish, paintbox: Paintbox, offset: tuple[float, float] = (0.0, 0.0)) -> Surface:
    """The description of a finish. Paints its textures when they are not yet in the paintbox's cache."""
    material = MATERIALS[finish.material]
    colour, accent = finish.colour or material.colour, finish.accent or _second(finish, material)
    roughness = material.roughness if finish.gloss is None else max(1 - finish.gloss, 0.02)
    if finish.material == "glow":
        r, g, b = (float(channel * finish.power) for channel in linear(colour))
        return Surface({"type": "diffuse", "reflectance": _rgb(colour)}, glow=(r, g, b))
    if material.conductor:
        metal: dict[str, Any] = {"type": "roughconductor", "material": material.conductor, "alpha": roughness**1.5}
        if finish.colour:
            metal = {"type": "principled", "base_color": _rgb(colour), "metallic": 1.0, "roughness": roughness}
        return Surface({"type": "twosided", "bsdf": metal})
    if material.dielectric:
        return Surface(_glass(finish, colour))
    if material.thin:
        picture = {
            "type": "bitmap",
            "bitmap": Texture(paintbox.painted(finish.material, colour, accent, material.fitted)["colour"]),
        }
        return Surface({
            "type": "principledthin", "base_color": picture, "roughness": roughness,
            "diff_trans": 2 * material.thin, "eta": 1.4,
        }, 1.0)  # fmt: skip
    bsdf: dict[str, Any] = {"type": "principled", "roughness": roughness, "specular": material.specular}
    bsdf |= material.principled
    bsdf |= {"main_specular_sampling_rate": material.mirrored, "clearcoat_sampling_rate": material.mirrored}
    period = material.period * (1.0 if material.fitted else finish.scale)
    if not period:
        bsdf["base_color"] = _rgb(colour)
        return Surface({"type": "twosided", "bsdf": bsdf})
    maps = paintbox.painted(finish.material, colour, accent, material.fitted or TEXTURE_SIZE)
    colours = {"type": "bitmap", "bitmap": Texture(maps["colour"])}
    if material.matt:
        bsdf = {"type": "diffuse", "reflectance": colours}
    else:
        bsdf["base_color"] = colours
    if "roughness" in maps and not material.matt:
        rough = maps["roughness"].astype(np.float32) / 255
        rough = np.clip(rough * (roughness / max(float(rough.mean()), 1e-3)), 0.02, 1)
        bsdf["roughness"] = {"type": "bitmap", "raw": True, "bitmap": Texture(rough, raw=True)}
    if "relief" in maps and material.bump:
        if finish.material not in paintbox.heights:
            height = Texture(maps["relief"].astype(np.float32), raw=True)
            paintbox.heights[finish.material] = {"type": "bitmap", "raw": True, "bitmap": height}
        bump = paintbox.heights[finish.material]
        bsdf = {"type": "bumpmap", "arbitrary": bump, "scale": material.bump * period, "bsdf": bsdf}
    if material.fitted:
        return Surface({"type": "twosided", "bsdf": bsdf}, period)
    return Surface({"type": "twosided", "bsdf": bsdf}, period, finish.turn, offset)


def _painting(name: str, size: int, cache: Path) -> dict[str, npt.NDArray[Any]]:
    """Painted once for all colours and kept in the cache (see `textures.mixture`); what an earlier revision has left goes."""
    key = hashlib.sha256(f"{name} {size} {REVISIONS.get(name, REVISION)}".encode()).hexdigest()[:20]
    path = cache / "textures" / f"{name}-{key}.npz"
    try:
        with np.load(path) as kept:
            return dict(kept)
    except (OSError, ValueError, EOFError, KeyError):
        path.unlink(missing_ok=True)
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
        maps = quantised(mixture(PAINTERS[name], Noise(size, seed)))
        path.parent.mkdir(parents=True, exist_ok=True)
        for earlier in path.parent.glob(f"{name}-*.npz"):
            earlier.unlink(missing_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as part:
            np.savez(part, **maps)  # type: ignore[arg-type]
        os.replace(part.name, path)  # noqa: PTH105 - one atomic step
    return maps


def _second(finish: Finish, material: Material) -> str:
    """The accent that goes with another main colour than the material's own: the same shift from it."""
    if not finish.colour:
        return material.accent
    own, accent, colour = srgb(material.colour), srgb(material.accent), srgb(finish.colour)
    shifted = np.clip(colour * (accent + 0.02) / (own + 0.02), 0, 1)
    return "#" + "".join(f"{round(float(v) * 255):02x}" for v in shifted)


def _rgb(colour: str) -> dict[str, Any]:
    return {"type": "rgb", "value": list(linear(colour))}


def _glass(finish: Finish, colour: str) -> dict[str, Any]:
    tint = {"specular_transmittance": _rgb(colour)} if finish.colour else {}
    if finish.material == "frosted":
        return {"type": "roughdielectric", "alpha": 0.18, "int_ior": 1.49, **tint}
    return {"type": "dielectric", "int_ior": 1.5, **tint}
