"""Noise: stray bright pixels pressed down, the rest removed by Intel Open Image Denoise, guided by the albedo of the set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from pergai.errors import JobError
from pergai.imaging.composite import fill_behind
from pergai.imaging.placement import Box
from pergai.imaging.planes import largest
from pergai.runners.render.neighbourhood import at_full_size, in_cells, mean_around
from pergai.runners.render.relief import shading

Floats = npt.NDArray[np.float32]

NEIGHBOURHOOD = 20
"""Cells over which the mean of the light is kept: noise has none left over so many."""
MOST_CORRECTED = 1.25
FLAT = np.array([0, 0, 1], np.float32)
STRAY = 2
"""Pixels between a stray bright pixel and the next that is as bright, at least: few paths find a lamp's blurred reflection, and
two that find it are light."""
STRAY_LIGHT = 30
"""Times as bright as all about it a stray pixel is, at least. What stands out less is left to the denoiser, which keeps its
light in the picture."""


@dataclass(frozen=True, slots=True)
class Guide:
    """What is known of the surfaces without any light, each (height, width, 3)."""

    albedo: Floats
    """What share of the light each gives back, linear."""
    normals: Floats | None = None
    """Of their relief, over the surface: (0, 0, 1) where it is flat."""

    def within(self, box: Box, hidden: npt.NDArray[np.bool_]) -> Guide:
        """Of a window; what is `hidden` (height, width) there stands out as flat and grey."""
        here = np.s_[box.top : box.bottom, box.left : box.right]
        where = hidden[here][..., None]
        albedo = np.where(where, np.float32(0.5), self.albedo[here])
        return Guide(albedo, None if self.normals is None else np.where(where, FLAT, self.normals[here]))


def denoise(colour: Floats, guide: Guide, *, blurred: bool = False) -> Floats:
    """Linear light (height, width, 3) without its noise; all values must be finite. Wants noise that differs from pixel to
    pixel: a box filter, and paths that know nothing of the neighbours'.

    What the relief does to the light is divided out first and multiplied back afterwards (see `relief`). As a guide of the
    network its normals save a quarter as much. (Dividing out the surface's hue, too, saves half a decibel on pale cloth and
    costs as much on wood, for what is mirrored has no such hue.)

    `blurred` says that an open lens has made the albedo noisy too: its own noise is removed first, or a horizon out of focus
    keeps the grain of the few looks that were taken at it, as if it were a texture.

    The network's own cast is taken out: over a neighbourhood the mean is that of the noisy light, in each colour.

    The network that trusts its guides (cleanAux, with normals) is a larger one: half a decibel nearer to the truth for twice
    the work, and as much work is worth more in paths.

    The denoiser's memory (0.6 GiB a megapixel) is given back before this returns.
    """
    import pyoidn

    albedo, normals = np.ascontiguousarray(guide.albedo, np.float32), guide.normals
    with pyoidn.Device() as device:
        device.commit()
        if blurred:
            albedo = _smoothed(device, albedo)
        shade = np.float32(1) if normals is None else shading(colour, albedo, normals)
        noisy = np.ascontiguousarray(colour / shade, np.float32)
        clean = np.empty_like(noisy)
        with pyoidn.Filter(device, pyoidn.OIDN_FILTER_TYPE_RT) as network:
            network.set_image(pyoidn.OIDN_IMAGE_COLOR, noisy, pyoidn.OIDN_FORMAT_FLOAT3)
            network.set_image(pyoidn.OIDN_IMAGE_ALBEDO, albedo, pyoidn.OIDN_FORMAT_FLOAT3)
            network.set_image(pyoidn.OIDN_IMAGE_OUTPUT, clean, pyoidn.OIDN_FORMAT_FLOAT3)
            network.set_bool("hdr", True)
            network.set_quality(pyoidn.OIDN_QUALITY_HIGH)
            network.commit()
            network.execute()
        if (trouble := device.get_error()) is not None:
            raise JobError(f"the denoiser failed: {trouble}")
    return _with_mean_of(colour, np.maximum(clean, 0) * shade)


def _with_mean_of(noisy: Floats, clean: Floats) -> Floats:
    """As a factor: light beside something dark does not shine into it."""
    least = max(1e-3 * float(clean.mean()), 1e-9)
    wanted, found = (mean_around(in_cells(light), NEIGHBOURHOOD) + least for light in (noisy, clean))
    factor = at_full_size(np.clip(wanted / found, 1 / MOST_CORRECTED, MOST_CORRECTED), clean.shape)
    return np.asarray(clean * factor, np.float32)


def _smoothed(device: Any, albedo: Floats) -> Floats:
    import pyoidn

    smooth = np.empty_like(albedo)
    with pyoidn.Filter(device, pyoidn.OIDN_FILTER_TYPE_RT) as network:
        network.set_image(pyoidn.OIDN_IMAGE_ALBEDO, albedo, pyoidn.OIDN_FORMAT_FLOAT3)
        network.set_image(pyoidn.OIDN_IMAGE_OUTPUT, smooth, pyoidn.OIDN_FORMAT_FLOAT3)
        network.set_quality(pyoidn.OIDN_QUALITY_FAST)
        network.commit()
        network.execute()
    return smooth


def without_fireflies(colour: Floats) -> Floats:
    """Single pixels `STRAY_LIGHT` times as bright as everything within `STRAY` pixels of them are brought down to its level;
    those that are no number, as a path in 50,000 is on leaves in relief, are filled in from beside them."""
    hole = np.asarray(~np.isfinite(colour).all(axis=-1), np.bool_)
    finite = fill_behind(np.where(hole[..., None], np.float32(0), colour), hole)
    level = largest(finite)
    ring = np.ones((2 * STRAY + 1, 2 * STRAY + 1), bool)
    ring[STRAY, STRAY] = False
    brightest = ndimage.maximum_filter(level, footprint=ring, mode="nearest")
    stray = level > np.maximum(brightest * STRAY_LIGHT, 1e-4)
    factor = np.where(stray, brightest * 1.5 / np.maximum(level, 1e-6), 1.0)
    return np.asarray(finite * factor[..., None], np.float32)
