"""`useSharp` (libvips) and its alternative (Pillow) make the same picture of a source."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from pergai.errors import TooLarge, UnreadableImage
from pergai.imaging.picture import RGB, Picture
from pergai.runners.upscale.preprocess import prepare


def both(path: Path, width: int | None = None, height: int | None = None) -> tuple[Picture, Picture]:
    return prepare(path, width, height, True), prepare(path, width, height, False)


def differ(one: Picture, other: Picture) -> tuple[float, int]:
    """Mean and greatest difference of the colours, in levels."""
    assert one.pixels.shape == other.pixels.shape
    difference = np.abs(one.pixels.astype(int) - other.pixels)
    return float(difference.mean()), int(difference.max())


def test_without_a_stated_size_the_pixels_are_the_files_own(sample_photo: Path) -> None:
    sharp, pillow = both(sample_photo)
    stored = np.asarray(Image.open(sample_photo).convert("RGB"))
    np.testing.assert_array_equal(sharp.pixels, stored)
    np.testing.assert_array_equal(pillow.pixels, stored)


@pytest.mark.parametrize("size", [(300, 200), (450, 300), (900, 600), (333, 217), (900, 200)], ids=str)
def test_both_resize_to_the_stated_size_and_agree(sample_photo: Path, size: tuple[int, int]) -> None:
    sharp, pillow = both(sample_photo, *size)
    assert (sharp.width, sharp.height) == size
    mean, most = differ(sharp, pillow)
    assert mean < 0.6
    assert most <= 16


def test_one_stated_side_keeps_the_shape(sample_photo: Path) -> None:
    for picture in (*both(sample_photo, 300, None), *both(sample_photo, None, 200)):
        assert (picture.width, picture.height) == (300, 200)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_both_turn_a_photo_upright(tmp_path: Path, photos: dict[str, RGB], orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(photos["coffee"]).save(tmp_path / "turned.jpg", quality=95, exif=exif)
    sharp, pillow = both(tmp_path / "turned.jpg")
    assert (sharp.width > sharp.height) == (orientation <= 4)
    assert differ(sharp, pillow)[1] <= 2


def test_both_convert_a_profile_to_srgb(tmp_path: Path, photos: dict[str, RGB]) -> None:
    swapped = _profile_with_red_and_blue_swapped()
    Image.fromarray(photos["coffee"]).save(tmp_path / "swapped.png", icc_profile=swapped)
    sharp, pillow = both(tmp_path / "swapped.png")
    assert differ(sharp, pillow)[0] < 1.0
    assert np.abs(sharp.pixels.astype(int) - photos["coffee"][..., ::-1]).mean() < 2


def _profile_with_red_and_blue_swapped() -> bytes:
    """sRGB whose red and blue primaries have changed places: as wrong colours as a converter can show."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    tags = {
        bytes(profile[at : at + 4]): at for at in range(132, 132 + 12 * int.from_bytes(profile[128:132], "big"), 12)
    }
    red, blue = tags[b"rXYZ"], tags[b"bXYZ"]
    profile[red + 4 : red + 12], profile[blue + 4 : blue + 12] = (
        profile[blue + 4 : blue + 12],
        profile[red + 4 : red + 12],
    )
    return bytes(profile)


def test_both_keep_alpha_and_no_clear_colour_bleeds_into_the_edge(tmp_path: Path) -> None:
    disc = np.zeros((200, 200, 4), np.uint8)
    disc[..., 1] = 255  # green where it is clear
    rows, columns = np.mgrid[:200, :200]
    disc[np.hypot(rows - 100, columns - 100) < 70] = (200, 30, 30, 255)
    Image.fromarray(disc).save(tmp_path / "disc.png")
    sharp, pillow = both(tmp_path / "disc.png", 120, 120)
    for picture in (sharp, pillow):
        assert picture.alpha is not None
        shown = picture.pixels[picture.alpha > 32]
        assert shown[:, 1].max() < 60
    assert sharp.alpha is not None
    assert pillow.alpha is not None
    assert np.abs(sharp.alpha.astype(int) - pillow.alpha).mean() < 0.6


def test_a_damaged_file_is_refused_by_both(tmp_path: Path, sample_photo: Path) -> None:
    (tmp_path / "half.png").write_bytes(sample_photo.read_bytes()[:200_000])
    for use_sharp in (True, False):
        with pytest.raises(UnreadableImage):
            prepare(tmp_path / "half.png", None, None, use_sharp)


def test_a_stated_size_beyond_the_limit_is_refused(sample_photo: Path) -> None:
    with pytest.raises(TooLarge, match="megapixels"):
        prepare(sample_photo, 60_000, 40_000, True)
