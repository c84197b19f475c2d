"""Colours: hex to linear light and back, colour temperature."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
"""Rec. 709 weights of linear red, green and blue."""


def is_colour(text: str) -> bool:
    return re.fullmatch(r"#[0-9a-fA-F]{6}", text) is not None


def srgb(text: str) -> Floats:
    """ "#rrggbb" as three sRGB values, 0-1."""
    return np.array([int(text[i : i + 2], 16) / 255 for i in (1, 3, 5)], np.float32)


def to_hex(rgb: npt.ArrayLike) -> str:
    values = np.clip(np.rint(np.asarray(rgb, np.float64) * 255), 0, 255).astype(int)
    return "#" + "".join(f"{value:02x}" for value in values)


def to_linear(values: npt.ArrayLike) -> Floats:
    """sRGB 0-1 to linear light (IEC 61966-2-1)."""
    v = np.asarray(values, np.float32)
    return np.where(v <= 0.04045, v / 12.92, ((np.maximum(v, 0) + 0.055) / 1.055) ** 2.4).astype(np.float32)


def from_linear(values: npt.ArrayLike) -> Floats:
    """Linear light to sRGB 0-1."""
    v = np.clip(np.asarray(values, np.float32), 0, None)
    return np.where(v <= 0.0031308, v * 12.92, 1.055 * v ** (1 / 2.4) - 0.055).astype(np.float32)


def linear(text: str) -> tuple[float, float, float]:
    """ "#rrggbb" as linear light."""
    r, g, b = to_linear(srgb(text))
    return float(r), float(g), float(b)


def kelvin(temperature: float) -> tuple[float, float, float]:
    """Linear RGB of a black body against daylight of 5600 K (which is white here), luminance 1.

    Planckian locus by Kim et al. (2002), 1667-25000 K.
    """
    white = _planck(5600.0)
    rgb = np.clip(_planck(min(max(temperature, 1700.0), 25000.0)) / white, 0, None)
    rgb = rgb / float(rgb @ LUMINANCE)
    return float(rgb[0]), float(rgb[1]), float(rgb[2])


def _planck(t: float) -> npt.NDArray[np.float64]:
    if t < 4000:
        x = -0.2661239e9 / t**3 - 0.2343589e6 / t**2 + 0.8776956e3 / t + 0.179910
    else:
        x = -3.0258469e9 / t**3 + 2.1070379e6 / t**2 + 0.2226347e3 / t + 0.240390
    if t < 2222:
        y = -1.1063814 * x**3 - 1.34811020 * x**2 + 2.18555832 * x - 0.20219683
    elif t < 4000:
        y = -0.9549476 * x**3 - 1.37418593 * x**2 + 2.09137015 * x - 0.16748867
    else:
        y = 3.0817580 * x**3 - 5.87338670 * x**2 + 3.75112997 * x - 0.37001483
    xyz = np.array([x / y, 1.0, (1 - x - y) / y])
    to_rgb = np.array([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]])
    rgb: npt.NDArray[np.float64] = np.clip(to_rgb @ xyz, 1e-3, None)
    return rgb
