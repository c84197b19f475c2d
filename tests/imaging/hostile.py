"""Files that are odd, damaged or meant to hurt, each with what must come of it.

`HOSTILE` is used by the tests of decoding and, over HTTP, by the tests of uploads. Nothing here is larger than a few MB.
"""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pyvips
import skimage.data
from PIL import Image, ImageCms

ACCEPTED = "accepted"
UNREADABLE = "unreadable_image"
TOO_LARGE = "too_large"

DATA = Path(__file__).parent / "data"
"""Two HEIC files: nothing else the tests have could write them."""


@dataclass(frozen=True, slots=True)
class HostileFile:
    name: str
    data: bytes
    filename: str
    """What the client says it is called; never believed."""
    expected: str
    """ "accepted" or the code of the error."""
    kills: bool = False
    """Decoding it ends the process with a segmentation fault: never outside the inspection's own processes."""


# --- materials -------------------------------------------------------------------------------------


@cache
def photo(width: int = 150, height: int = 100) -> Image.Image:
    return Image.fromarray(skimage.data.coffee()).resize((width, height), Image.Resampling.LANCZOS)


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def chunk(kind: bytes, body: bytes, crc: int | None = None) -> bytes:
    checksum = zlib.crc32(kind + body) if crc is None else crc
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


def png(width: int, height: int, idat: bytes, *extra: bytes, depth: int = 8, colour: int = 2) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + chunk(b"IDAT", idat) + chunk(b"IEND", b"")


def zeros(count: int) -> bytes:
    """That many zero bytes as zlib would pack them (RFC 1950), without packing each: one MiB is packed and repeated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    mib = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    rest = packer.compress(bytes(count & 0xFFFFF)) + packer.flush()
    return b"\x78\x9c" + mib * (count >> 20) + rest + struct.pack(">HH", count % 65_521, 1)


def deep(bands: int, interpretation: str, suffix: str) -> bytes:
    """The photo with 16 bits a channel."""
    base = np.asarray(photo().convert("RGBA")).astype(np.uint16) * 257 + 3
    planes = np.ascontiguousarray(base[:, :, {1: [0], 2: [0, 3], 3: [0, 1, 2], 4: [0, 1, 2, 3]}[bands]])
    height, width = planes.shape[:2]
    image = pyvips.Image.new_from_memory(planes.tobytes(), width, height, bands, "ushort")
    return bytes(image.copy(interpretation=interpretation).write_to_buffer(suffix))


def oriented(value: int, format: str = "JPEG") -> bytes:
    exif = Image.Exif()
    exif[0x0112] = value
    return saved(photo(), format, exif=exif)


def frames(format: str, count: int, size: tuple[int, int] = (32, 32)) -> bytes:
    pictures = [Image.new("RGB", size, (i * 7 % 256, i * 13 % 256, i * 29 % 256)) for i in range(count)]
    return saved(pictures[0], format, save_all=True, append_images=pictures[1:])


def tiff(entries: list[tuple[int, int, int, int]], next_ifd: int = 0, body: bytes = b"") -> bytes:
    """A little-endian TIFF with one directory of (tag, type, count, value) at offset 8."""
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<I", 8) + directory + struct.pack("<I", next_ifd) + body


def tiff_image(width: int, height: int, next_ifd: int = 0) -> bytes:
    """An uncompressed grey TIFF with its pixels behind the directory, as far as they fit into 64 KiB."""
    entries = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1),
        (273, 4, 1, 8 + 2 + 9 * 12 + 4), (277, 3, 1, 1), (278, 4, 1, height), (279, 4, 1, width * height & 0xFFFFFFFF),
    ]  # fmt: skip
    return tiff(entries, next_ifd, bytes(min(width * height, 65_536)))


def tiff_ring() -> bytes:
    first = tiff_image(64, 64)
    ring = tiff_image(64, 64, next_ifd=len(first))
    return ring + tiff_image(64, 64, next_ifd=8)[8:]


def webp_lossless_header(width: int, height: int) -> bytes:
    """A plain lossless WebP whose own header claims another size."""
    data = bytearray(saved(photo(16, 16), "WEBP", lossless=True))
    at = data.index(b"VP8L") + 9
    bits = int.from_bytes(data[at : at + 4], "little") & ~0x0FFF_FFFF
    data[at : at + 4] = (bits | (height - 1) << 14 | (width - 1)).to_bytes(4, "little")
    return bytes(data)


def webp_header(width: int, height: int) -> bytes:
    """An extended WebP that claims a canvas of this size around a small picture."""
    inner = saved(photo(16, 16), "WEBP", lossless=True)[12:]
    body = (
        b"VP8X"
        + struct.pack("<I", 10)
        + bytes(4)
        + (width - 1).to_bytes(3, "little")
        + (height - 1).to_bytes(3, "little")
    )
    return b"RIFF" + struct.pack("<I", 4 + len(body) + len(inner)) + b"WEBP" + body + inner


def jpeg_resized(width: int, height: int) -> bytes:
    """A JPEG whose frame header claims another size."""
    data = bytearray(saved(photo(), "JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def flipped(data: bytes, at: float, count: int = 24) -> bytes:
    start = int(len(data) * at)
    return data[:start] + bytes(byte ^ 0xA5 for byte in data[start : start + count]) + data[start + count :]


def palette(**options: object) -> bytes:
    return saved(photo().quantize(64), "PNG", **options)


def wide_gamut() -> bytes:
    """An RGB profile unlike sRGB: the sRGB one with its red and green primaries swapped."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    swapped = {b"rXYZ": b"gXYZ", b"gXYZ": b"rXYZ"}
    for i in range(struct.unpack(">I", profile[128:132])[0]):
        entry = 132 + 12 * i
        name = bytes(profile[entry : entry + 4])
        profile[entry : entry + 4] = swapped.get(name, name)
    return bytes(profile)


def heic(name: str = "cup.heic") -> bytes:
    return (DATA / name).read_bytes()


# --- the list --------------------------------------------------------------------------------------

WHOLE: dict[str, Callable[[], bytes]] = {
    "jpg": lambda: saved(photo(), "JPEG", quality=90),
    "png": lambda: saved(photo(), "PNG"),
    "webp": lambda: saved(photo(), "WEBP", lossless=True),
    "tif": lambda: saved(photo(), "TIFF"),
    "avif": lambda: saved(photo(), "AVIF"),
    "bmp": lambda: saved(photo(), "BMP"),
    "heic": heic,
}


def _odd_but_good() -> Iterator[tuple[str, bytes, str]]:
    yield from ((f"plain {suffix}", make(), f"photo.{suffix}") for suffix, make in WHOLE.items())
    yield from ((f"JPEG turned by EXIF orientation {value}", oriented(value), "turned.jpg") for value in range(1, 9))
    yield "HEIC turned by its container", heic("cup-turned.heic"), "IMG_0001.HEIC"
    yield "JPEG named .png", WHOLE["jpg"](), "photo.png"
    yield "PNG named .exe", WHOLE["png"](), "setup.exe"
    yield "PNG with a path as its name", WHOLE["png"](), "../../../../etc/passwd"
    yield "PNG with no name", WHOLE["png"](), ""
    yield "16-bit grey PNG", deep(1, "grey16", ".png"), "deep.png"
    yield "16-bit grey and alpha PNG", deep(2, "grey16", ".png"), "deep.png"
    yield "16-bit RGB PNG", deep(3, "rgb16", ".png"), "deep.png"
    yield "16-bit RGBA PNG", deep(4, "rgb16", ".png"), "deep.png"
    yield "16-bit RGB TIFF", deep(3, "rgb16", ".tif"), "deep.tif"
    yield "1-bit PNG", saved(photo().convert("1"), "PNG"), "fax.png"
    yield "grey JPEG", saved(photo().convert("L"), "JPEG"), "grey.jpg"
    yield "grey and alpha PNG", saved(photo().convert("LA"), "PNG"), "grey.png"
    yield "palette PNG", palette(), "palette.png"
    yield "palette PNG with transparency", palette(transparency=bytes(range(0, 256, 4))), "palette.png"
    yield "RGB PNG with one clear colour", saved(photo(), "PNG", transparency=(255, 255, 255)), "key.png"
    yield (
        "interlaced PNG",
        bytes(pyvips.Image.new_from_array(np.asarray(photo())).pngsave_buffer(interlace=True)),
        "a.png",
    )
    yield "progressive JPEG", saved(photo(), "JPEG", progressive=True), "progressive.jpg"
    yield "CMYK JPEG without a profile", saved(photo().convert("CMYK"), "JPEG"), "print.jpg"
    yield "CMYK TIFF, LZW", saved(photo().convert("CMYK"), "TIFF", compression="tiff_lzw"), "print.tif"
    yield "JPEG inside a TIFF", saved(photo(), "TIFF", compression="jpeg"), "scan.tif"
    yield (
        "JPEG with a broken EXIF block",
        saved(photo(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f" + b"\xff" * 40),
        "a.jpg",
    )
    yield "JPEG with EXIF orientation 99", oriented(99), "a.jpg"
    yield "JPEG with a broken ICC profile", saved(photo(), "JPEG", icc_profile=b"not a profile" * 20), "a.jpg"
    yield "PNG with a broken ICC profile", saved(photo(), "PNG", icc_profile=wide_gamut()[:200]), "a.png"
    yield "JPEG with another RGB profile", saved(photo(), "JPEG", icc_profile=wide_gamut()), "wide.jpg"
    yield "grey JPEG with an RGB profile", saved(photo().convert("L"), "JPEG", icc_profile=wide_gamut()), "a.jpg"
    yield "animated PNG", frames("PNG", 5), "anim.png"
    yield "animated WebP", frames("WEBP", 5), "anim.webp"
    yield "TIFF of five pages", frames("TIFF", 5), "pages.tif"
    yield "JPEG with garbage behind it", WHOLE["jpg"]() + random.Random(1).randbytes(5000), "a.jpg"
    yield "PNG with garbage behind it", WHOLE["png"]() + b"garbage" * 100, "a.png"
    yield "JPEG with a ZIP behind it", WHOLE["jpg"]() + b"PK\x03\x04" + bytes(200), "a.jpg"
    yield (
        "JPEG with HTML and a script in its comment",
        saved(photo(), "JPEG", comment=b"<html><script>alert(1)</script>"),
        "a.html",
    )
    yield "TIFF whose directory names itself as the next", tiff_image(64, 64, next_ifd=8), "loop.tif"
    yield "TIFF of two directories that name each other", tiff_ring(), "ring.tif"
    yield "smallest picture taken", saved(photo(16, 16), "PNG"), "tiny.png"
    yield "longest picture taken", saved(Image.new("L", (32_768, 16), 200), "PNG"), "long.png"
    yield "JPEG that lies about its height", jpeg_resized(150, 96), "a.jpg"


def _unreadable() -> Iterator[tuple[str, bytes, str]]:
    for suffix, make in WHOLE.items():
        data = make()
        for share in (0.02, 0.3, 0.6, 0.95):
            yield f"{suffix} cut off at {share:.0%}", data[: int(len(data) * share)], f"cut.{suffix}"
    yield "no bytes at all", b"", "empty.png"
    yield "one byte", b"\x89", "one.png"
    yield "a thousand zero bytes", bytes(1000), "zero.png"
    yield "random bytes", random.Random(0).randbytes(20_000), "noise.jpg"
    yield "random bytes behind a PNG signature", b"\x89PNG\r\n\x1a\n" + random.Random(0).randbytes(20_000), "noise.png"
    yield "random bytes behind a JPEG signature", b"\xff\xd8\xff\xe0" + random.Random(0).randbytes(20_000), "noise.jpg"
    yield "random bytes in an AVIF box", b"\0\0\0\x1cftypavif" + random.Random(0).randbytes(5000), "noise.avif"
    yield "random bytes in a HEIC box", b"\0\0\0\x18ftypheic" + random.Random(0).randbytes(5000), "noise.heic"
    yield "GIF", saved(photo(), "GIF"), "photo.png"
    yield "animated GIF", frames("GIF", 5), "anim.gif"
    yield (
        "SVG",
        b'<svg xmlns="http://www.w3.org/2000/svg" width="99" height="99"><rect width="9" height="9"/></svg>',
        "a.svg",
    )
    yield (
        "SVG that reads a file",
        b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg><text>&x;</text></svg>',
        "a.png",
    )
    yield "HTML with a JPEG behind it", b"<!doctype html><script>alert(1)</script>" + WHOLE["jpg"](), "a.jpg"
    yield "PDF", b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\n%%EOF", "a.jpg"
    yield "PDF with a JPEG inside", b"%PDF-1.7\n" + WHOLE["jpg"]() + b"%%EOF", "a.jpg"
    yield "Photoshop document", b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 64, 64, 8, 3) + bytes(100), "a.psd"
    yield "PostScript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\nshowpage\n", "a.jpg"
    yield "ZIP", b"PK\x03\x04" + bytes(500), "a.png"
    yield "JPEG 2000", saved(photo(), "JPEG2000"), "a.jp2"
    yield "ICO", saved(photo(32, 32), "ICO"), "a.ico"
    yield "PPM", saved(photo(), "PPM"), "a.png"
    yield "PNG with a wrong CRC in its header", _bad_crc(b"IHDR"), "a.png"
    yield "PNG with a wrong CRC in its pixels", _bad_crc(b"IDAT"), "a.png"
    yield "PNG with flipped bytes in its pixels", flipped(WHOLE["png"](), 0.5), "a.png"
    yield "PNG without pixels", png(64, 64, b""), "a.png"
    yield "PNG with too few pixels", png(64, 64, zlib.compress(bytes(100))), "a.png"
    yield "PNG of no width", png(0, 64, zlib.compress(bytes(100))), "a.png"
    yield "PNG of an impossible bit depth", png(64, 64, zlib.compress(bytes(20_000)), depth=5), "a.png"
    yield "PNG whose text unpacks to 64 MB", _text_bomb(), "a.png"
    yield "1×100000", png(1, 100_000, zlib.compress(bytes(100_000 * 4))), "line.png"
    yield "8×8", saved(photo(8, 8), "PNG"), "icon.png"
    yield "TIFF without a directory", b"II*\0" + struct.pack("<I", 4_000_000), "a.tif"
    yield "TIFF with an empty directory", tiff([]), "a.tif"
    yield "TIFF whose pixels lie outside the file", tiff_image(64, 64)[:-3000], "a.tif"
    yield "TIFF tag that claims four thousand million values", tiff([(256, 4, 0xFFFFFFFF, 8), (257, 4, 1, 64)]), "a.tif"
    yield "TIFF of 32-bit floats", saved(photo().convert("F"), "TIFF"), "hdr.tif"
    yield "WebP that claims a canvas around another size", webp_header(64, 64), "a.webp"
    yield (
        "JPEG without a frame",
        b"\xff\xd8\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" + bytes(100) + b"\xff\xd9",
        "a.jpg",
    )
    yield "JPEG of no height", jpeg_resized(150, 0), "a.jpg"


def _too_large() -> Iterator[tuple[str, bytes, str]]:
    yield "PNG bomb: 20000×20000 in 400 kB", png(20_000, 20_000, zeros(20_000 * 20_001), depth=8, colour=0), "bomb.png"
    yield "PNG header of 200 megapixels without pixels", png(20_000, 10_000, b""), "huge.png"
    yield "PNG header of 2³¹-1 squared", png(2**31 - 1, 2**31 - 1, b""), "huge.png"
    yield "1-bit PNG of 30000×30000", png(30_000, 30_000, zeros(30_000 * 3751), depth=1, colour=0), "bomb.png"
    yield "JPEG of 65535×65535", jpeg_resized(65_535, 65_535), "huge.jpg"
    yield "TIFF header of 4000 megapixels", tiff_image(63_000, 63_000), "huge.tif"
    yield "TIFF header of 2³² - 1 columns", tiff_image(0xFFFFFFFF, 64), "huge.tif"
    yield (
        "BMP header of 30000×30000",
        b"BM"
        + struct.pack("<IHHI", 1000, 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, 30_000, 30_000, 1, 24, 0, 0, 0, 0, 0, 0)
        + bytes(1000),
        "huge.bmp",
    )
    yield (
        "BMP of negative width",
        b"BM"
        + struct.pack("<IHHI", 1000, 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, -64, 64, 1, 24, 0, 0, 0, 0, 0, 0)
        + bytes(1000),
        "a.bmp",
    )
    yield "WebP that claims 16383×16383", webp_lossless_header(16_383, 16_383), "huge.webp"
    yield "WebP whose canvas claims 2²⁴ squared", webp_header(2**24, 2**24), "huge.webp"
    yield "100000×16", png(100_000, 16, zlib.compress(bytes(16 * 300_001))), "long.png"
    yield "TIFF of 600 pages", frames("TIFF", 600, (16, 16)), "pages.tif"
    yield "animated WebP of 600 frames", frames("WEBP", 600, (16, 16)), "anim.webp"
    yield "animated PNG of 600 frames", frames("PNG", 600, (16, 16)), "anim.png"


def _bad_crc(kind: bytes) -> bytes:
    data = bytearray(WHOLE["png"]())
    at = data.index(kind)
    length = struct.unpack(">I", data[at - 4 : at])[0]
    data[at + 4 + length] ^= 0xFF
    return bytes(data)


def _text_bomb() -> bytes:
    return png(64, 64, zlib.compress(bytes(64 * 193)), chunk(b"zTXt", b"Comment\0\0" + zeros(64 << 20)))


KILLS = [
    # pi_heif 1.4 follows a null pointer when a metadata item is of a kind it does not know.
    ("HEIC that crashes its decoder", heic("cup-turned.heic").replace(b"Exif", b"Exi\xff", 1), "IMG_0002.HEIC"),
]

HOSTILE: list[HostileFile] = [
    HostileFile(name, data, filename, expected)
    for expected, files in ((ACCEPTED, _odd_but_good()), (UNREADABLE, _unreadable()), (TOO_LARGE, _too_large()))
    for name, data, filename in files
] + [HostileFile(name, data, filename, UNREADABLE, kills=True) for name, data, filename in KILLS]
