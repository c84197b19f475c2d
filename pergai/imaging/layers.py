"""A picture as a retoucher wants it: layers that add up to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from pergai.imaging.colour import to_8_bits
from pergai.imaging.picture import RGB, Alpha, Deep

Blend: TypeAlias = Literal["normal", "multiply", "linear-dodge"]
"""Blend modes of ISO 32000-2, 11.3.5, and Photoshop's linear dodge (a sum, cut at white)."""

STRIP = 128
"""Rows worked on at once, so that floats never lie in memory whole."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Layer:
    name: str
    pixels: RGB | Deep
    """At the picture's size; all layers of a picture with as many bits."""
    alpha: Alpha | None = None
    """Straight; None: solid."""
    blend: Blend = "normal"


def flatten(layers: Sequence[Layer]) -> tuple[RGB, Alpha, Deep | None]:
    """What the layers, the bottom one first, show together: straight colours and coverage, rounded once at the end; and the
    colours with 16 bits a channel, where the layers have them."""
    height, width = layers[0].pixels.shape[:2]
    pixels, alpha = np.empty((height, width, 3), layers[0].pixels.dtype), np.empty((height, width), np.uint8)
    for top in range(0, height, STRIP):
        rows = slice(top, top + STRIP)
        colour, cover = np.zeros((*alpha[rows].shape, 3), np.float32), np.zeros((*alpha[rows].shape, 1), np.float32)
        for layer in layers:
            colour, cover = _laid(layer, rows, colour, cover)
        pixels[rows], alpha[rows] = np.rint(colour * highest(pixels)), np.rint(cover[..., 0] * 255)
    if pixels.dtype == np.uint16:
        return to_8_bits(pixels), alpha, pixels
    return pixels, alpha, None


def highest(pixels: RGB | Deep) -> int:
    """The level of white."""
    return int(np.iinfo(pixels.dtype).max)


def _laid(layer: Layer, rows: slice, below: Floats, cover: Floats) -> tuple[Floats, Floats]:
    """Colour and coverage with one more layer on top (ISO 32000-2, 11.3.6)."""
    own = layer.pixels[rows].astype(np.float32) / np.float32(highest(layer.pixels))
    share = np.float32(1) if layer.alpha is None else layer.alpha[rows].astype(np.float32)[..., None] / 255
    if layer.blend == "multiply":
        mixed = own * below
    elif layer.blend == "linear-dodge":
        mixed = np.minimum(own + below, 1)
    else:
        mixed = own
    top = own + cover * (mixed - own)
    together = share + cover - share * cover
    colour = (share * top + (1 - share) * cover * below) / np.maximum(together, 1e-6)
    return np.asarray(colour, np.float32), np.asarray(together, np.float32)
