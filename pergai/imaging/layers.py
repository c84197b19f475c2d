"""A picture as a retoucher wants it: layers that add up to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from pergai.imaging.picture import RGB, Alpha

Blend: TypeAlias = Literal["normal", "multiply", "linear-dodge"]
"""Blend modes of ISO 32000-2, 11.3.5, and Photoshop's linear dodge (a sum, cut at white)."""

STRIP = 128
"""Rows worked on at once, so that floats never lie in memory whole."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Layer:
    name: str
    pixels: RGB
    """At the picture's size."""
    alpha: Alpha | None = None
    """Straight; None: solid."""
    blend: Blend = "normal"


def flatten(layers: Sequence[Layer]) -> tuple[RGB, Alpha]:
    """What the layers, the bottom one first, show together: straight colours and coverage, rounded once at the end."""
    height, width = layers[0].pixels.shape[:2]
    pixels, alpha = np.empty((height, width, 3), np.uint8), np.empty((height, width), np.uint8)
    for top in range(0, height, STRIP):
        rows = slice(top, top + STRIP)
        colour, cover = np.zeros((*alpha[rows].shape, 3), np.float32), np.zeros((*alpha[rows].shape, 1), np.float32)
        for layer in layers:
            colour, cover = _laid(layer, rows, colour, cover)
        pixels[rows], alpha[rows] = _bytes(colour), _bytes(cover[..., 0])
    return pixels, alpha


def _laid(layer: Layer, rows: slice, below: Floats, cover: Floats) -> tuple[Floats, Floats]:
    """Colour and coverage with one more layer on top (ISO 32000-2, 11.3.6)."""
    own = layer.pixels[rows].astype(np.float32) / 255
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


def _bytes(values: Floats) -> npt.NDArray[np.uint8]:
    return np.clip(np.rint(values * 255), 0, 255).astype(np.uint8)
