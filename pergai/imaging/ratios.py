"""Aspect ratios and resolutions, as clients write them → the size of a canvas."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction

from pergai.errors import InvalidRatio, InvalidResolution

POPULAR_RATIOS = ("1:1", "4:5", "5:4", "3:4", "4:3", "2:3", "3:2", "9:16", "16:9", "1.91:1", "21:9")
NARROWEST, WIDEST = Fraction(1, 10), Fraction(10)

BUDGETS = {"1k": 1024**2, "2k": 2048**2, "4k": 4096**2}
"""Pixels in all, whatever the shape: what image models have come to mean by 1k, 2k and 4k."""
SHORTEST_SIDE, LONGEST_SIDE = 64, 8192

_RATIO = re.compile(r"\s*(\d{1,5}(?:\.\d{1,4})?)\s*:\s*(\d{1,5}(?:\.\d{1,4})?)\s*", re.ASCII)
_SIZE = re.compile(r"\s*(\d{1,6})\s*[x×]\s*(\d{1,6})\s*", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Resolution:
    """How many pixels a picture shall have."""

    budget: int
    """Pixels in all."""
    size: tuple[int, int] | None = None
    """Width and height, when the client named both. Where they contradict the ratio, only their product counts."""


def parse_ratio(text: str) -> Fraction:
    """Width over height, exactly: "16:9", "1.91:1". Raises InvalidRatio unless it lies between 1:10 and 10:1."""
    found = _RATIO.fullmatch(text)
    if found and (height := Fraction(found[2])) and NARROWEST <= (ratio := Fraction(found[1]) / height) <= WIDEST:
        return ratio
    raise InvalidRatio(
        f"{text[:40]!r} is not an aspect ratio; write width:height between 1:10 and 10:1, "
        f"for example {', '.join(POPULAR_RATIOS)}"
    )


def parse_resolution(text: str) -> Resolution:
    """ "1k", "2k", "4k" (a budget of pixels) or "1920x1080". Raises InvalidResolution unless both sides are 64 to 8192."""
    if budget := BUDGETS.get(text.strip().lower()):
        return Resolution(budget)
    if found := _SIZE.fullmatch(text):
        width, height = int(found[1]), int(found[2])
        if min(width, height) >= SHORTEST_SIDE and max(width, height) <= LONGEST_SIDE:
            return Resolution(width * height, (width, height))
    raise InvalidResolution(
        f"{text[:40]!r} is not a resolution; choose {', '.join(BUDGETS)} "
        f"or WIDTHxHEIGHT with sides of {SHORTEST_SIDE} to {LONGEST_SIDE} pixels"
    )


def canvas_size(ratio: Fraction, resolution: Resolution | None, default_budget: int) -> tuple[int, int]:
    """Width and height of a new picture, both even. Without a resolution it has about `default_budget` pixels.

    Raises InvalidResolution when the shape does not fit into 64 to 8192 pixels a side.
    """
    width, height = _shaped(ratio, resolution or Resolution(default_budget))
    return 2 * round(width / 2), 2 * round(height / 2)


def expand_size(
    source_width: int, source_height: int, ratio: Fraction, resolution: Resolution | None
) -> tuple[int, int]:
    """Width and height of a picture expanded to `ratio`, true to it to the nearest pixel.

    Without a resolution: the smallest canvas that holds the source at its own size, so no pixel is resampled. With
    one: the canvas it says; the source is then scaled to fit. Raises InvalidResolution as `canvas_size` does.
    """
    if resolution is not None:
        width, height = _shaped(ratio, resolution)
        return round(width), round(height)
    if Fraction(source_width, source_height) < ratio:
        return max(source_width, round(source_height * ratio)), source_height
    return source_width, max(source_height, round(source_width / ratio))


def _shaped(ratio: Fraction, resolution: Resolution) -> tuple[float, float]:
    if resolution.size and _agrees(resolution.size, ratio):
        return resolution.size
    width = math.sqrt(resolution.budget * ratio)
    height = math.sqrt(resolution.budget / ratio)
    if min(width, height) < SHORTEST_SIDE or max(width, height) > LONGEST_SIDE:
        raise InvalidResolution(
            f"this resolution in this aspect ratio would be {width:.0f}×{height:.0f}; "
            f"sides of {SHORTEST_SIDE} to {LONGEST_SIDE} pixels are possible"
        )
    return width, height


def _agrees(size: tuple[int, int], ratio: Fraction) -> bool:
    """To within the pixel that rounding costs."""
    width, height = size
    return abs(width - height * ratio) < 1 or abs(height - width / ratio) < 1
