"""Whatever colours a file comes in → sRGB, 8 bits a channel."""

from __future__ import annotations

import io
import struct
from functools import cache, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from pergai.imaging.picture import RGB, Deep

CHANNELS = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}
"""Colour space of an ICC profile → the only Pillow mode it can describe."""


@cache
def srgb_profile() -> bytes:
    """The ICC profile every result is tagged with: LittleCMS's sRGB, 588 bytes."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    # The header's date (ICC.1, 7.2.8) would make the same picture another file every second.
    profile[24:36] = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)
    return bytes(profile)


def to_srgb(image: Image.Image, icc: bytes | None) -> tuple[RGB, tuple[str, ...]]:
    """Pixels in sRGB, and notes on what had to be decided. `image` has one of the modes L, RGB, CMYK.

    Perceptual with black-point compensation, as print and photo software does. A profile that is broken, or of
    another colour space than the pixels, is left out with the note "icc_ignored". CMYK without a profile is taken
    for coated offset paper (libvips's generic profile) with the note "cmyk_without_profile".
    """
    notes: tuple[str, ...] = ()
    if icc:
        converted = _by_profile(image, icc)
        if converted is not None:
            return np.array(converted), ()
        notes = ("icc_ignored",)
    if image.mode == "CMYK":
        return _generic_cmyk(np.asarray(image)), (*notes, "cmyk_without_profile")
    return np.array(image if image.mode == "RGB" else image.convert("RGB")), notes


def deep_to_srgb(image: Any, icc: bytes | None) -> tuple[Deep, tuple[str, ...]]:
    """The same for a pyvips image of 16 bits a channel (1, 3 or 4 bands, no alpha); all 16 are kept, but for CMYK without
    a profile, whose colours are known to 8.
    """
    import pyvips  # noqa: PLC0415 - only deep images need it, and it takes 0.1 s and 20 MB

    notes: tuple[str, ...] = ()
    if icc:
        try:
            image.set_type(pyvips.GValue.blob_type, "icc-profile-data", icc)
            mode = {1: "L", 3: "RGB", 4: "CMYK"}[image.bands]
            if _space(icc) == mode:
                if _is_srgb(icc, mode):
                    return _three_channels(image.numpy()), ()
                done = image.icc_transform(
                    "srgb", embedded=True, intent="perceptual", black_point_compensation=True, depth=16
                )
                return _three_channels(done.numpy()), ()
        except (pyvips.Error, ImageCms.PyCMSError, OSError):
            pass  # said by the note below
        notes = ("icc_ignored",)
    if image.bands == 4:
        return to_16_bits(_generic_cmyk(to_8_bits(image.numpy()))), (*notes, "cmyk_without_profile")
    return _three_channels(image.numpy()), notes


def to_8_bits(values: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint8]:
    """round(v / 257). Dropping the low byte, as Pillow does, darkens by half a level on average."""
    result = np.empty(values.shape, np.uint8)
    for top in range(0, len(values), 64):  # in strips: big images, no big copies
        strip = values[top : top + 64].astype(np.uint32)
        result[top : top + 64] = (strip + 128) // 257
    return result


def to_16_bits(values: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
    """v * 257: `to_8_bits` gives the same values back."""
    return values.astype(np.uint16) * np.uint16(257)


def _by_profile(image: Image.Image, icc: bytes) -> Image.Image | None:
    """None when the profile cannot be used for this image."""
    try:
        if _space(icc) != image.mode:
            return None
        if _is_srgb(icc, image.mode):
            return image if image.mode == "RGB" else image.convert("RGB")
        return ImageCms.applyTransform(image, _transform(icc, image.mode))
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


def _transform(icc: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(io.BytesIO(icc)),
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        renderingIntent=ImageCms.Intent.PERCEPTUAL,
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )


def _space(icc: bytes) -> str:
    profile: Any = ImageCms.ImageCmsProfile(io.BytesIO(icc)).profile
    return CHANNELS.get(profile.xcolor_space.strip(), "")


@lru_cache(maxsize=16)
def _is_srgb(icc: bytes, mode: str) -> bool:
    """Many profiles are sRGB under another name; converting by one would only add rounding errors of one level. Remembered,
    for every result is decoded again with the one profile that ours have. Raises PyCMSError."""
    if mode == "CMYK":
        return False
    transform = _transform(icc, mode)
    steps = np.linspace(0, 255, 18).astype(np.uint8)
    if mode == "L":
        lattice = Image.fromarray(steps[None])
    else:
        lattice = Image.fromarray(np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(18, -1, 3))
    result = ImageCms.applyTransform(lattice, transform)
    if result is None:
        return False
    difference = np.asarray(result).astype(int) - np.asarray(lattice.convert("RGB")).astype(int)
    return int(np.abs(difference).max()) <= 1


def _generic_cmyk(values: npt.NDArray[np.uint8]) -> RGB:
    import pyvips  # noqa: PLC0415

    height, width = values.shape[:2]
    inks = pyvips.Image.new_from_memory(np.ascontiguousarray(values).data, width, height, 4, "uchar")
    colours = inks.copy(interpretation="cmyk").icc_transform(
        "srgb", input_profile="cmyk", intent="perceptual", black_point_compensation=True
    )
    return _three_channels(colours.numpy())


def _three_channels(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if values.ndim == 2 or values.shape[2] == 1:
        return np.repeat(values.reshape(*values.shape[:2], 1), 3, axis=2)
    return np.ascontiguousarray(values[:, :, :3])
