"""The product's own pixels on top of a picture, and the picture continued behind it."""

from __future__ import annotations

import numpy as np
import pytest

from pergai.imaging.composite import continue_behind, fill_behind, inside, over


def test_solid_pixels_are_the_products_and_clear_ones_the_backgrounds_exactly() -> None:
    random = np.random.default_rng(1)
    foreground = random.integers(0, 256, (40, 40, 3), dtype=np.uint8)
    background = random.integers(0, 256, (40, 40, 3), dtype=np.uint8)
    alpha = random.choice(np.array([0, 255], np.uint8), (40, 40))
    result = over(foreground, alpha, background)
    assert np.array_equal(result[alpha == 255], foreground[alpha == 255])
    assert np.array_equal(result[alpha == 0], background[alpha == 0])


def test_between_them_coverage_mixes_in_proportion() -> None:
    foreground, background = np.full((1, 1, 3), 200, np.uint8), np.full((1, 1, 3), 100, np.uint8)
    assert over(foreground, np.full((1, 1), 51, np.uint8), background)[0, 0, 0] == 120


def test_inside_keeps_its_distance_from_everything_that_is_not_solid() -> None:
    alpha = np.full((21, 21), 255, np.uint8)
    alpha[10, 10] = 254
    where = inside(alpha, margin=2)
    assert not where[8:13, 8:13].any()
    assert where[7, 10]
    assert not where[:2].any()
    assert not where[:, -2:].any()
    assert where.sum() == 17 * 17 - 25


def test_a_hole_is_filled_with_its_surroundings_and_nothing_else_changes() -> None:
    ramp = np.linspace(0, 1, 64, dtype=np.float32)
    picture = np.stack([np.tile(ramp, (64, 1))] * 3, -1)
    hole = np.zeros((64, 64), bool)
    hole[20:44, 20:44] = True
    damaged = picture.copy()
    damaged[hole] = 9.0
    filled = fill_behind(damaged, hole)
    assert np.array_equal(filled[~hole], picture[~hole])
    assert filled[hole].max() <= 1.0
    assert np.abs(filled - picture)[:, 18:22].max() < 0.1


@pytest.mark.parametrize("size", [(64, 64), (37, 53), (2, 9)])
def test_what_is_looked_at_of_a_hole_is_as_if_all_of_it_were_filled(size: tuple[int, int]) -> None:
    random = np.random.default_rng(2)
    picture = random.integers(0, 256, (*size, 3)).astype(np.float32)
    hole, seen = random.random(size) < 0.6, random.random(size) < 0.2
    filled = fill_behind(picture, hole, seen)
    assert np.array_equal(filled[seen], fill_behind(picture, hole)[seen])
    assert np.array_equal(filled[~seen], picture[~seen])


def test_a_picture_without_a_hole_comes_back_as_it_is() -> None:
    picture = np.random.default_rng(0).random((8, 9, 3), np.float32)
    assert np.array_equal(fill_behind(picture, np.zeros((8, 9), bool)), picture)


def test_a_texture_goes_on_at_the_rim_of_a_hole_and_is_not_drawn_out_into_dashes() -> None:
    random = np.random.default_rng(3)
    picture = random.uniform(0.8, 1.2, (60, 60, 3)).astype(np.float32)
    hole = np.zeros((60, 60), bool)
    hole[20:40, 20:40] = True
    filled = continue_behind(picture, hole)
    assert np.array_equal(filled[~hole], picture[~hole])
    into = np.abs(np.diff(filled[24:36, 20:23], axis=1)).mean()
    assert into > 0.7 * np.abs(np.diff(picture[24:36, 10:20], axis=1)).mean()


def test_a_thin_shadow_beside_a_hole_reaches_into_it() -> None:
    picture = np.ones((60, 60, 3), np.float32)
    picture[40] = 0.1
    hole = np.zeros((60, 60), bool)
    hole[20:40, 20:40] = True
    filled = continue_behind(picture, hole)
    assert filled[38:40, 24:36].max() < 0.2
    assert filled[20:24, 24:36].min() > 0.9


@pytest.mark.parametrize("degrees", [0, 30, 90, 140])
def test_a_line_that_meets_a_hole_runs_straight_on(degrees: int) -> None:
    y, x = np.mgrid[:96, :96] - 48.0
    turn = np.deg2rad(degrees)
    across = x * np.sin(turn) + y * np.cos(turn) - 14.0
    seam = 0.5 - 0.4 * np.exp(-((across / 1.5) ** 2))
    picture = np.repeat(seam[..., None], 3, axis=2).astype(np.float32)
    hole = np.hypot(x, y) < 30
    filled = continue_behind(np.where(hole[..., None], np.float32(0.9), picture), hole)
    off = np.abs(filled - picture)[hole & (np.hypot(x, y) > 27)]
    assert off.mean() < 0.005
    assert off.max() < 0.2
