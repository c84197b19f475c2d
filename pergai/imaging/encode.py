"""A picture in memory → the bytes of a file: sRGB tagged, with its XMP packet.

Why these settings (`benchmarks/codecs.py`, two photos at 1024²):

- PNG: compress level 1. Level 6 takes five times as long for 10 % fewer bytes; the pixels are the same.
- WebP: lossless at its fastest. Lossy WebP always halves the resolution of colour: at a red edge a pixel can be off
  by 255 at any quality, which the fidelity receipt must not allow. Lossless takes half of PNG's time and 3/4 of its bytes.
- JPEG: quality 95 with full colour resolution (4:4:4): no pixel of our photos and test charts is off by more than 27.
- TIFF: deflate with differences.
- 16 bits a channel: PNG and TIFF, by libvips, for Pillow knows no such colours; at the same settings.
- AVIF: quality 95, 4:4:4, speed 9: off by 18 at most (quality 90: by 49). Speed 6 takes seven times as long for 10 %
  fewer bytes.
"""

from __future__ import annotations

import io
from typing import Literal

import numpy as np
from PIL import Image, PngImagePlugin, TiffImagePlugin

from pergai.errors import TooLarge
from pergai.imaging.colour import srgb_profile, to_16_bits
from pergai.imaging.picture import RGB, Alpha, Deep

ImageFormat = Literal["png", "jpeg", "webp", "avif", "tiff"]
DeepFormat = Literal["png", "tiff"]

PNG_LEVEL = 1
DEFAULT_QUALITY = {"jpeg": 95, "avif": 95}
LONGEST_SIDE = {"jpeg": 65_500, "webp": 16_383, "avif": 65_536}
"""What the codecs can hold."""

PREDICTOR, XMP = 317, 700
X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT, INCH = 282, 283, 296, 2
"""Tags of TIFF 6.0, which EXIF shares."""
MILLIMETRES = 25.4
"""In an inch."""


def encode(
    pixels: RGB,
    alpha: Alpha | None,
    format: ImageFormat,
    *,
    grey: bool = False,
    xmp: bytes = b"",
    quality: int | None = None,
    dpi: int | None = None,
) -> bytes:
    """The file's bytes; the same input gives the same bytes.

    `grey` stores the first channel only (PNG and JPEG; the others repeat it) and is for pixels whose three channels
    are equal. JPEG has no alpha: the picture is laid on white. `quality`, 1-100, replaces the defaults above and makes
    WebP lossy; PNG and TIFF ignore it. `dpi`, pixels an inch in print, is kept where the format has a place for it: PNG
    pHYs, JFIF density, TIFF resolution, and EXIF in WebP and AVIF. Raises TooLarge when the format cannot hold the size.
    """
    height, width = pixels.shape[:2]
    if max(width, height) > LONGEST_SIDE.get(format, max(width, height)):
        raise TooLarge(f"{format} holds at most {LONGEST_SIDE[format]} pixels a side, the picture is {width}×{height}")
    if format == "jpeg":
        return _jpeg(_on_white(pixels, alpha), grey, xmp, quality or DEFAULT_QUALITY["jpeg"], dpi)
    if format == "png":
        return _png(_image(pixels, alpha, grey), xmp, dpi)
    if format == "tiff":
        return _tiff(_image(pixels, alpha), xmp, dpi)
    if format == "webp":
        return _webp(_image(pixels, alpha), xmp, quality, dpi)
    return _avif(_image(pixels, alpha), xmp, quality or DEFAULT_QUALITY["avif"], dpi)


def encode_deep(
    pixels: Deep, alpha: Alpha | None, format: DeepFormat, *, xmp: bytes = b"", dpi: int | None = None
) -> bytes:
    """The same with 16 bits a channel; alpha's 8 are spread over them."""
    import pyvips  # noqa: PLC0415 - only deep images need it

    planes = pixels if alpha is None else np.dstack([pixels, to_16_bits(alpha)])
    height, width, bands = planes.shape
    image = pyvips.Image.new_from_memory(np.ascontiguousarray(planes).data, width, height, bands, "ushort")
    density = {"xres": dpi / MILLIMETRES, "yres": dpi / MILLIMETRES} if dpi else {}
    image = image.copy(interpretation="rgb16", **density)
    for name, data in (("icc-profile-data", srgb_profile()), ("xmp-data", xmp)):
        if data:
            image.set_type(pyvips.GValue.blob_type, name, data)
    if format == "png":
        return bytes(image.pngsave_buffer(compression=PNG_LEVEL, bitdepth=16))
    return bytes(image.tiffsave_buffer(compression="deflate", predictor="horizontal", resunit="inch"))


def _png(image: Image.Image, xmp: bytes, dpi: int | None) -> bytes:
    chunks = PngImagePlugin.PngInfo()
    if xmp:
        chunks.add_itxt("XML:com.adobe.xmp", xmp.decode("utf-8"))
    if image.mode in ("L", "LA"):
        chunks.add(b"sRGB", b"\0")  # an RGB profile must not tag a grey image; this chunk says the same
        return _saved(image, "PNG", compress_level=PNG_LEVEL, pnginfo=chunks, **_density(dpi))
    profile = srgb_profile()
    return _saved(image, "PNG", compress_level=PNG_LEVEL, pnginfo=chunks, icc_profile=profile, **_density(dpi))


def _jpeg(pixels: RGB, grey: bool, xmp: bytes, quality: int, dpi: int | None) -> bytes:
    colour = {} if grey else {"subsampling": "4:4:4", "icc_profile": srgb_profile()}
    packet = {"xmp": xmp} if xmp else {}
    # Not optimize=True: it needs the whole file in Pillow's buffer, which is too small for a noisy picture; it fails.
    return _saved(_image(pixels, None, grey), "JPEG", quality=quality, **colour, **packet, **_density(dpi))


def _tiff(image: Image.Image, xmp: bytes, dpi: int | None) -> bytes:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[PREDICTOR] = 2  # differences of neighbours
    if xmp:
        tags[XMP] = xmp
    profile = srgb_profile()
    return _saved(image, "TIFF", compression="tiff_adobe_deflate", tiffinfo=tags, icc_profile=profile, **_density(dpi))


def _webp(image: Image.Image, xmp: bytes, quality: int | None, dpi: int | None) -> bytes:
    how: dict[str, object] = {"lossless": True, "quality": 0, "method": 0} if quality is None else {"quality": quality}
    # exact: keep the colours under clear pixels, as PNG does
    return _saved(image, "WEBP", exact=True, xmp=xmp, icc_profile=srgb_profile(), **how, **_exif(dpi))


def _avif(image: Image.Image, xmp: bytes, quality: int, dpi: int | None) -> bytes:
    how: dict[str, object] = {"quality": quality, "subsampling": "4:4:4", "speed": 9, "max_threads": 2}
    return _saved(image, "AVIF", xmp=xmp, icc_profile=srgb_profile(), **how, **_exif(dpi))


def _density(dpi: int | None) -> dict[str, object]:
    return {"dpi": (dpi, dpi)} if dpi else {}


def _exif(dpi: int | None) -> dict[str, object]:
    if not dpi:
        return {}
    exif = Image.Exif()
    exif[X_RESOLUTION], exif[Y_RESOLUTION], exif[RESOLUTION_UNIT] = float(dpi), float(dpi), INCH
    return {"exif": exif.tobytes()}


def _saved(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def _image(pixels: RGB, alpha: Alpha | None, grey: bool = False) -> Image.Image:
    planes = np.ascontiguousarray(pixels[:, :, 0]) if grey else np.ascontiguousarray(pixels)
    if alpha is not None:
        planes = np.dstack([planes, alpha])
    return Image.fromarray(planes)


def _on_white(pixels: RGB, alpha: Alpha | None) -> RGB:
    if alpha is None:
        return pixels
    cover = alpha[:, :, None].astype(np.uint32)
    return ((pixels * cover + 255 * (255 - cover) + 127) // 255).astype(np.uint8)
