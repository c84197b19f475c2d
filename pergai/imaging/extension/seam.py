"""The join between a source and what grows from it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage

Field = npt.NDArray[np.float32]

SLACK = 12.0
"""Levels of 255: what differs by more at the border is another object, not another light."""
SHADE = 40.0
"""Levels of 255: how much a long stretch of the border may differ and still be the same ground in another light."""
BRIEF = 0.08
"""Reach of the correction of such a misfit, as a share of that of light: a step becomes a short slope, not a smear."""


def join(difference: Field, known: npt.NDArray[np.bool_], depth: int, reach: float) -> Field:
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
