"""Procedural textures: what each material looks like, as maps that wrap round.

Every painter is a function of a Noise, a main and a second colour (sRGB 0-1) and gives its Maps. A texture covers
`period` units (see `materials.py`); relief is in units of height over that period.
"""

# ruff: noqa: ARG001 - every entry of the table has the same signature
from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from pergai.runners.render.fabrics import denim, gingham, linen, silk, velvet
from pergai.runners.render.minerals import (
    asphalt,
    brick,
    concrete,
    marble,
    pebble,
    plaster,
    sand,
    snow,
    stone,
    terrazzo,
    tiles,
    travertine,
)
from pergai.runners.render.noise import Field, Maps, Noise, blend, ramp, warp
from pergai.runners.render.organics import (
    bench,
    citrus,
    herringbone,
    kraft,
    leaf,
    leather,
    moss,
    paper,
    petal,
    planks,
    wood,
)
from pergai.runners.render.vistas import firs, forest, garden, meadow

Painter = Callable[[Noise, Field, Field], Maps]


def water(noise: Noise, base: Field, dark: Field) -> Maps:
    """The breath of air on still water: long low waves, and a few short ones where it touches."""
    touched = ramp(noise.cloud(0.3, 3.0), 0, 2)
    waves = noise.cloud(0.16, 3.6, (0.6, 1.0)) + 0.12 * touched * noise.cloud(0.05, 3.4, (0.6, 1.0))
    flat = np.broadcast_to(base, (noise.size, noise.size, 3)).astype(np.float32)
    return Maps(flat, np.full_like(waves, 0.03), (0.0003 * waves).astype(np.float32))


def brushed(noise: Noise, base: Field, dark: Field) -> Maps:
    """Metal with parallel scratches of many weights: the finest a sheen, the broad ones seen from afar."""
    lines = noise.cloud(0.003, 1.1, (0.004, 1.0))
    strokes = 0.6 * lines + 0.6 * noise.cloud(0.008, 1.6, (0.012, 1.0)) + 0.5 * noise.cloud(0.03, 1.4, (0.02, 1.0))
    deep = ramp(noise.cloud(0.004, 1.5, (0.004, 1.0)), 1.9, 3.2)
    colour = blend(base, dark, np.clip(0.38 + 0.17 * strokes + 0.22 * deep, 0, 1))
    roughness = np.clip(0.27 + 0.05 * strokes, 0.12, 0.5)
    return Maps(np.clip(colour, 0, 1), roughness, (0.000015 * lines).astype(np.float32))


def caustics(noise: Noise, base: Field, light: Field) -> Maps:
    """The floor of a shallow pool: a net of bright light on an even ground, under a rippled surface."""
    dx, dy = noise.cloud(0.25, 3.4) * 0.03, noise.cloud(0.25, 3.4) * 0.03
    net = np.zeros_like(dx)
    for count, weight in ((90, 0.7), (260, 0.4)):
        distance, _ = noise.cells(count, 2)
        gap = warp((distance[..., 1] - distance[..., 0]).astype(np.float32), dx, dy)
        net += weight * (0.8 * np.exp(-gap / 0.05) + 0.35 * np.exp(-gap / 0.22))
    waves = 0.7 * noise.cloud(0.09, 3.0) + 0.3 * noise.cloud(0.03, 3.0)
    colour = blend(base, light, np.clip(net * ramp(noise.cloud(0.2, 2.4), -2.2, 1.4), 0, 1))
    return Maps(np.clip(colour, 0, 1), np.full_like(waves, 0.03), (0.0011 * waves).astype(np.float32))


PAINTERS: dict[str, Painter] = {
    "marble": marble, "travertine": travertine, "wood": wood, "planks": planks, "bench": bench, "herringbone": herringbone,
    "concrete": concrete, "plaster": plaster, "paper": paper, "linen": linen, "velvet": velvet, "silk": silk,
    "leather": leather, "sand": sand, "snow": snow, "stone": stone, "pebble": pebble, "asphalt": asphalt, "terrazzo": terrazzo,
    "tiles": tiles, "moss": moss, "water": water, "steel": brushed, "pool": caustics, "kraft": kraft, "brick": brick,
    "denim": denim, "gingham": gingham, "citrus": citrus, "leaf": leaf, "petal": petal,
    "garden": garden, "meadow": meadow, "forest": forest, "firs": firs,
}  # fmt: skip


# A painter's colours are a mixture, texel by texel: a share of the main colour, a share of the second, and a little
# light of its own. Three colours shown to it at once, one a channel, give the shares; so one painting serves all colours.
_SHOWN = np.array([[0.75, 0.25], [0.25, 0.75], [0.3, 0.3]], np.float32)


def mixture(painter: Painter, noise: Noise) -> Maps:
    """Maps whose `colour` holds the shares (size, size, 3): of the main colour, of the second, and of white."""
    maps = painter(noise, _SHOWN[:, 0], _SHOWN[:, 1])
    solve = np.linalg.inv(np.concatenate([_SHOWN, np.ones((3, 1), np.float32)], axis=1)).astype(np.float32)
    return Maps(maps.colour @ solve.T, maps.roughness, maps.relief)


WHOLE, MOST_SHARE = 8192, 3.99
"""What is kept for a share of 1, and for how much there is room. (Half floats are as large, and three times as slow to read:
many shares are next to nothing.)"""
ROWS = 32
"""Of a texture that are mixed at once: they fit into a processor's cache, which is three times as fast as all of it."""


def mixed(shares: npt.NDArray[np.generic], colour: Field, accent: Field) -> npt.NDArray[np.uint8]:
    """Quantised shares of `mixture` in two colours, as sRGB bytes."""
    palette = np.stack([colour, accent, np.ones(3, np.float32)]).astype(np.float32) * np.float32(255 / WHOLE)
    texels = np.empty(shares.shape, np.uint8)
    for start in range(0, len(shares), ROWS):
        here = shares[start : start + ROWS].astype(np.float32) @ palette
        texels[start : start + ROWS] = np.clip(np.rint(here, out=here), 0, 255, out=here)
    return texels


def quantised(maps: Maps) -> dict[str, npt.NDArray[np.generic]]:
    """Maps as they are kept on the disk: shares in parts of `WHOLE`, relief in half floats, roughness in 8 bits."""
    shares = np.rint(np.clip(maps.colour, -MOST_SHARE, MOST_SHARE) * WHOLE).astype(np.int16)
    kept: dict[str, npt.NDArray[np.generic]] = {"colour": shares}
    if maps.roughness is not None:
        kept["roughness"] = np.rint(np.clip(maps.roughness, 0, 1) * 255).astype(np.uint8)
    if maps.relief is not None:
        kept["relief"] = maps.relief.astype(np.float16)
    return kept
