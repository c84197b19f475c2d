"""Layers ↔ the bytes of a Photoshop document: 8 bits a channel, sRGB tagged, with its XMP packet and the merged picture.

Format: Adobe Photoshop File Formats Specification (2019), read and written by psd-tools. A reader that knows no layers
(Pillow, a file browser) shows the merged picture.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from psd_tools import PSDImage
from psd_tools.constants import BlendMode, Resource
from psd_tools.psd.image_resources import ImageResource

from pergai.errors import TooLarge
from pergai.imaging.colour import srgb_profile
from pergai.imaging.layers import Blend, Layer
from pergai.imaging.picture import RGB, Alpha
from pergai.imaging.placement import Box, bounding_box

LONGEST_SIDE = 30_000
RESOLUTION, ICC_PROFILE, XMP = 1005, 1039, 1060
"""Image resources of the specification."""

_MODES: dict[Blend, bytes] = {"normal": b"norm", "multiply": b"mul ", "linear-dodge": b"lddg"}


def write_psd(
    layers: Sequence[Layer], pixels: RGB, alpha: Alpha | None, *, xmp: bytes = b"", dpi: int | None = None
) -> bytes:
    """The document; the same input gives the same bytes.

    `layers`, the bottom one first, must add up to `pixels` and `alpha`, which are kept as the merged picture. A layer is
    cropped to what is seen of it. Raises TooLarge above 30,000 pixels a side.
    """
    height, width = pixels.shape[:2]
    if max(width, height) > LONGEST_SIDE:
        raise TooLarge(f"psd holds at most {LONGEST_SIDE} pixels a side, the picture is {width}×{height}")
    document = PSDImage.new("RGB" if alpha is None else "RGBA", (width, height))
    for layer in layers:
        box = Box(0, 0, width, height) if layer.alpha is None else bounding_box(layer.alpha, 1)
        if box is None:
            continue
        cut = np.s_[box.top : box.bottom, box.left : box.right]
        planes = layer.pixels[cut] if layer.alpha is None else np.dstack([layer.pixels[cut], layer.alpha[cut]])
        document.create_pixel_layer_from_array(
            planes, layer.name, box.top, box.left, blend_mode=BlendMode(_MODES[layer.blend])
        )
    resources = {ICC_PROFILE: srgb_profile(), XMP: xmp, RESOLUTION: _density(dpi)}
    for key, data in resources.items():
        if data:
            document.image_resources[Resource(key)] = ImageResource(key=key, data=data)
    # Not by `save`: it would blend the layers again, in floats of the whole picture.
    record = document._record
    merged = pixels if alpha is None else np.dstack([pixels, alpha])
    record.image_data.set_data([plane.tobytes() for plane in np.moveaxis(merged, -1, 0)], record.header)
    file = io.BytesIO()
    record.write(file)
    return file.getvalue()


def read_psd(data: bytes) -> tuple[tuple[Layer, ...], RGB]:
    """Layers, the bottom one first, and the merged picture, of a document that `write_psd` wrote."""
    document = PSDImage.open(io.BytesIO(data))
    names = {mode: name for name, mode in _MODES.items()}
    layers = []
    for layer in document:
        planes = _bytes(np.asarray(layer.numpy(), np.float32))
        pixels, alpha = (np.zeros((document.height, document.width, *tail), np.uint8) for tail in ((3,), ()))
        cut = np.s_[layer.top : layer.bottom, layer.left : layer.right]
        pixels[cut], alpha[cut] = planes[..., :3], planes[..., 3]
        solid = bool((alpha == 255).all())
        layers.append(Layer(layer.name, pixels, None if solid else alpha, names[layer.blend_mode.value]))
    return tuple(layers), _bytes(np.asarray(document.numpy(), np.float32)[..., :3])


def _density(dpi: int | None) -> bytes:
    """Resource 1005, twice: 16.16 fixed point, pixels an inch, shown in inches."""
    return struct.pack(">IHHIHH", dpi << 16, 1, 1, dpi << 16, 1, 1) if dpi else b""


def _bytes(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    return np.clip(np.rint(values * 255), 0, 255).astype(np.uint8)
