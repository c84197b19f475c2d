"""Grain where there is no texture to copy, and the step from levels to bytes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from pergai.imaging.picture import RGB


def like_grain(
    detail: npt.NDArray[np.float32],
    background: npt.NDArray[np.bool_],
    size: tuple[int, int],
    rng: np.random.Generator,
) -> npt.NDArray[np.float32]:
    """White noise as strong as the background's own, (height, width, 3). None of either when no background is seen.

    Measured as the median of the differences between horizontal neighbours (robust against edges).
    """
    pairs = background[:, 1:] & background[:, :-1]
    if not pairs.any():
        return np.zeros((*size, 3), dtype=np.float32)
    steps = np.abs(np.diff(detail, axis=1))[pairs]
    sigma = np.median(steps, axis=0) / (0.6745 * np.sqrt(2.0))
    return np.asarray(rng.standard_normal((*size, 3), dtype=np.float32) * sigma, dtype=np.float32)


def noise_level(grey: npt.NDArray[np.float32], seen: npt.NDArray[np.bool_]) -> float:
    """Standard deviation of the grain of a plane where `seen`, in its own unit.

    Immerkær, Fast noise variance estimation, 1996: blind to gradients; with a median also to edges.
    """
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)
    response = np.abs(ndimage.convolve(grey, kernel, mode="nearest"))
    inner = ndimage.binary_erosion(seen, np.ones((3, 3), dtype=bool))
    return float(np.median(response[inner])) / (0.6745 * 6.0) if inner.any() else 0.0


def to_bytes(levels: npt.NDArray[np.float32], rng: np.random.Generator) -> RGB:
    """Round with dither, so that a slow gradient shows no bands. A whole level stays itself."""
    steady = np.rint(levels * 64.0) / 64.0
    dithered = np.floor(steady + rng.random(levels.shape, dtype=np.float32) * np.float32(0.999))
    return np.asarray(np.clip(dithered, 0, 255), dtype=np.uint8)
