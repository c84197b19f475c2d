"""Tiles cover a picture and go together again without a trace."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pergai.imaging.picture import RGB
from pergai.imaging.tiles import Canvas, plan


def rebuilt(pixels: RGB, side: int, margin: int, blend: int, scale: int = 1, spoil: int = 0) -> RGB:
    """Cut, enlarge by repetition, optionally spoil each tile's rim, put together."""
    grid = plan(*pixels.shape[:2], side, margin=margin, blend=blend)
    canvas = Canvas(grid, scale)
    for index in range(len(grid.tops)):
        tiles = []
        for tile in grid.row(pixels, index):
            big = tile.repeat(scale, axis=0).repeat(scale, axis=1)
            if spoil:
                rim = spoil * scale
                kept = big[rim:-rim, rim:-rim].copy()
                big = 255 - big
                big[rim:-rim, rim:-rim] = kept
            tiles.append(big)
        canvas.write(index, tiles)
    return canvas.pixels


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(41, 120), st.integers(0, 8), st.integers(1, 4))
def test_tiles_of_any_picture_go_together_exactly(height: int, width: int, side: int, margin: int, blend: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    np.testing.assert_array_equal(rebuilt(pixels, side, margin, blend), pixels)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(60, 512))
def test_tiles_have_one_size_within_the_limit_and_overlap_enough(height: int, width: int, side: int) -> None:
    grid = plan(height, width, side, margin=8, blend=8)
    assert grid.height <= side
    assert grid.width <= side
    for length, size, starts in ((height, grid.height, grid.tops), (width, grid.width, grid.lefts)):
        assert starts[0] == 0
        assert starts[-1] + size == length
        assert all(before + size - after >= 24 for before, after in pairwise(starts))


def test_the_rim_of_a_tile_never_shows(photos: dict[str, RGB]) -> None:
    photo = photos["coffee"]
    out = rebuilt(photo, 160, margin=8, blend=8, scale=2, spoil=8)
    inner = slice(16, -16)  # at the picture's own border the rim is all there is
    np.testing.assert_array_equal(out[inner, inner], photo.repeat(2, axis=0).repeat(2, axis=1)[inner, inner])


def test_neighbours_that_differ_fade_into_each_other() -> None:
    grid = plan(64, 160, 100, margin=4, blend=16)
    canvas = Canvas(grid, 1)
    canvas.write(0, [np.full((64, grid.width, 3), value, np.uint8) for value in (100, 140)])
    line = canvas.pixels[32, :, 0].astype(int)
    assert line[0] == 100
    assert line[-1] == 140
    assert np.diff(line).min() >= 0
    assert np.diff(line).max() <= 5


def test_tiles_too_small_for_their_overlap_are_refused() -> None:
    with pytest.raises(ValueError, match="too small"):
        plan(100, 100, 40, margin=8, blend=8)
