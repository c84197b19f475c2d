"""Pure pixel work around a painting: its size, its join with the source, the ground under a product."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from pergai.imaging.composite import fill_behind, inside, over
from pergai.imaging.picture import RGB, FloatPlane
from pergai.imaging.placement import Placed, around
from pergai.imaging.planes import picked

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

SHIFT = 8.0
"""Levels of 255 that a model's colours are moved by at most to meet the source's."""
SHADOWS: dict[str, tuple[float, float]] = {
    "none": (0.0, 0.0),
    "auto": (0.3, 0.05),
    "soft": (0.5, 0.1),
    "hard": (0.62, 0.03),
}
"""How much light a contact shadow takes, and its width over the product's."""

SURROUNDINGS = 64
"""Pixels beside the product that are looked at for what goes on behind its edge."""


def paint_size(width: int, height: int, side: int) -> tuple[int, int]:
    """(height, width) to paint at: about `side` squared in the result's shape, sides in whole multiples of 64 (of 8 for
    small models), so that few shapes come up and requests meet in batches."""
    unit = 64 if side >= 512 else 8
    shape = (width / height) ** 0.5
    return max(unit, round(side / shape / unit) * unit), max(unit, round(side * shape / unit) * unit)


def resized(pixels: Bytes, size: tuple[int, int]) -> Bytes:
    """Lanczos to (height, width); the picture itself when it has that size."""
    if pixels.shape[:2] == size:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.LANCZOS))


# --- scenes -----------------------------------------------------------------------------------------


def stage(placed: Placed, start: RGB | None, size: tuple[int, int]) -> tuple[RGB, Bytes]:
    """The picture and the mask (255 is painted) a scene begins with, at (height, width).

    `start`: what lies behind the product, at the result's size; grey when there is nothing.
    """
    behind = np.full_like(placed.foreground, 127) if start is None else start
    picture = resized(over(placed.foreground, placed.alpha, behind), size)
    solid = resized(placed.alpha, size)
    return picture, np.where(solid >= 240, np.uint8(0), np.uint8(255))


def develop(
    painted: RGB, placed: Placed, shadow: str, view: Literal["front", "three-quarter", "top"], blur: int = 1
) -> RGB:
    """The finished scene: the painting's colours as the product says they should be, no ghost of the product's outline
    behind its soft edge, its contact shadow, and its own pixels on top.

    `painted` has the result's size; `blur`: how many of its pixels one painted pixel became.
    """
    height, width = placed.alpha.shape
    background = painted.astype(np.float32, order="C")
    background.reshape(height, -1)[:] += np.tile(colour_shift(painted, placed), width)  # rows, for NumPy's loops
    reach = max(1, blur)
    near = around(placed.alpha > 0, reach + SURROUNDINGS)
    alpha = placed.alpha[near]
    background[near] = fill_behind(background[near], _grown(alpha > 0, reach), seen=alpha < 255)
    if shadow != "none":
        light = contact_light(placed, shadow, view)
        dimmed = (light < 1).any(axis=1)  # from the front only the rows about the foot
        background[dimmed] *= light[dimmed][..., None]
    return over(placed.foreground, placed.alpha, _bytes(background))


def _grown(mask: Mask, pixels: int) -> Mask:
    """A dilation by so many steps up, down and sideways; SciPy's takes ten times as long."""
    for _ in range(pixels):
        wider = mask.copy()
        wider[1:] |= mask[:-1]
        wider[:-1] |= mask[1:]
        wider[:, 1:] |= mask[:, :-1]
        wider[:, :-1] |= mask[:, 1:]
        mask = wider
    return mask


def colour_shift(painted: RGB, placed: Placed) -> Floats:
    """(3,): what the autoencoder took from the colours it was to keep, measured inside the product."""
    near = around(placed.alpha > 0, 0)
    kept = inside(placed.alpha[near], 4)
    if kept.sum() < 64:
        return np.zeros(3, np.float32)
    difference = picked(placed.foreground[near], kept).astype(np.int16) - picked(painted[near], kept)
    return np.asarray(np.clip([_median(levels) for levels in difference.T], -SHIFT, SHIFT), np.float32)


def _median(levels: npt.NDArray[np.int16]) -> float:
    """Of differences of 8-bit levels, by counting them: five times as fast as NumPy's."""
    places = [(levels.size + 1) // 2, levels.size // 2 + 1]  # the middle one twice, or the two beside the middle
    return float(np.searchsorted(np.bincount(levels + 255).cumsum(), places).mean()) - 255


def contact_light(placed: Placed, shadow: str, view: Literal["front", "three-quarter", "top"]) -> FloatPlane:
    """(height, width), 0-1: the light left on the ground beside the product.

    Seen from the front the shadow hugs the line where the product stands; from above it lies all around it.
    """
    strength, softness = SHADOWS[shadow]
    height, width = placed.alpha.shape
    light = np.ones((height, width), np.float32)
    if strength == 0:
        return light
    box, cover = placed.box, placed.alpha.astype(np.float32) / 255
    spread = max(1.0, softness * box.width)
    if view == "top":
        blurred = ndimage.gaussian_filter(cover, spread)
        return np.asarray(light - strength * np.roll(blurred, round(spread * 0.6), axis=0), np.float32)
    low = slice(max(0, min(height, box.bottom - max(1, round(0.12 * box.height)))), max(0, min(height, box.bottom)))
    if low.start >= low.stop:
        return light
    foot = ndimage.gaussian_filter1d(cover[low].max(axis=0), spread)
    rows = np.arange(height, dtype=np.float32) - (box.bottom - 0.015 * box.height)
    fall = np.exp(-0.5 * (rows / (0.5 * spread)) ** 2, dtype=np.float32)
    return np.asarray(light - strength * fall[:, None] * foot[None, :], np.float32)


# --- expand -----------------------------------------------------------------------------------------


def border_mask(canvas: tuple[int, int], rows: slice, columns: slice, size: tuple[int, int]) -> Bytes:
    """What is painted around a source, (height, width) of `size`, 255: everything but the source, less a rim of it, which the
    model repaints so that its strokes run on across the border."""
    down, across = size[0] / canvas[0], size[1] / canvas[1]
    rim = max(1, round(0.012 * min(size)))
    mask = np.full(size, 255, np.uint8)
    # No rim where the source reaches the edge of the canvas.
    top = round(rows.start * down) + (rim if rows.start > 0 else 0)
    bottom = round(rows.stop * down) - (rim if rows.stop < canvas[0] else 0)
    left = round(columns.start * across) + (rim if columns.start > 0 else 0)
    right = round(columns.stop * across) - (rim if columns.stop < canvas[1] else 0)
    mask[max(0, top) : max(0, bottom), max(0, left) : max(0, right)] = 0
    return mask


def join(start: RGB, painted: RGB, rows: slice, columns: slice) -> RGB:
    """A painting around its source, all (height, width, 3).

    `start` holds the source, exact, and its extension, which leaves the border without a seam. The painting's colours
    are moved to meet the source's along the border, less and less away from it, and it fades in over the extension.
    """
    height, width = start.shape[:2]
    known = np.zeros((height, width), bool)
    known[rows, columns] = True
    if known.all():
        return start
    step = max(1, min(height, width) // 384)
    away = [_beyond(side, length) for side, length in ((rows, height), (columns, width))]
    distance = np.hypot(away[0][:, None], away[1]).astype(np.float32)
    small = np.s_[::step, ::step]
    smooth = (max(1.0, 4 / step), max(1.0, 4 / step), 0)
    # Rows are left out as soon as they have been smoothed: nothing looks at them again.
    down = ndimage.gaussian_filter1d(start.astype(np.float32) - painted, max(1.0, step), axis=0)[::step]
    difference = ndimage.gaussian_filter1d(down, max(1.0, step), axis=1)[:, ::step]
    depth = ndimage.distance_transform_edt(known[small])
    rim = known[small] & (depth <= max(3, 12 // step))
    field = ndimage.gaussian_filter(fill_behind(difference, ~rim), smooth)
    planes = [_stretched(field[..., channel], (height, width)) for channel in range(3)]
    reach = 0.35 * min(height, width)
    shift = np.clip(np.stack(planes, -1), -3 * SHIFT, 3 * SHIFT) * np.exp(-distance / reach)[..., None]
    ramp = np.clip(distance / max(6.0, 0.03 * min(height, width)), 0, 1)
    share = (ramp * ramp * (3 - 2 * ramp))[..., None]
    mixed = _bytes(start * (1 - share) + (painted + shift) * share)
    return np.where(known[..., None], start, mixed)


def _beyond(side: slice, length: int) -> npt.NDArray[np.float64]:
    """(length,): how many pixels each place lies outside `side`."""
    places = np.arange(length)
    return np.asarray(np.maximum(np.maximum(side.start - places, places - (side.stop - 1)), 0), np.float64)


def _stretched(plane: Floats, size: tuple[int, int]) -> Floats:
    image = Image.fromarray(np.ascontiguousarray(plane, np.float32))
    return np.asarray(image.resize((size[1], size[0]), Image.Resampling.BILINEAR), np.float32)


def _bytes(values: npt.NDArray[np.floating]) -> RGB:
    rounded = np.rint(values)
    np.clip(rounded, 0, 255, out=rounded)
    return np.asarray(rounded, np.uint8)
