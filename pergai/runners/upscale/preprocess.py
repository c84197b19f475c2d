"""The source as the net gets it: upright, sRGB, at the size the client states. By libvips (the engine Sharp binds) or by
Pillow; the two agree within a few levels (`tests/runners/test_preprocess.py`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pergai.imaging.decode import ImageInfo, decode, probe, require_pixels
from pergai.imaging.picture import Picture

MAX_PIXELS = 100_000_000
"""Of the source, and of what the client asks to resize it to."""

VIPS_FORMATS = frozenset({"jpeg", "png", "webp"})
VIPS_MODES = frozenset({"L", "LA", "P", "RGB", "RGBA"})
"""What both engines read alike. The rest (CMYK, 16 bits, TIFF's many kinds, AVIF, HEIC) is decoded by `imaging.decode`."""


def prepare(path: Path, width: int | None, height: int | None, use_sharp: bool) -> Picture:
    """Decode the image at `path` and resize it to `width` × `height` where they differ from its own; when only one of
    them is given, the other follows the picture's shape.

    Raises UnreadableImage, TooLarge.
    """
    info = probe(path)
    picture = _by_vips(path) if use_sharp and _suits_vips(info) else None
    if picture is None:
        picture = decode(path, max_pixels=MAX_PIXELS)
    size = _stated_size(picture, width, height)
    if size == (picture.width, picture.height):
        return picture
    require_pixels(*size, MAX_PIXELS)
    return (_resized_by_vips if use_sharp else _resized_by_pillow)(picture, size)


def _stated_size(picture: Picture, width: int | None, height: int | None) -> tuple[int, int]:
    if width is None and height is None:
        return picture.width, picture.height
    if width is None:
        width = round(picture.width * (height or 0) / picture.height)
    if height is None:
        height = round(picture.height * width / picture.width)
    return max(1, width), max(1, height)


def _suits_vips(info: ImageInfo) -> bool:
    return (
        info.format in VIPS_FORMATS
        and info.mode in VIPS_MODES
        and info.frames == 1
        and info.width * info.height <= MAX_PIXELS
    )


def _by_vips(path: Path) -> Picture | None:
    """None where libvips cannot read the file or its profile; then the other decoder says what is wrong, or decides."""
    import pyvips

    try:
        image = pyvips.Image.new_from_file(str(path), access="sequential", fail_on="truncated").copy_memory().autorot()
        if image.get_typeof("icc-profile-data"):
            image = image.icc_transform("srgb", embedded=True, intent="perceptual", black_point_compensation=True)
        elif image.interpretation != "srgb":
            image = image.colourspace("srgb")
        return _picture(image)
    except pyvips.Error:
        return None


def _resized_by_vips(picture: Picture, size: tuple[int, int]) -> Picture:
    import pyvips

    image = pyvips.Image.new_from_array(_stacked(picture), interpretation="srgb")
    # Sharp's own way: Lanczos 3, over alpha-weighted colours.
    return _picture(image.thumbnail_image(size[0], height=size[1], size="force"), picture.notes)


def _resized_by_pillow(picture: Picture, size: tuple[int, int]) -> Picture:
    image = Image.fromarray(_stacked(picture))
    if picture.alpha is None:
        return Picture(np.array(image.resize(size, Image.Resampling.LANCZOS)), None, picture.notes)
    weighted = image.convert("RGBa").resize(size, Image.Resampling.LANCZOS)
    planes = np.array(weighted.convert("RGBA"))
    return Picture(np.ascontiguousarray(planes[..., :3]), np.ascontiguousarray(planes[..., 3]), picture.notes)


def _stacked(picture: Picture) -> Any:
    return picture.pixels if picture.alpha is None else np.dstack([picture.pixels, picture.alpha])


def _picture(image: Any, notes: tuple[str, ...] = ()) -> Picture:
    planes = np.asarray(image.cast("uchar").numpy())
    alpha = np.ascontiguousarray(planes[..., 3]) if planes.shape[2] == 4 else None
    if alpha is not None and alpha.min() == 255:
        alpha = None
    return Picture(np.ascontiguousarray(planes[..., :3]), alpha, notes)
