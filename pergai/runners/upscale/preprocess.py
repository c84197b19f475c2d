"""The source as the net gets it: upright, sRGB, at the size the client states. By libvips (the engine Sharp binds) or by
Pillow; the two agree within a few levels (`tests/runners/test_preprocess.py`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
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
    if picture.alpha is not None:
        image = image.premultiply()
    x, y = size[0] / picture.width, size[1] / picture.height
    image = image.resize(min(1.0, x), vscale=min(1.0, y), kernel="lanczos3")
    x, y = max(1.0, x), max(1.0, y)
    if x > 1 or y > 1:
        # libvips's own `resize` lands half a pixel off when it enlarges; here pixel centres stay where they are.
        image = image.affine(
            (x, 0, 0, y),
            interpolate=pyvips.Interpolate.new("bicubic"),
            oarea=[0, 0, *size],
            odx=(x - 1) / 2,
            ody=(y - 1) / 2,
            extend="copy",
        )
    if picture.alpha is not None:
        image = image.unpremultiply().rint()
    return _picture(image, picture.notes)


def _resized_by_pillow(picture: Picture, size: tuple[int, int]) -> Picture:
    image = Image.fromarray(_stacked(picture))
    smaller = (min(size[0], picture.width), min(size[1], picture.height))
    if picture.alpha is not None:
        image = image.convert("RGBa")
    # Each side as libvips does it: Lanczos 3 down, bicubic up.
    image = image.resize(smaller, Image.Resampling.LANCZOS).resize(size, Image.Resampling.BICUBIC)
    if picture.alpha is not None:
        image = image.convert("RGBA")
    planes = np.asarray(image)
    alpha = None if picture.alpha is None else np.ascontiguousarray(planes[..., 3])
    return Picture(np.ascontiguousarray(planes[..., :3]), alpha, picture.notes)


def _stacked(picture: Picture) -> Any:
    return picture.pixels if picture.alpha is None else np.dstack([picture.pixels, picture.alpha])


def _picture(image: Any, notes: tuple[str, ...] = ()) -> Picture:
    planes: npt.NDArray[np.uint8] = np.asarray(image.cast("uchar").numpy())
    alpha = np.ascontiguousarray(planes[..., 3]) if planes.shape[2] == 4 else None
    if alpha is not None and alpha.min() == 255:
        alpha = None
    return Picture(np.ascontiguousarray(planes[..., :3]), alpha, notes)
