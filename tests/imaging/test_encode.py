"""Encoding: the pixels, the colour tag and the provenance that a client finds in the file."""

from __future__ import annotations

import io
import string
import struct
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pergai.errors import TooLarge
from pergai.imaging.colour import srgb_profile
from pergai.imaging.decode import decode, probe
from pergai.imaging.encode import ImageFormat, encode
from pergai.imaging.fidelity import LIMITS, receipt, require
from pergai.imaging.picture import RGB, Alpha
from pergai.imaging.provenance import LONGEST_TEXT, SOURCE_TYPES, read_provenance, xmp_packet

FORMATS: tuple[ImageFormat, ...] = get_args(ImageFormat)
LOSSLESS: tuple[ImageFormat, ...] = ("png", "webp", "tiff")
RECORD = {
    "generation": "0193",
    "seed": 2**63 - 1,
    "pipeline": "render",
    "model": "u2netp",
    "scene": "marble",
    "prompt": "gold & <silver>",
}


@pytest.fixture(scope="module")
def cup(photos: dict[str, RGB]) -> RGB:
    """A piece of a real photo, where a whole one would only take longer."""
    return np.ascontiguousarray(photos["coffee"][100:228, 150:300])


def fade(pixels: RGB) -> Alpha:
    """Clear on the left, solid on the right."""
    return np.ascontiguousarray(
        np.broadcast_to(np.linspace(0, 255, pixels.shape[1]).astype(np.uint8), pixels.shape[:2])
    )


# --- pixels ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", LOSSLESS)
@pytest.mark.parametrize("name", ["coffee", "chelsea", "motorcycle", "rocket", "astronaut"])
def test_a_lossless_format_gives_every_pixel_back(photos: dict[str, RGB], name: str, format: ImageFormat) -> None:
    assert np.array_equal(decode(encode(photos[name], None, format)).pixels, photos[name])


@pytest.mark.parametrize("format", ["jpeg", "avif"])
@pytest.mark.parametrize("name", ["coffee", "chelsea", "motorcycle", "rocket", "astronaut"])
def test_a_lossy_format_stays_within_its_limit(photos: dict[str, RGB], name: str, format: ImageFormat) -> None:
    everywhere = np.ones(photos[name].shape[:2], bool)
    require(receipt(photos[name], everywhere, decode(encode(photos[name], None, format)).pixels), LIMITS[format])


@pytest.mark.parametrize("format", ["jpeg", "avif"])
def test_even_noise_and_coloured_lines_stay_within_the_limit(photos: dict[str, RGB], format: ImageFormat) -> None:
    """What codecs find hardest: no two pixels alike, film grain, and red on blue."""
    dice = np.random.default_rng(3)
    noise = dice.integers(0, 256, (256, 256, 3), dtype=np.uint8)
    grain = np.clip(photos["coffee"] + dice.normal(0, 12, photos["coffee"].shape), 0, 255).astype(np.uint8)
    lines = np.full((256, 256, 3), (0, 0, 200), np.uint8)
    lines[::7] = (255, 0, 0)
    lines[:, ::5] = (0, 255, 0)
    for pixels in (noise, grain, lines):
        everywhere = np.ones(pixels.shape[:2], bool)
        require(receipt(pixels, everywhere, decode(encode(pixels, None, format)).pixels), LIMITS[format])


@pytest.mark.parametrize("format", LOSSLESS)
def test_alpha_and_the_colours_under_it_come_back(cup: RGB, format: ImageFormat) -> None:
    alpha = fade(cup)
    picture = decode(encode(cup, alpha, format))
    assert np.array_equal(picture.alpha, alpha)
    assert np.array_equal(picture.pixels, cup)


def test_avif_keeps_alpha_within_a_few_levels(cup: RGB) -> None:
    alpha = fade(cup)
    stored = decode(encode(cup, alpha, "avif")).alpha
    assert stored is not None
    assert np.abs(stored.astype(int) - alpha).max() <= 8


def test_jpeg_lays_a_cut_out_on_white(cup: RGB) -> None:
    pixels = cup
    stored = decode(encode(pixels, fade(pixels), "jpeg"))
    share = fade(pixels)[:, :, None] / 255
    assert stored.alpha is None
    assert np.abs(stored.pixels - (pixels * share + 255 * (1 - share))).max() <= 32
    assert stored.pixels[:, 0].min() >= 250


@pytest.mark.parametrize("format", FORMATS)
def test_a_matte_comes_back_as_a_matte(cup: RGB, format: ImageFormat) -> None:
    matte = np.dstack([fade(cup)] * 3)
    data = encode(matte, None, format, grey=True)
    assert np.abs(decode(data).pixels.astype(int) - matte).max() <= (0 if format in LOSSLESS else 8)
    if format in ("png", "jpeg"):
        assert probe(data).mode == "L"


def test_a_lower_quality_makes_a_smaller_file(cup: RGB) -> None:
    for format in ("jpeg", "webp", "avif"):
        sizes = [len(encode(cup, None, format, quality=quality)) for quality in (None, 80, 40)]
        assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("format", FORMATS)
def test_the_same_picture_gives_the_same_bytes(cup: RGB, format: ImageFormat) -> None:
    packet = xmp_packet("composite", RECORD)
    first, second = (encode(cup, None, format, xmp=packet) for _ in range(2))
    assert first == second


def test_a_size_the_format_cannot_hold_is_refused() -> None:
    ribbon = np.zeros((16, 16_384, 3), np.uint8)
    with pytest.raises(TooLarge, match="16383"):
        encode(ribbon, None, "webp")
    assert decode(encode(ribbon, None, "png")).width == 16_384


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("dpi", [72, 300])
def test_every_format_keeps_its_size_in_print(cup: RGB, format: ImageFormat, dpi: int) -> None:
    with Image.open(io.BytesIO(encode(cup, None, format, dpi=dpi))) as image:
        across, down = image.info.get("dpi") or (image.getexif()[282], image.getexif()[283])
        assert (float(across), float(down)) == pytest.approx((dpi, dpi), abs=0.01)
        if format in ("webp", "avif"):
            assert image.getexif()[296] == 2, "an inch"
    with Image.open(io.BytesIO(encode(cup, None, format))) as image:
        assert 282 not in image.getexif()


def test_a_size_in_print_changes_no_pixel(cup: RGB) -> None:
    for format in FORMATS:
        plain, print_ = encode(cup, None, format), encode(cup, None, format, dpi=300)
        assert np.array_equal(decode(plain).pixels, decode(print_).pixels)


def test_a_tiff_is_compressed_and_has_eight_bits(cup: RGB) -> None:
    data = encode(cup, fade(cup), "tiff")
    assert probe(data).mode == "RGBA"
    assert len(data) < cup.shape[0] * cup.shape[1] * 4


# --- colour ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", FORMATS)
def test_a_result_is_tagged_as_srgb(cup: RGB, format: ImageFormat) -> None:
    with Image.open(io.BytesIO(encode(cup, None, format))) as image:
        assert image.info["icc_profile"] == srgb_profile()


def test_a_grey_png_says_srgb_without_an_rgb_profile(cup: RGB) -> None:
    data = encode(cup, None, "png", grey=True)
    assert b"sRGB" in data
    assert b"iCCP" not in data


def test_the_profile_carries_no_date() -> None:
    assert struct.unpack(">6H", srgb_profile()[24:36]) == (2000, 1, 1, 0, 0, 0)


# --- provenance ------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("ai_made", SOURCE_TYPES)
def test_every_format_says_how_the_picture_was_made(cup: RGB, format: ImageFormat, ai_made: str) -> None:
    said = read_provenance(encode(cup, None, format, xmp=xmp_packet(ai_made, RECORD)))
    assert said["DigitalSourceType"] == SOURCE_TYPES[ai_made]
    assert said["CreatorTool"].startswith("pergai ")
    assert {name: said[name] for name in RECORD} == {name: str(value) for name, value in RECORD.items()}


def test_source_types_are_terms_of_the_iptc_vocabulary() -> None:
    terms = {"compositeSynthetic", "compositeWithTrainedAlgorithmicMedia", "algorithmicallyEnhanced"}
    assert set(SOURCE_TYPES.values()) == {f"http://cv.iptc.org/newscodes/digitalsourcetype/{term}" for term in terms}


def test_only_what_a_trained_model_painted_names_an_ai_system() -> None:
    assert b"AISystemUsed>u2netp<" in xmp_packet("algorithmic", RECORD)
    assert b"AISystemUsed" not in xmp_packet("composite", RECORD)
    assert b"AISystemUsed" not in xmp_packet("enhanced", RECORD)


def test_a_packet_can_be_found_by_scanning_the_file(cup: RGB) -> None:
    """ISO 16684-1 wants it uncompressed, in UTF-8, between its two markers."""
    for format in FORMATS:
        data = encode(cup, None, format, xmp=xmp_packet("composite", RECORD))
        assert data.index(b"<?xpacket begin=") < data.index(b"compositeSynthetic") < data.index(b'<?xpacket end="r"?>')


@settings(derandomize=True, max_examples=200, deadline=None)
@given(prompt=st.text(max_size=300))
def test_any_prompt_survives_but_for_what_xml_cannot_hold(prompt: str) -> None:
    data = encode(np.zeros((16, 16, 3), np.uint8), None, "png", xmp=xmp_packet("composite", {"prompt": prompt}))
    kept = "".join(
        c for c in prompt if c in "\t\n\r" or (c >= " " and not "\ud800" <= c <= "\udfff" and c not in "\ufffe\uffff")
    )
    assert read_provenance(data).get("prompt", "") == kept.replace("\r\n", "\n").replace("\r", "\n")


@pytest.mark.parametrize("letter", ["&", "<", "é", "茶", "🍵", *string.ascii_letters[:1]])
def test_the_longest_prompts_fit_into_a_jpeg(letter: str) -> None:
    record = {"prompt": letter * 100_000, "negativePrompt": letter * 100_000}
    said = read_provenance(encode(np.zeros((16, 16, 3), np.uint8), None, "jpeg", xmp=xmp_packet("composite", record)))
    assert said["prompt"] == letter * LONGEST_TEXT


def test_foreign_and_broken_packets_are_no_provenance() -> None:
    pixels = np.zeros((16, 16, 3), np.uint8)
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><x>&b;</x>'
    for packet in (b"", b"<x:xmpmeta", bomb, b"<x/>"):
        assert read_provenance(encode(pixels, None, "png", xmp=packet)) == {}
