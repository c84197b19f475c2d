"""Photos with bytes changed, cut off, doubled or swapped, and forms that are none."""

from __future__ import annotations

import io
import random

import httpx
import skimage.data
from PIL import Image

from drills import Done, nobody

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "AVIF", "GIF")


def photos() -> dict[str, bytes]:
    """One small photo in each format."""
    found = {}
    for format in FORMATS:
        file = io.BytesIO()
        Image.fromarray(skimage.data.coffee()).resize((48, 32)).save(file, format)
        found[format] = file.getvalue()
    return found


def are_taken_or_refused_clearly(client: httpx.Client, count: int, chance: random.Random, done: Done = nobody) -> int:
    """Each is 201, or a 4xx that says why. Returns how many were refused."""
    good = photos()
    refused = 0
    for _ in range(count):
        format = chance.choice(FORMATS)
        data = spoil(good[format], good[chance.choice(FORMATS)], chance)
        answer = client.post("/uploads", files={"file": (f"x.{format.lower()}", data)})
        if answer.status_code != 201:
            assert 400 <= answer.status_code < 500, (format, answer.status_code, answer.text, data.hex())
            assert answer.json()["code"] in ("unreadable_image", "malformed_request", "too_large"), answer.text
            refused += 1
        done()
    return refused


def spoil(data: bytes, other: bytes, chance: random.Random) -> bytes:
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data)) if data else 0
        match chance.randrange(5):
            case 0:
                data = data[:at] + chance.randbytes(chance.randint(1, 8)) + data[at + 8 :]
            case 1:
                data = data[:at]
            case 2:
                data = data[:at] + data[at // 2 :]
            case 3:
                data = data[:at] + other[at:]
            case _:  # sizes and counts are what decoders believe
                data = (
                    data[: at % 64]
                    + chance.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff"))
                    + data[at % 64 + 4 :]
                )
    return data
