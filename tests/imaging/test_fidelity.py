"""The receipt: what it measures, and that no alteration of the product passes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pergai.errors import ProductAltered
from pergai.imaging.decode import decode
from pergai.imaging.encode import encode
from pergai.imaging.fidelity import EXACT, LIMITS, LOSSY, Receipt, receipt, require
from pergai.imaging.picture import RGB


def disc(shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    inside: npt.NDArray[np.bool_] = (rows - shape[0] / 2) ** 2 + (columns - shape[1] / 2) ** 2 < (
        min(shape[:2]) / 3
    ) ** 2
    return inside


def test_an_untouched_product_has_a_receipt_of_zero(photos: dict[str, RGB]) -> None:
    where = disc(photos["coffee"].shape)
    found = receipt(photos["coffee"], where, photos["coffee"].copy())
    assert found == Receipt(0, 0.0, int(where.sum()))
    require(found, EXACT)


def test_what_happens_outside_the_matte_does_not_count(photos: dict[str, RGB]) -> None:
    where = disc(photos["coffee"].shape)
    scene = np.where(where[:, :, None], photos["coffee"], 255 - photos["coffee"])
    assert receipt(photos["coffee"], where, scene).max_difference == 0


@settings(derandomize=True, max_examples=100, deadline=None)
@given(row=st.integers(0, 39), column=st.integers(0, 59), channel=st.integers(0, 2), change=st.integers(1, 255))
def test_one_channel_of_one_pixel_is_enough(row: int, column: int, channel: int, change: int) -> None:
    reference = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    altered = reference.copy()
    altered[row, column, channel] = (int(altered[row, column, channel]) + change) % 256
    moved = abs(int(altered[row, column, channel]) - int(reference[row, column, channel]))
    found = receipt(reference, np.ones((40, 60), bool), altered)
    assert found.max_difference == moved
    assert found.mean_difference == pytest.approx(moved / (40 * 60 * 3))
    with pytest.raises(ProductAltered, match="differs from the source"):
        require(found, EXACT)


def test_both_numbers_are_limits() -> None:
    require(Receipt(32, 4.0, 9), LOSSY)
    for found in (Receipt(33, 0.1, 9), Receipt(5, 4.1, 9)):
        with pytest.raises(ProductAltered):
            require(found, LOSSY)


def test_lossless_formats_allow_nothing() -> None:
    assert LIMITS["png"] == LIMITS["webp"] == (0, 0.0)


@pytest.mark.parametrize("shift", [(0, 1), (1, 0)])
def test_a_product_moved_by_one_pixel_is_altered_even_in_a_jpeg(photos: dict[str, RGB], shift: tuple[int, int]) -> None:
    moved = np.roll(photos["coffee"], shift, axis=(0, 1))
    found = receipt(photos["coffee"], disc(moved.shape), decode(encode(moved, None, "jpeg")).pixels)
    with pytest.raises(ProductAltered):
        require(found, LIMITS["jpeg"])


def test_a_result_of_another_size_is_altered(photos: dict[str, RGB]) -> None:
    where = disc(photos["coffee"].shape)
    with pytest.raises(ProductAltered, match="599×400"):
        receipt(photos["coffee"], where, photos["coffee"][:, 1:])


def test_nothing_to_check_is_said_so(photos: dict[str, RGB]) -> None:
    nowhere = np.zeros(photos["coffee"].shape[:2], bool)
    assert receipt(photos["coffee"], nowhere, 255 - photos["coffee"]) == Receipt(0, 0.0, 0)
