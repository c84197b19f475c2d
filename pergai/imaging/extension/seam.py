"""The join between a source and what grows from it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage

Field = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

SLACK = 12.0
"""Levels of 255: what differs by more at the border is another object, not another light."""
SHADE = 40.0
"""Levels of 255: how much a long stretch of the border may differ and still be the same ground in another light."""
BRIEF = 0.08
"""Reach of the correction of such a misfit, as a share of that of light: a step becomes a short slope, not a smear."""

AWAY, NEAR = 1.0, 0.04
"""What it costs the path that leads over to leave the border at all, and for each pixel, in usual differences."""
SLANTED = 20.0
"""What it costs to leave it where the texture runs at half a right angle to the border: a mirror would bend it."""
MOST = 12.0
"""Usual differences: what differs by more is just different."""


def lead_over(laid: Field, inner: Field, fit: Mask, things: Mask, soft: float) -> Field:
    """Where a strip does not meet its border, let the source's mirror image lead from it to the strip, in place; and how
    much of it is seen at the border, (along,), 0-1.

    `laid`: (along, depth, 3), a strip beyond the border; `inner`: (along, n, 3), what lies inside, up to the border;
    `fit`: (along, n), where that may be used; `things`: (along, n), where that is a thing on the ground; `soft`: pixels
    over which the one becomes the other. One path along the border parts them, where they differ least and close to it
    (minimum error boundary cut: Efros and Freeman, SIGGRAPH 2001): a stone or a berry that the border cuts is closed by
    its own other half.
    """
    mirrored, fit = inner[:, -2::-1], np.logical_and.accumulate(fit[:, -2::-1], axis=1)
    reach = mirrored.shape[1]
    error = ((mirrored - laid[:, :reach]) ** 2).mean(axis=-1)
    usual = float(np.median(error)) + 4.0
    error = np.minimum(ndimage.gaussian_filter(error, 1.0, mode="nearest") / usual, MOST)
    bent = SLANTED * _slant(inner)[:, None] * ~things[:, -3::-1]
    error[:, 1:] += AWAY + bent + NEAR * np.arange(1, reach)
    error[:, 1:][~fit[:, 1:]] = np.inf
    error[~fit[:, 0], 0] = 0.0
    share = np.arange(reach)[None, :] < shortest_path(error)[:, None]
    cover = ndimage.gaussian_filter(share.astype(np.float32), soft, mode="nearest") * fit
    laid[:, :reach] += cover[..., None] * (mirrored - laid[:, :reach])
    return np.asarray(cover[:, 0])


def _slant(inner: Field) -> Field:
    """How far the texture along a border runs at a slant to it, (along,), 0-1, by its structure tensor (Bigün and
    Granlund, ICCV 1987): a mirror would bend it."""
    y, x = np.gradient(ndimage.gaussian_filter(inner.mean(axis=-1), 1.0))
    products = np.stack([x * y, x * x + y * y]).sum(axis=2)
    xy, both = ndimage.gaussian_filter1d(products, inner.shape[1] / 2, axis=1, mode="nearest")
    return np.asarray(np.abs(2.0 * xy) / (both + 1e-3), dtype=np.float32)


def shortest_path(error: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
    """The column of each row of the cheapest path down (rows, columns), at most two columns a row aside."""
    rows, columns = error.shape
    padded = np.full((rows, columns + 4), np.inf)
    total = padded[:, 2:-2]
    total[:] = error
    for row in range(1, rows):
        total[row] += np.lib.stride_tricks.sliding_window_view(padded[row - 1], 5).min(axis=-1)
    path = np.empty(rows, dtype=np.int64)
    path[-1] = int(np.argmin(total[-1]))
    for row in range(rows - 2, -1, -1):
        low = max(0, path[row + 1] - 2)
        path[row] = low + int(np.argmin(total[row, low : path[row + 1] + 3]))
    return path


def join(difference: Field, known: Mask, depth: int, reach: float) -> Field:
    """The correction that makes a strip agree with the border it grows from.

    Poisson image editing (Pérez et al., SIGGRAPH 2003) with screening, on a strip: a half-plane has a closed
    form. A wave of frequency w along the border dies as exp(-x·√(w² + 1/reach²)) away from it, so light
    is matched far out and grain only beside the border.

    `difference`: (along, 3), border minus strip at the border, in levels of 255; `known`: (along,), where it was
    measured; answers (along, depth, 3), zero beyond six reaches (in pixels).
    """
    if not known.any():
        return np.zeros((len(known), depth, 3), dtype=np.float32)
    weight = ndimage.gaussian_filter1d(known.astype(np.float32), 1.0, mode="nearest")
    smooth = ndimage.gaussian_filter1d(difference * known[:, None], 1.0, axis=0, mode="nearest")
    smooth = np.where(known[:, None], smooth / np.maximum(weight, 1e-3)[:, None], 0.0)
    width = max(1.0, reach / 8)
    weight = ndimage.gaussian_filter1d(known.astype(np.float32), width, mode="nearest")
    shade = ndimage.gaussian_filter1d(smooth * known[:, None], width, axis=0, mode="nearest")
    shade = np.clip(shade / np.maximum(weight, 1e-3)[:, None], -SHADE, SHADE)
    light = np.clip(smooth - shade, -SLACK, SLACK)
    out = _fade(light + shade, depth, reach)
    out += _fade(smooth - light - shade, depth, BRIEF * reach)
    return out


def _fade(border: Field, depth: int, reach: float) -> Field:
    """The screened harmonic field (along, depth, 3) with these values at the border."""
    along = len(border)
    waves = fft.dct(border, axis=0, norm="ortho")
    rate = np.sqrt((np.pi * np.arange(along) / along) ** 2 + 1.0 / (reach * reach))
    used = min(depth, int(6 * reach) + 1)
    fading = np.exp(-rate[:, None] * (np.arange(used) + 0.5)[None, :]).astype(np.float32)
    out = np.zeros((along, depth, 3), dtype=np.float32)
    out[:, :used] = fft.idct(waves.astype(np.float32)[:, None, :] * fading[..., None], axis=0, norm="ortho")
    return out
