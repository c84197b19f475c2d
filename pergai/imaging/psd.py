"""Layers ↔ the bytes of a Photoshop document: 8 or 16 bits a channel, sRGB tagged, with its XMP packet and the merged picture.

Format: Adobe Photoshop File Formats Specification (2019), read and written by psd-tools. A reader that knows no layers
(a file browser; of 8 bits Pillow too) shows the merged picture.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from psd_tools import PSDImage
from psd_tools.constants import BlendMode, Resource, Tag
from psd_tools.psd.image_resources import ImageResource
from psd_tools.psd.tagged_blocks import TaggedBlocks

from pergai.errors import TooLarge
from pergai.imaging.colour import srgb_profile, to_8_bits, to_16_bits
from pergai.imaging.layers import Blend, Layer
from pergai.imaging.picture import RGB, Alpha, Deep
from pergai.imaging.placement import Box, bounding_box

SIGNATURE = b"8BPS"
"""What a document begins with."""
LONGEST_SIDE = 30_000
RESOLUTION, ICC_PROFILE, XMP = 1005, 1039, 1060
"""Image resources of the specification."""

_MODES: dict[Blend, bytes] = {"normal": b"norm", "multiply": b"mul ", "linear-dodge": b"lddg"}


def write_psd(
    layers: Sequence[Layer], pixels: RGB | Deep, alpha: Alpha | None, *, xmp: bytes = b"", dpi: int | None = None
) -> bytes:
    """The document; the same input gives the same bytes.

    `layers`, the bottom one first, must add up to `pixels` and `alpha`, which are kept as the merged picture; all have as
    many bits. A layer is cropped to what is seen of it. Raises TooLarge above 30,000 pixels a side.
    """
    height, width = pixels.shape[:2]
    if max(width, height) > LONGEST_SIDE:
        raise TooLarge(f"psd holds at most {LONGEST_SIDE} pixels a side, the picture is {width}×{height}")
    deep = pixels.dtype == np.uint16
    document = PSDImage.new("RGB" if alpha is None else "RGBA", (width, height), depth=16 if deep else 8)
    record = document._record
    if deep:  # where Photoshop looks for layers of 16 bits
        record.layer_and_mask_information.tagged_blocks = TaggedBlocks()
        record.layer_and_mask_information.tagged_blocks.set_data(Tag.LAYER_16)
    for layer in layers:
        box = Box(0, 0, width, height) if layer.alpha is None else bounding_box(layer.alpha, 1)
        if box is None:
            continue
        cut = np.s_[box.top : box.bottom, box.left : box.right]
        planes = _planes(layer.pixels[cut], None if layer.alpha is None else layer.alpha[cut])
        document.create_pixel_layer_from_array(
            planes, layer.name, box.top, box.left, blend_mode=BlendMode(_MODES[layer.blend])
        )
    resources = {ICC_PROFILE: srgb_profile(), XMP: xmp, RESOLUTION: _density(dpi)}
    for key, data in resources.items():
        if data:
            document.image_resources[Resource(key)] = ImageResource(key=key, data=data)
    # Not by `save`: it would blend the layers again, in floats of the whole picture.
    merged = np.moveaxis(_planes(pixels, alpha), -1, 0)
    merged = merged.astype(merged.dtype.newbyteorder(">"), copy=False)
    record.image_data.set_data([plane.tobytes() for plane in merged], record.header)
    file = io.BytesIO()
    record.write(file)
    return file.getvalue()


def read_psd(data: bytes) -> tuple[tuple[Layer, ...], RGB | Deep]:
    """Layers, the bottom one first, and the merged picture, of a document that `write_psd` wrote."""
    document = PSDImage.open(io.BytesIO(data))
    kind = np.uint16 if document.depth == 16 else np.uint8
    names = {mode: name for name, mode in _MODES.items()}
    layers = []
    for layer in document:
        planes = _levels(layer.numpy(), kind)
        shape = (document.height, document.width)
        pixels, alpha = np.zeros((*shape, 3), kind), np.zeros(shape, np.uint8)
        cut = np.s_[layer.top : layer.bottom, layer.left : layer.right]
        pixels[cut], cover = planes[..., :3], planes[..., 3]
        alpha[cut] = to_8_bits(cover) if cover.dtype == np.uint16 else cover
        solid = bool((alpha == 255).all())
        layers.append(Layer(layer.name, pixels, None if solid else alpha, names[layer.blend_mode.value]))
    return tuple(layers), _levels(document.numpy(), kind)[..., :3]


def read_xmp(data: bytes) -> bytes:
    """The XMP packet of a document; empty where it has none. Raises OSError when `data` is none."""
    try:
        resources = PSDImage.open(io.BytesIO(data)).image_resources
    except ValueError as error:
        raise OSError(str(error)) from error
    return bytes(resources[Resource(XMP)].data) if Resource(XMP) in resources else b""


def _planes(pixels: RGB | Deep, alpha: Alpha | None) -> npt.NDArray[Any]:
    """Colours and, where there is one, coverage, with as many bits."""
    if alpha is None:
        return pixels
    return np.dstack([pixels, to_16_bits(alpha) if pixels.dtype == np.uint16 else alpha])


def _density(dpi: int | None) -> bytes:
    """Resource 1005, twice: 16.16 fixed point, pixels an inch, shown in inches."""
    return struct.pack(">IHHIHH", dpi << 16, 1, 1, dpi << 16, 1, 1) if dpi else b""


def _levels(values: Any, kind: type[np.uint8] | type[np.uint16]) -> npt.NDArray[Any]:
    return np.asarray(np.rint(np.asarray(values, np.float32) * np.float32(np.iinfo(kind).max)), kind)
