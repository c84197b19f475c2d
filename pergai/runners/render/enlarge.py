"""A picture larger than its light: shading is smooth and enlarged as it is, texture comes back from the sharp albedo.

What the albedo has between the two sizes (itself over its own mean as the small picture sees it) is multiplied onto the
enlarged picture, as far as the lens drew that place sharply: the blurred albedo of the light, regressed on the sharp one,
tells. The same idea as joint bilateral upsampling (Kopf et al. 2007) of light divided by albedo, without its filter.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from pergai.imaging.composite import fill_behind
from pergai.runners.render.colour import LUMINANCE

Floats = npt.NDArray[np.float32]
Plane = npt.NDArray[np.float32]

GAMMA = 1 / 2.2
"""Ratios of linear light as ratios of sRGB values."""
STEEPEST = 2.2
"""No pixel is changed by more than this factor."""
DARK = 0.02
"""Albedo below which ratios mean nothing."""


def enlarged(picture: Floats, width: int, height: int) -> Floats:
    """Bicubic, of values 0-1."""
    if picture.shape[:2] == (height, width):
        return picture
    planes = [_resized(picture[..., c], width, height) for c in range(picture.shape[2])]
    return np.clip(np.stack(planes, -1), 0, 1)


def textured(picture: Floats, albedo: Floats, detail: Floats, hidden: npt.NDArray[np.bool_]) -> Floats:
    """A developed picture (h, w, 3), sRGB 0-1, at the size of `detail` (H, W, 3) with its texture.

    `albedo` (h, w, 3) is what the lens drew, `detail` the sharp one, both linear and of the same view; `hidden` (h, w) is where
    the product stands: nothing of it is taken up.
    """
    large_height, large_width = detail.shape[:2]
    height, width = picture.shape[:2]
    behind = np.asarray(Image.fromarray(hidden).resize((large_width, large_height), Image.Resampling.NEAREST))
    seen = _resized((~behind).astype(np.float32), width, height, Image.Resampling.BOX)
    means = [
        _resized(np.where(behind, 0, detail[..., c]), width, height, Image.Resampling.BOX) / np.maximum(seen, 1e-3)
        for c in range(3)
    ]
    mean = fill_behind(np.stack(means, -1), hidden | (seen < 0.5))
    drawn = _sharpness(fill_behind(albedo, hidden) @ LUMINANCE, mean @ LUMINANCE)
    share = _resized(drawn * GAMMA, large_width, large_height, Image.Resampling.BILINEAR)
    out = np.empty_like(detail)
    for c in range(3):
        base = _resized(mean[..., c], large_width, large_height)
        ratio = (detail[..., c] + DARK) / (np.maximum(base, 0) + DARK)
        ratio = np.where(behind, 1, np.clip(ratio, 1 / STEEPEST, STEEPEST)) ** share
        out[..., c] = np.clip(_resized(picture[..., c], large_width, large_height) * ratio, 0, 1)
    return out


def _sharpness(drawn: Plane, sharp: Plane, reach: float = 5.0) -> Plane:
    """0 where the lens blurred all texture away - 1 where it drew what is there: local regression of fine structure."""
    a, b = drawn - ndimage.gaussian_filter(drawn, 2.0), sharp - ndimage.gaussian_filter(sharp, 2.0)
    shared, own = ndimage.gaussian_filter(a * b, reach), ndimage.gaussian_filter(b * b, reach)
    return np.asarray(np.clip(shared / np.maximum(own, 1e-7), 0, 1), np.float32)


def _resized(
    plane: npt.NDArray[np.floating], width: int, height: int, how: Image.Resampling = Image.Resampling.BICUBIC
) -> Plane:
    image = Image.fromarray(np.ascontiguousarray(plane, np.float32))
    return np.asarray(image.resize((width, height), how), np.float32)
