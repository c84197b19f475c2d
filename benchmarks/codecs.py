"""What it costs to write a result: each format and PNG level on a real photo, against Pillow's defaults.

python -m benchmarks.codecs
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.results_file import seconds, write
from pergai.imaging.encode import ImageFormat, encode

PHOTO = Path(__file__).parents[1] / "configs" / "sample.png"
FORMATS: tuple[ImageFormat, ...] = ("png", "jpeg", "webp", "avif")


def pillow_png(image: Image.Image, level: int) -> int:
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=level)
    return file.tell()


def main() -> None:
    image = Image.open(PHOTO).convert("RGB").resize((1024, 1024), Image.Resampling.LANCZOS)
    pixels = np.asarray(image)
    default_seconds = seconds(lambda: pillow_png(image, 6))
    default_bytes = pillow_png(image, 6)
    rows = {}
    for level in (0, 1, 3, 6, 9):
        rows[f"png level {level}"] = {
            "time_over_pillow_default": round(
                seconds(lambda level=level: pillow_png(image, level), 3) / default_seconds, 3
            ),
            "bytes_over_pillow_default": round(pillow_png(image, level) / default_bytes, 3),
        }
    for format in FORMATS:
        rows[f"ours, {format}"] = {
            "time_over_pillow_default": round(
                seconds(lambda format=format: encode(pixels, None, format), 3) / default_seconds, 3
            ),
            "bytes_over_pillow_default": round(len(encode(pixels, None, format)) / default_bytes, 3),
        }
    write("codecs", {"megapixels": 1.05, "rows": rows}, ("pillow",))


if __name__ == "__main__":
    main()
