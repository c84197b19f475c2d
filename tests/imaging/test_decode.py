"""Decoding: whatever comes in, the picture is upright, sRGB, 8 bits, with straight alpha."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import pyvips
from PIL import Image

from pergai.errors import PergaiError, TooLarge, UnreadableImage
from pergai.imaging.colour import srgb_profile, to_8_bits
from pergai.imaging.decode import decode, probe
from pergai.imaging.picture import RGB
from tests.imaging.hostile import (
    ACCEPTED,
    DATA,
    HOSTILE,
    HostileFile,
    chunk,
    frames,
    jpeg_resized,
    palette,
    photo,
    png,
    saved,
    webp_lossless_header,
    wide_gamut,
)

CUP = np.asarray(photo())
TURNED = {
    1: CUP,
    2: CUP[:, ::-1],
    3: CUP[::-1, ::-1],
    4: CUP[::-1],
    5: CUP.swapaxes(0, 1),
    6: np.rot90(CUP, -1),
    7: CUP[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90(CUP),
}
"""What an image with each EXIF orientation shows."""

EXACT = {"PNG": {}, "TIFF": {}, "WEBP": {"lossless": True}, "BMP": {}}
NEAR = {"JPEG": {"quality": 98, "subsampling": "4:4:4"}, "AVIF": {"quality": 98, "subsampling": "4:4:4"}}


def difference(one: RGB, other: RGB) -> int:
    assert one.shape == other.shape
    return int(np.abs(one.astype(int) - other.astype(int)).max())


# --- formats ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", EXACT)
def test_a_lossless_file_decodes_to_the_very_pixels(format: str) -> None:
    picture = decode(saved(photo(), format, **EXACT[format]))
    assert difference(picture.pixels, CUP) == 0
    assert picture.alpha is None
    assert picture.notes == ()


@pytest.mark.parametrize("format", NEAR)
def test_a_lossy_file_decodes_to_nearly_the_pixels(format: str) -> None:
    assert difference(decode(saved(photo(), format, **NEAR[format])).pixels, CUP) < 16


def test_a_heic_photo_decodes_and_is_turned_as_its_container_says() -> None:
    plain, turned = decode(DATA / "cup.heic"), decode(DATA / "cup-turned.heic")
    assert (plain.width, plain.height) == (96, 64)
    assert difference(turned.pixels, np.rot90(plain.pixels, -1)) < 8
    assert plain.pixels[10:50, 30:60].mean() > 60  # the cup, not a black frame


def test_a_path_and_bytes_decode_alike(sample_photo: Path) -> None:
    assert difference(decode(sample_photo).pixels, decode(sample_photo.read_bytes()).pixels) == 0


def test_the_format_is_what_the_content_says(tmp_path: Path) -> None:
    misnamed = tmp_path / "photo.png"
    misnamed.write_bytes(saved(photo(), "JPEG"))
    assert probe(misnamed).format == "jpeg"


@pytest.mark.parametrize("file", [file for file in HOSTILE if not file.kills], ids=lambda file: file.name)
def test_every_odd_file_decodes_or_says_why_not(file: HostileFile) -> None:
    """The limits on sides and frames are the inspection's, so a file it refuses may decode here."""
    try:
        picture = decode(file.data)
    except PergaiError as error:
        assert isinstance(error, (UnreadableImage, TooLarge))
        assert file.expected != ACCEPTED
        assert 10 < len(error.detail) < 300
    else:
        assert picture.pixels.dtype == np.uint8
        assert picture.pixels.shape == (picture.height, picture.width, 3)
        assert picture.pixels.flags.c_contiguous
        assert picture.pixels.flags.writeable


# --- the header ------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_a_probe_gives_the_size_upright(format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    info = probe(saved(photo(), format, exif=exif))
    assert (info.width, info.height) == (TURNED[orientation].shape[1], TURNED[orientation].shape[0])


def test_a_probe_says_frames_alpha_and_mode() -> None:
    info = probe(frames("WEBP", 5))
    assert (info.format, info.frames) == ("webp", 5)
    assert probe(saved(photo().convert("RGBA"), "PNG")).has_alpha
    assert not probe(saved(photo(), "PNG")).has_alpha
    assert probe(saved(photo().convert("CMYK"), "TIFF")).mode == "CMYK"
    assert probe(deep_png(CUP)).mode == "RGB;16"


@pytest.mark.parametrize(
    "data",
    [png(20_000, 10_000, b""), jpeg_resized(65_535, 65_535), webp_lossless_header(16_383, 16_383)],
    ids=["png", "jpeg", "webp"],
)
def test_too_many_pixels_are_refused_by_the_header(data: bytes) -> None:
    with pytest.raises(TooLarge, match="megapixels; at most 100 are allowed"):
        decode(data)


def test_the_limit_on_pixels_is_exact() -> None:
    data = saved(photo(100, 50), "PNG")
    assert decode(data, max_pixels=5000).width == 100
    with pytest.raises(TooLarge):
        decode(data, max_pixels=4999)


def test_a_probe_decodes_no_pixel() -> None:
    """The header and the EXIF block are whole, the pixels are missing."""
    exif = Image.Exif()
    exif[0x0112] = 6
    data = saved(photo(), "PNG", exif=exif)
    info = probe(data[: data.index(b"IDAT") + 20])
    assert (info.width, info.height) == (100, 150)
    assert probe(png(64, 32, b"")).width == 64


# --- orientation -----------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_exif_orientation_is_applied(format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = decode(saved(photo(), format, exif=exif, **EXACT.get(format, NEAR.get(format, {}))))
    assert difference(picture.pixels, TURNED[orientation]) < 16


def test_alpha_and_16_bits_are_turned_too() -> None:
    turned = photo().convert("RGBA")
    turned.putalpha(Image.fromarray(CUP[:, :, 1]))
    exif = Image.Exif()
    exif[0x0112] = 6
    assert np.array_equal(decode(saved(turned, "PNG", exif=exif)).alpha, np.rot90(CUP[:, :, 1], -1))
    tiff = pyvips.Image.new_from_array(CUP.astype(np.uint16) * 257).copy(interpretation="rgb16")
    tiff.set_type(pyvips.GValue.gint_type, "orientation", 6)
    assert difference(decode(tiff.write_to_buffer(".tif")).pixels, TURNED[6]) == 0


def test_a_broken_exif_block_is_ignored() -> None:
    data = saved(photo(), "JPEG", quality=98, subsampling="4:4:4", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f" + b"\xff" * 40)
    assert difference(decode(data).pixels, CUP) < 16


# --- colour ----------------------------------------------------------------------------------------


def test_a_profile_is_converted_to_srgb() -> None:
    """The profile is sRGB with the red and green primaries swapped."""
    picture = decode(saved(photo(), "PNG", icc_profile=wide_gamut()))
    assert difference(picture.pixels, CUP[:, :, [1, 0, 2]]) <= 1
    assert picture.notes == ()


def test_a_profile_is_applied_to_all_16_bits() -> None:
    picture = decode(deep_png(CUP, wide_gamut()))
    assert difference(picture.pixels, CUP[:, :, [1, 0, 2]]) <= 1


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "AVIF", "TIFF"])
def test_a_profile_that_is_srgb_anyway_changes_no_pixel(format: str) -> None:
    how = EXACT.get(format, NEAR.get(format, {}))
    tagged, plain = saved(photo(), format, icc_profile=srgb_profile(), **how), saved(photo(), format, **how)
    assert difference(decode(tagged).pixels, decode(plain).pixels) == 0


def test_a_grey_profile_is_applied() -> None:
    """Linear grey 64 is a quarter of the light, which sRGB writes as 137."""
    ramp = np.tile(np.arange(256, dtype=np.uint8), (16, 1))
    picture = decode(saved(Image.fromarray(ramp), "PNG", icc_profile=linear_grey()))
    assert picture.pixels[0, [0, 64, 255]].tolist() == [[0] * 3, [137] * 3, [255] * 3]


def test_a_broken_profile_is_ignored_and_noted() -> None:
    for data in (
        saved(photo(), "PNG", icc_profile=b"not a profile" * 20),
        saved(photo(), "PNG", icc_profile=linear_grey()),
        deep_png(CUP, b"not a profile" * 20),
    ):
        picture = decode(data)
        assert picture.notes == ("icc_ignored",)
        assert difference(picture.pixels, CUP) == 0


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_without_a_profile_is_printed_on_coated_paper(format: str) -> None:
    """Paper is white, ink on it is not as loud as a screen's primaries, and black ink is dark."""
    inks = np.zeros((32, 128, 4), np.uint8)
    for column, ink in enumerate([(0, 0, 0, 0), (255, 0, 0, 0), (0, 255, 0, 0), (0, 0, 0, 255)]):
        inks[:, column * 32 : column * 32 + 32] = ink
    picture = decode(saved(Image.fromarray(inks, "CMYK"), format, quality=95))
    paper, cyan, magenta, black = picture.pixels[16, 16::32].astype(int)
    assert picture.notes == ("cmyk_without_profile",)
    assert paper.min() >= 250
    assert cyan[0] < 60 < 120 < cyan[1] < 200 < cyan[2] < 255
    assert magenta[0] > 190
    assert magenta[1] < 60
    assert black.max() < 60


# --- depth and channels ----------------------------------------------------------------------------


def test_16_bits_are_rounded_for_every_value() -> None:
    every = np.arange(65_536, dtype=np.uint16).reshape(256, 256)
    assert np.array_equal(to_8_bits(every), np.round(every / 257))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize(("bands", "interpretation"), [(1, "grey16"), (3, "rgb16"), (4, "rgb16")])
def test_16_bit_files_are_rounded_not_cut(bands: int, interpretation: str, suffix: str) -> None:
    values = np.random.default_rng(1).integers(0, 65_536, (32, 48, bands), dtype=np.uint16)
    image = pyvips.Image.new_from_array(values).copy(interpretation=interpretation)
    picture = decode(image.write_to_buffer(suffix))
    expected = np.round(values / 257).astype(np.uint8)
    assert difference(picture.pixels, np.repeat(expected, 3, axis=2) if bands == 1 else expected[:, :, :3]) == 0
    if bands == 4:
        assert np.array_equal(picture.alpha, expected[:, :, 3])


def test_1_bit_and_grey_become_three_equal_channels() -> None:
    for mode in ("1", "L"):
        expected = np.asarray(photo().convert(mode).convert("RGB"))
        assert difference(decode(saved(photo().convert(mode), "PNG")).pixels, expected) == 0


def test_palette_and_its_transparency_are_unfolded() -> None:
    clear = bytes(range(0, 256, 4))
    picture = decode(palette(transparency=clear))
    indices = np.asarray(photo().quantize(64))
    assert np.array_equal(picture.alpha, np.frombuffer(clear, np.uint8)[indices])
    assert difference(picture.pixels, np.asarray(photo().quantize(64).convert("RGB"))) == 0


def test_a_single_clear_colour_becomes_alpha() -> None:
    key = photo().getpixel((3, 3))
    picture = decode(saved(photo(), "PNG", transparency=key))
    assert np.array_equal(picture.alpha == 0, (key == CUP).all(axis=2))


def test_alpha_is_straight_and_none_when_solid() -> None:
    image = photo().convert("RGBA")
    assert decode(saved(image, "PNG")).alpha is None
    image.putalpha(Image.fromarray(CUP[:, :, 0]))
    picture = decode(saved(image, "PNG"))
    assert difference(picture.pixels, CUP) == 0
    assert np.array_equal(picture.alpha, CUP[:, :, 0])


@pytest.mark.parametrize("depth", [8, 16])
def test_premultiplied_tiff_alpha_is_made_straight(depth: int) -> None:
    """A half-clear 100 is a colour of 200."""
    whole = 255 if depth == 8 else 65_535
    planes = np.full((32, 32, 4), 100 * whole // 255, np.uint8 if depth == 8 else np.uint16)
    planes[:, :, 3] = whole // 2
    image = pyvips.Image.new_from_array(planes).copy(interpretation="srgb" if depth == 8 else "rgb16")
    data = image.write_to_buffer(".tif")
    straight, associated = (struct.pack("<HHIH", 338, 3, 1, kind) for kind in (2, 1))
    assert straight in data
    picture = decode(data.replace(straight, associated))
    assert abs(int(picture.pixels[5, 5, 0]) - 200) <= 2
    assert picture.alpha is not None
    assert picture.alpha[5, 5] in (127, 128)


@pytest.mark.parametrize(
    ("format", "note"),
    [("PNG", "animated_first_frame"), ("WEBP", "animated_first_frame"), ("TIFF", "multipage_first_page")],
)
def test_of_several_frames_the_first_is_taken_and_said_so(format: str, note: str) -> None:
    picture = decode(frames(format, 5))
    assert picture.notes == (note,)
    assert picture.pixels[3, 3].max() <= 4  # the first frame is black


# --- damage ----------------------------------------------------------------------------------------


def test_one_flipped_bit_in_a_png_is_noticed() -> None:
    data = bytearray(saved(photo(), "PNG"))
    data[len(data) // 2] ^= 1
    with pytest.raises(UnreadableImage):
        decode(bytes(data))


def test_what_the_file_is_instead_is_named() -> None:
    for data, name in (
        (saved(photo(), "GIF"), "a GIF"),
        (b"%PDF-1.7", "a PDF"),
        (b"  <svg/>", "an SVG"),
        (b"", "empty"),
    ):
        with pytest.raises(UnreadableImage, match=name):
            decode(data)


# --- materials -------------------------------------------------------------------------------------


def deep_png(pixels: RGB, icc: bytes | None = None) -> bytes:
    """A 16-bit RGB PNG, written by hand so that any bytes can be its profile."""
    height, width = pixels.shape[:2]
    rows = (pixels.astype(">u2") * 257).astype(">u2").reshape(height, -1)
    packed = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    profile = [chunk(b"iCCP", b"icc\0\0" + zlib.compress(icc))] if icc else []
    return png(width, height, packed, *profile, depth=16)


def linear_grey() -> bytes:
    """A grey ICC profile (ICC.1:2022) with gamma 1."""
    text = "grey".encode("utf-16-be")
    name = b"mluc" + bytes(4) + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(text), 28) + text
    illuminant = struct.pack(">iii", 63_190, 65_536, 54_061)
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, 256)
    tags = {b"desc": name, b"cprt": name, b"wtpt": b"XYZ " + bytes(4) + illuminant, b"kTRC": curve}
    table, body, start = b"", b"", 132 + 12 * len(tags)
    for key, value in tags.items():
        table += struct.pack(">4sII", key, start + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    head = struct.pack(
        ">I4sI4s4s4s6H4s", start + len(body), b"lcms", 0x0430_0000, b"mntr", b"GRAY", b"XYZ ", *[1] * 6, b"acsp"
    )
    head = head.ljust(68, b"\0") + illuminant
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body
