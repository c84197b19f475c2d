"""A product in the light of its scene, on request: colour temperature, level, and a soft shading from the key light's side.

The photo is taken as lit by white, even light. What the set's light would be on a white card is read off the rendered
set beside the product (its colour over its albedo); half of that cast and of that level goes onto the product. Shading
follows a relief guessed from the silhouette, weakly. All of it in linear light.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from pergai.imaging.colour import to_8_bits, to_16_bits
from pergai.imaging.picture import Alpha, Deep
from pergai.imaging.placement import Placed
from pergai.runners.render import lights
from pergai.runners.render.colour import LUMINANCE, from_linear, to_linear
from pergai.runners.render.model import Light
from pergai.runners.render.spec import PhotoSet

Floats = npt.NDArray[np.float32]

STRENGTH = 0.5
"""Share of the scene's cast and level that the product takes."""
SHADING = 0.16
"""How much brighter the side towards the key light gets, and the other side darker."""
WHITEST = 0.92
"""Linear light that the brightest of a product's channels may have after it, in its brightest parts."""
LEVELS = (0.7, 1.25)
"""A product is never darkened or brightened beyond."""


def matched(
    placed: Placed, photo_set: PhotoSet, light: Light, hidden: npt.NDArray[np.bool_]
) -> tuple[Placed, dict[str, Any]]:
    """The product relit, and the record of what was done to it. `hidden`: where it stands in the light."""
    gain, cast = _gain(photo_set, light, hidden)
    towards = _key(photo_set)
    shade = 1 + SHADING * _facing(placed.alpha, towards)
    wide = placed.deep if placed.deep is not None else to_16_bits(placed.foreground)
    gain = gain * _headroom(wide, placed.alpha, gain)
    relit = _times(wide, gain, shade, placed.alpha)
    record = {
        "mode": "match",
        "gain": [round(float(value), 3) for value in gain],
        "sceneWhite": [round(float(value), 3) for value in cast],
        "keyLight": [round(float(value), 2) for value in towards],
        "shading": SHADING,
    }
    return replace(placed, foreground=to_8_bits(relit), deep=None if placed.deep is None else relit), record


def _gain(photo_set: PhotoSet, light: Light, hidden: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """By what each channel is multiplied, and the light of a white card in the scene, (3,) each, 1 is white."""
    near = ndimage.binary_dilation(hidden, iterations=max(8, min(hidden.shape) // 6)) & ~hidden
    shown = near & (light.albedo.min(axis=-1) > 0.05)
    if shown.sum() < 64:
        return np.ones(3, np.float32), np.ones(3, np.float32)
    white = lights.level(photo_set) / 2.0**photo_set.look.exposure
    card = np.median(light.colour[shown] / light.albedo[shown], axis=0) / white
    level = float(card @ LUMINANCE)
    cast = card / max(level, 1e-3)
    gain = cast * np.clip(level, *LEVELS)
    return np.asarray(np.clip(gain, 0.3, 2.0) ** STRENGTH, np.float32), np.asarray(card, np.float32)


def _headroom(colours: Deep, alpha: Alpha, gain: Floats) -> float:
    """By how much the gain must be less, 0.6-1, that the product's whites do not burn out."""
    solid = colours[alpha == 255]
    if not len(solid):
        return 1.0
    brightest = to_linear(np.percentile(solid, 98, axis=0) / 65535) * gain
    return float(np.clip(WHITEST / max(float(brightest.max()), 1e-3), 0.6, 1.0))


def _key(photo_set: PhotoSet) -> Floats:
    """Where the light comes from as the camera sees it: right, up, and towards the camera, (3,), length 1 or less."""
    total, power = np.zeros(3), photo_set.ambient.power
    for lamp in photo_set.lights:
        x, y, z = lights.direction(lamp.azimuth, lamp.elevation)
        total += lamp.power * np.array([x, z, -y])
        power += lamp.power
    return np.asarray(total / max(power, 1e-6), np.float32)


def _facing(alpha: Alpha, towards: Floats) -> Floats:
    """How far each pixel's relief faces the light more than the product does on average, about -1 to 1."""
    solid = alpha >= 128
    if not solid.any():
        return np.zeros(alpha.shape, np.float32)
    depth = ndimage.distance_transform_edt(solid)
    reach = float(depth.max())
    relief = ndimage.gaussian_filter(np.sqrt(np.clip(depth / reach, 0, 1)) * reach, max(reach / 4, 1.0))
    down, right = np.gradient(relief)
    length = np.sqrt(right**2 + down**2 + 1)
    facing = (-right * towards[0] + down * towards[1] + towards[2]) / length
    return np.asarray(np.clip(facing - facing[solid].mean(), -1, 1), np.float32)


def _times(colours: Deep, gain: Floats, shade: Floats, alpha: Alpha) -> Deep:
    out = colours.copy()
    for top in range(0, len(colours), 128):  # in strips: no floats of the whole picture
        rows = slice(top, top + 128)
        linear = to_linear(np.asarray(colours[rows] / 65535, np.float32)) * gain * shade[rows, :, None]
        # Highlights roll off instead of being cut.
        pressed = np.where(linear > 0.9, 1 - 0.1 * np.exp(-(linear - 0.9) / 0.1), linear)
        out[rows] = np.rint(np.clip(from_linear(np.asarray(pressed, np.float32)), 0, 1) * 65535).astype(np.uint16)
    out[alpha == 0] = 0
    return out
