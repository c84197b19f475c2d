"""What the net's picture still needs: its size, some of the source's own grain, and the source's colours."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from pergai.imaging.composite import fill_behind
from pergai.imaging.picture import RGB, Alpha

LANCZOS = Image.Resampling.LANCZOS
STRIP = 256
"""Rows of the result worked on at once, so that its floats never lie in memory whole."""
COLOUR_SIGMA = 3.0
"""In source pixels: what is wider than this is colour and has to stay, what is finer is detail and may change."""
CRISP = 4.0
"""A cut-out's edge is crisp up to this many partly covered pixels across."""


def sized(tile: RGB, enlarged: RGB, scale: int, strength: float) -> RGB:
    """The net's ×4 `enlarged` at `scale` times the `tile`'s size, with `1 - strength` of the plainly enlarged tile in it.

    The nets smooth away grain and the finest texture along with noise; a little of the source keeps a photo a photo.
    """
    size = (tile.shape[1] * scale, tile.shape[0] * scale)
    ours: RGB = np.asarray(Image.fromarray(enlarged).resize(size, LANCZOS))
    if strength >= 1:
        return ours
    plain = np.asarray(Image.fromarray(np.ascontiguousarray(tile)).resize(size, LANCZOS))
    mixed = plain + np.float32(strength) * (ours.astype(np.float32) - plain)
    rounded: RGB = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
    return rounded


def match_colour(result: RGB, source: RGB) -> RGB:
    """Give `result`, a whole multiple of the size of `source`, the low frequencies of `source`. In place."""
    height, width = source.shape[:2]
    scale = result.shape[0] // height
    small = result.reshape(height, scale, width, scale, 3).mean(axis=(1, 3), dtype=np.float32)
    drift = ndimage.gaussian_filter(source - small, (COLOUR_SIGMA, COLOUR_SIGMA, 0), mode="nearest")
    planes = [Image.fromarray(np.ascontiguousarray(drift[..., channel])) for channel in range(3)]
    for top in range(0, result.shape[0], STRIP):
        rows = result[top : top + STRIP]
        box = (0, top / scale, width, (top + len(rows)) / scale)
        size = (result.shape[1], len(rows))
        for channel, plane in enumerate(planes):
            shift = np.asarray(plane.resize(size, Image.Resampling.BILINEAR, box=box))
            rows[..., channel] = np.clip(np.rint(rows[..., channel] + shift), 0, 255).astype(np.uint8)
    return result


def without_fringe(pixels: RGB, alpha: Alpha) -> RGB:
    """The colours continued under what is clear, so that nothing foreign bleeds into the edge when it is enlarged."""
    if alpha.max() == 0:
        return pixels
    filled = fill_behind(pixels.astype(np.float32), alpha < 8)
    return np.clip(np.rint(filled), 0, 255).astype(np.uint8)


def is_crisp(alpha: Alpha) -> bool:
    """Whether the edge is that of a solid thing. A net would draw hard lines into soft ones: hair, glass, a shadow."""
    solid = alpha >= 128
    edge = int((solid[:, 1:] != solid[:, :-1]).sum() + (solid[1:] != solid[:-1]).sum())
    partly = int(((alpha > 8) & (alpha < 247)).sum())
    return edge > 0 and partly <= CRISP * edge


def plain_alpha(alpha: Alpha, scale: int) -> Alpha:
    """Alpha enlarged by Lanczos, without its overshoot."""
    size = (alpha.shape[1] * scale, alpha.shape[0] * scale)
    return _within(np.asarray(Image.fromarray(alpha).resize(size, LANCZOS)), alpha, scale)


def net_alpha(enlarged: RGB, alpha: Alpha, scale: int) -> Alpha:
    """Alpha from the net's picture of it as a grey image: solid and clear parts stay exactly solid and clear."""
    return _within(np.rint(enlarged.mean(axis=2, dtype=np.float32)).astype(np.uint8), alpha, scale)


def _within(enlarged: npt.NDArray[np.uint8], alpha: Alpha, scale: int) -> Alpha:
    low = ndimage.minimum_filter(alpha, 3).repeat(scale, axis=0).repeat(scale, axis=1)
    high = ndimage.maximum_filter(alpha, 3).repeat(scale, axis=0).repeat(scale, axis=1)
    return np.clip(enlarged, low, high)
