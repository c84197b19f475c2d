"""Bytes of an image file → a Picture: upright, sRGB, 8 bits a channel, straight alpha.

The format is found by content, never by name, and only seven are read. Everything that can be wrong with a file ends as
UnreadableImage or TooLarge with a sentence that says what it was.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pi_heif
from PIL import AvifImagePlugin, Image, TiffImagePlugin, UnidentifiedImageError, WebPImagePlugin  # noqa: F401

from pergai.errors import PergaiError, TooLarge, UnreadableImage
from pergai.imaging.colour import deep_to_srgb, to_8_bits, to_srgb
from pergai.imaging.picture import RGB, Alpha, Deep, Picture

pi_heif.register_heif_opener()
# Pillow only warns between one and two times its own limit; `require_pixels` refuses, before anything is decoded.
Image.MAX_IMAGE_PIXELS = None

FORMATS = {
    "JPEG": "jpeg",
    "MPO": "jpeg",  # a JPEG with further pictures behind it, as many phones write
    "PNG": "png",
    "WEBP": "webp",
    "TIFF": "tiff",
    "AVIF": "avif",
    "HEIF": "heic",
    "BMP": "bmp",
}
"""Pillow's name → ours. Nothing else is read."""

FOREIGN = (
    (b"GIF8", "a GIF"),
    (b"8BPS", "a Photoshop document"),
    (b"%PDF", "a PDF"),
    (b"<svg", "an SVG drawing"),
    (b"<?xml", "an XML document"),
    (b"<!doctype", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL image"),
    (b"\x00\x00\x00\x0cjP", "a JPEG 2000 image"),
)
"""First bytes (lower-case for text) of what people send by mistake."""

READABLE = "JPEG, PNG, WebP, TIFF, AVIF, HEIC and BMP"

ORIENTATION = 0x0112
BITS_PER_SAMPLE = 258
GREY = ("1", "L", "LA", "La")
COLOUR = ("P", "PA", "RGB", "RGBX", "RGBA", "RGBa", "YCbCr", "CMYK")
TURNED = (5, 6, 7, 8)
"""EXIF orientations that swap width and height."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInfo:
    """What an image file says about itself."""

    format: str
    """png, jpeg, webp, tiff, avif, heic or bmp."""
    width: int
    height: int
    """Upright, in pixels."""
    frames: int
    """Frames of an animation, pages of a TIFF, images of a HEIC; 1 for the others."""
    has_alpha: bool
    mode: str
    """Colour model as stored: 1, L, LA, P, RGB, RGBA, CMYK …, with ";16" for 16 bits a channel."""


def probe(data: bytes | Path, *, max_pixels: int = 2**62) -> ImageInfo:
    """What the file's header says; no pixel is decoded. Raises UnreadableImage, TooLarge above `max_pixels`."""
    with _reading(), _opened(data, max_pixels) as image:
        return _info(image)


def decode(data: bytes | Path, *, max_pixels: int = 100_000_000, keep_depth: bool = False) -> Picture:
    """The whole image. Of an animation the first frame, of several pages the first page; the notes say so.

    `keep_depth`: of a PNG or TIFF with 16 bits a channel keep them all, beside the 8 (alpha has 8 in any case).

    Notes: animated_first_frame, multipage_first_page, icc_ignored, cmyk_without_profile.
    Raises TooLarge above `max_pixels` (before decoding) or when memory runs out, else UnreadableImage.
    """
    with _reading(), _opened(data, max_pixels) as image:
        info = _info(image)
        if info.format == "png":
            _require_intact(data)
        turn = _orientation(image)
        deep: Deep | None = None
        if info.mode.endswith(";16"):
            wide, alpha, notes = _deep_planes(data, image)
            pixels = to_8_bits(wide)
            deep = _upright(wide, turn) if keep_depth else None
        else:
            pixels, alpha, notes = _planes(image)
            if image.format == "TIFF":
                turn = 1  # Pillow has turned it while loading
        if alpha is not None:
            alpha = None if alpha.min() == 255 else _upright(alpha, turn)
        return Picture(_upright(pixels, turn), alpha, (*_frame_note(info), *notes), deep)


def require_pixels(width: int, height: int, max_pixels: int) -> None:
    """Raises TooLarge naming both numbers."""
    if width * height > max_pixels:
        raise TooLarge(
            f"the image is {width}×{height} = {width * height / 1e6:.1f} megapixels; "
            f"at most {max_pixels / 1e6:g} are allowed"
        )


# --- opening ---------------------------------------------------------------------------------------


@contextmanager
def _reading() -> Iterator[None]:
    """Pillow's plugins raise almost anything on a malformed file; a client gets one of two errors."""
    try:
        yield
    except PergaiError:
        raise
    except Exception as error:
        if isinstance(error, MemoryError) or "out of memory" in str(error):  # so say libvips and libheif
            raise TooLarge("the image needs more memory to decode than is allowed") from error
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise UnreadableImage(f"the image is damaged or incomplete: {reason}") from error


@contextmanager
def _opened(data: bytes | Path, max_pixels: int) -> Iterator[Image.Image]:
    with data.open("rb") if isinstance(data, Path) else io.BytesIO(data) as file:
        start = file.read(64)
        file.seek(0)
        # libwebp reserves two canvases as soon as the file is opened.
        require_pixels(*_webp_canvas(start), max_pixels)
        try:
            image = Image.open(file, formats=[name for name in FORMATS if name != "MPO"])
        except UnidentifiedImageError as error:
            raise UnreadableImage(_why_unknown(start)) from error
        with image:
            require_pixels(*image.size, max_pixels)
            yield image


def _require_intact(data: bytes | Path) -> None:
    """Check the sums of all chunks of a PNG; Pillow's decoder does not, and takes flipped bits for pixels."""
    with Image.open(data if isinstance(data, Path) else io.BytesIO(data), formats=["PNG"]) as image:
        image.verify()


def _webp_canvas(start: bytes) -> tuple[int, int]:
    """Width and height by the first bytes of a WebP (RFC 9649, 2.5-2.7); (0, 0) for anything else."""
    if start[:4] != b"RIFF" or start[8:12] != b"WEBP" or len(start) < 30:
        return 0, 0
    if start[12:16] == b"VP8X":
        return 1 + int.from_bytes(start[24:27], "little"), 1 + int.from_bytes(start[27:30], "little")
    if start[12:16] == b"VP8L":
        bits = int.from_bytes(start[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return int.from_bytes(start[26:28], "little") & 0x3FFF, int.from_bytes(start[28:30], "little") & 0x3FFF


def _why_unknown(start: bytes) -> str:
    if not start:
        return "the file is empty"
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for magic, name in FOREIGN:
        if start.startswith(magic) or text.startswith(magic):
            return f"the file is {name}; {READABLE} are read"
    return f"the file is not an image that can be read, or its header is damaged; {READABLE} are read"


# --- the header ------------------------------------------------------------------------------------


def _info(image: Image.Image) -> ImageInfo:
    width, height = image.size
    # Pillow gives a TIFF's size upright already.
    if image.format != "TIFF" and _orientation(image) in TURNED:
        width, height = height, width
    format = FORMATS[str(image.format)]
    return ImageInfo(
        format=format,
        width=width,
        height=height,
        frames=1 if format == "jpeg" else int(getattr(image, "n_frames", 1)),
        has_alpha=image.has_transparency_data,
        mode=image.mode.partition(";")[0] + (";16" if _is_deep(image) else ""),
    )


def _frame_note(info: ImageInfo) -> tuple[str, ...]:
    if info.frames == 1:
        return ()
    return ("multipage_first_page",) if info.format in ("tiff", "heic") else ("animated_first_frame",)


def _is_deep(image: Image.Image) -> bool:
    """16 bits a channel. Pillow says so only for one channel; it would drop the low byte of the others."""
    if image.mode.startswith("I;16"):
        return True
    if image.format == "TIFF":
        return 16 in _tag(image, BITS_PER_SAMPLE)
    return image.format == "PNG" and any(str(tile.args).endswith(";16B") for tile in getattr(image, "tile", ()))


def _tag(image: Image.Image, number: int) -> tuple[int, ...]:
    tags: Any = image.tag_v2  # type: ignore[attr-defined]
    value = tags.get(number, ())
    return value if isinstance(value, tuple) else (value,)


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1-8; 1 when the EXIF block is broken, for that is no reason to refuse a good picture."""
    if image.format == "HEIF":
        return 1  # libheif turns the image itself
    try:
        # The base class's: a PNG's own would decode all pixels first, in search of an EXIF block behind them.
        value = Image.Image.getexif(image).get(ORIENTATION, 1)
    except Exception:  # a broken block raises anything
        return 1
    return value if value in range(1, 9) else 1


# --- the pixels ------------------------------------------------------------------------------------


def _planes(image: Image.Image) -> tuple[RGB, Alpha | None, tuple[str, ...]]:
    """Pixels, alpha and notes of an image with 8 bits a channel or less, not yet turned."""
    if image.mode not in GREY + COLOUR:
        raise UnreadableImage(
            f"the image stores its pixels as {image.mode}; grey, RGB or CMYK with up to 16 bits a channel are read"
        )
    icc = image.info.get("icc_profile")
    image.load()
    alpha: Alpha | None = None
    colours = image
    if image.has_transparency_data:
        colours = image.convert("LA" if image.mode in GREY else "RGBA")
        alpha = np.array(colours.getchannel("A"))
    if image.mode != "CMYK" and colours.mode not in ("L", "RGB"):
        colours = colours.convert("L" if image.mode in GREY else "RGB")
    pixels, notes = to_srgb(colours, icc)
    return pixels, alpha, notes


def _deep_planes(data: bytes | Path, image: Image.Image) -> tuple[Deep, Alpha | None, tuple[str, ...]]:
    """The same for a PNG or TIFF of 16 bits a channel, by libvips."""
    import pyvips  # noqa: PLC0415 - only deep images need it

    content = data.read_bytes() if isinstance(data, Path) else data
    load = pyvips.Image.tiffload_buffer if image.format == "TIFF" else pyvips.Image.pngload_buffer
    # Sequential: else libvips would unpack large images into a temporary file.
    deep = load(content, access="sequential", fail_on="truncated").copy_memory()
    colour_bands = {"grey16": 1, "rgb16": 3, "cmyk": 4}.get(deep.interpretation, 0)
    if deep.format != "ushort" or not colour_bands:
        raise UnreadableImage(
            f"the image stores its pixels as {deep.interpretation} {deep.format}; "
            "grey, RGB or CMYK with up to 16 bits a channel are read"
        )
    alpha: Alpha | None = None
    if deep.bands > colour_bands:
        alpha = to_8_bits(deep[colour_bands].numpy())  # straight: libvips divides associated alpha out
        deep = deep.extract_band(0, n=colour_bands)
    pixels, notes = deep_to_srgb(deep, image.info.get("icc_profile"))
    return pixels, alpha, notes


def _upright(plane: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """Undo an EXIF orientation (CIPA DC-008, 4.6.4)."""
    if orientation in TURNED:
        plane = plane.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        plane = plane[:, ::-1]
    if orientation in (3, 4, 7, 8):
        plane = plane[::-1]
    return np.ascontiguousarray(plane)
