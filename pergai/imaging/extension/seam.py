"""The join between a source and what grows from it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage


def join(
    difference: npt.NDArray[np.float32], known: npt.NDArray[np.bool_], depth: int, reach: float, slack: float
) -> npt.NDArray[np.float32]:
    """The correction that makes a strip agree with the border it grows from.

    Poisson image editing (Pérez et al., SIGGRAPH 2003) with screening, on a strip: a half-plane has a closed
    form. A wave of frequency w along the border dies as exp(-x·√(w² + 1/reach²)) away from it, so light
    is matched far out and grain only beside the border.

    `difference`: (along, 3), border minus strip at the border; `known`: (along,), where it was measured;
    `slack`: levels of 255; what differs by more is another object, not another light, and is not smeared outward;
    answers (along, depth, 3), zero beyond six reaches.
    """
    along = difference.shape[0]
    if not known.any():
        return np.zeros((along, depth, 3), dtype=np.float32)
    weight = ndimage.gaussian_filter1d(known.astype(np.float32), 1.0, mode="nearest")
    smooth = ndimage.gaussian_filter1d(difference * known[:, None], 1.0, axis=0, mode="nearest")
    smooth = np.where(known[:, None], smooth / np.maximum(weight, 1e-3)[:, None], 0.0)
    smooth = np.clip(smooth, -slack, slack)
    waves = fft.dct(smooth, axis=0, norm="ortho")
    rate = np.sqrt((np.pi * np.arange(along) / along) ** 2 + 1.0 / (reach * reach))
    used = min(depth, int(6 * reach) + 1)
    fading = np.exp(-rate[:, None] * (np.arange(used) + 0.5)[None, :])
    out = np.zeros((along, depth, 3), dtype=np.float32)
    out[:, :used] = fft.idct(waves[:, None, :] * fading[..., None], axis=0, norm="ortho")
    return out
