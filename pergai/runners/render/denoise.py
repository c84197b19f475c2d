"""Intel Open Image Denoise, guided by the albedo and the normals of the set."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def denoise(colour: Floats, albedo: Floats, normal: Floats) -> Floats:
    """Linear light (height, width, 3) without its noise. Wants uncorrelated noise: a box filter and independent
    samples. Values that are not finite count as black."""
    import pyoidn

    clean = np.nan_to_num(colour, nan=0.0, posinf=0.0, neginf=0.0)
    result = pyoidn.denoise(
        np.ascontiguousarray(clean, np.float32),
        albedo=np.ascontiguousarray(np.clip(np.nan_to_num(albedo), 0, 1), np.float32),
        normal=np.ascontiguousarray(np.nan_to_num(normal), np.float32),
        hdr=True,
    )
    return np.maximum(np.asarray(result, np.float32), 0)
