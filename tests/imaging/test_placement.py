"""Where a product stands on its canvas, and what happens to its pixels on the way there."""

from __future__ import annotations

import numpy as np
import pytest

from pergai.imaging.picture import Matte
from pergai.imaging.placement import Spot, bounding_box, place


def product(width: int = 40, height: int = 80, margin: int = 10) -> Matte:
    """A product of random pixels with a solid alpha in a clear frame."""
    random = np.random.default_rng(5)
    size = (height + 2 * margin, width + 2 * margin)
    alpha = np.zeros(size, np.uint8)
    alpha[margin : margin + height, margin : margin + width] = 255
    return Matte(alpha, random.integers(0, 256, (*size, 3), dtype=np.uint8))


def spot(height: float = 0.5, width: float = 0.9, x: float = 0.5, y: float = 0.8, anchor: str = "bottom") -> Spot:
    return Spot(height=height, width=width, x=x, y=y, anchor=anchor)  # type: ignore[arg-type]


def test_the_bounding_box_ignores_what_is_almost_clear() -> None:
    alpha = np.zeros((20, 30), np.uint8)
    alpha[5:9, 6:16] = 200
    alpha[0, 0] = 3
    box = bounding_box(alpha)
    assert box is not None
    assert (box.left, box.top, box.right, box.bottom) == (6, 5, 16, 9)


def test_an_empty_matte_is_placed_nowhere() -> None:
    assert place(Matte(np.zeros((10, 10), np.uint8), np.zeros((10, 10, 3), np.uint8)), 50, 50, spot()) is None


def test_at_its_own_size_the_product_is_moved_and_not_resampled() -> None:
    matte = product()
    placed = place(matte, 200, 160, spot(height=0.5))
    assert placed is not None
    assert placed.scale == 1.0
    box = placed.box
    assert (box.width, box.height, box.bottom) == (40, 80, 128)
    assert np.array_equal(placed.foreground[box.top : box.bottom, box.left : box.right], matte.foreground[10:90, 10:50])


def test_a_scale_within_three_percent_of_one_is_one() -> None:
    placed = place(product(), 200, 160, spot(height=0.51))
    assert placed is not None
    assert placed.scale == 1.0


@pytest.mark.parametrize(("anchor", "top"), [("bottom", 50 - 40), ("center", 50 - 20), ("top", 50)])
def test_the_anchor_says_which_point_of_the_product_y_places(anchor: str, top: int) -> None:
    placed = place(product(), 100, 100, spot(height=0.4, y=0.5, anchor=anchor))
    assert placed is not None
    assert placed.box.top == top
    assert placed.box.left == 40


def test_the_tighter_of_height_and_width_decides_the_scale() -> None:
    wide = place(product(width=200, height=50), 100, 100, spot(height=0.5, width=0.5))
    assert wide is not None
    assert wide.box.width == 50
    assert wide.box.height in (12, 13)


def test_what_lies_outside_the_canvas_is_cut_off() -> None:
    placed = place(product(), 100, 100, spot(height=0.8, x=0.0, y=0.5, anchor="center"))
    assert placed is not None
    assert placed.box.left == -20
    assert placed.alpha[50, 0] == 255
    assert placed.alpha.shape == (100, 100)


def test_shrinking_leaves_no_trace_of_what_was_behind_the_product() -> None:
    alpha = np.zeros((100, 100), np.uint8)
    alpha[20:80, 20:80] = 255
    alpha[20:80, 50:54] = 128
    foreground = np.zeros((100, 100, 3), np.uint8)
    foreground[...] = (0, 255, 0)
    foreground[alpha > 0] = (200, 30, 30)
    placed = place(Matte(alpha, foreground), 60, 60, spot(height=0.4))
    assert placed is not None
    shown = placed.alpha > 8
    assert shown.any()
    assert np.abs(placed.foreground[shown].astype(int) - (200, 30, 30)).max() <= 4


def test_shrinking_averages_and_does_not_skip() -> None:
    alpha = np.full((128, 128), 255, np.uint8)
    stripes = np.zeros((128, 128, 3), np.uint8)
    stripes[::2] = 255
    placed = place(Matte(alpha, stripes), 32, 32, spot(height=1.0, width=1.0, y=1.0))
    assert placed is not None
    middle = placed.foreground[8:24, 8:24].astype(int)
    assert np.abs(middle - 128).max() < 20
