"""Aspect ratios and resolutions."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pergai.errors import InvalidRatio, InvalidResolution
from pergai.imaging.ratios import (
    LONGEST_SIDE,
    POPULAR_RATIOS,
    SHORTEST_SIDE,
    Resolution,
    canvas_size,
    expand_size,
    parse_ratio,
    parse_resolution,
)

ratios = st.builds(Fraction, st.integers(1, 100), st.integers(1, 100)).filter(lambda r: Fraction(1, 10) <= r <= 10)
sides = st.integers(16, 8192)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("16:9", Fraction(16, 9)),
        ("1:1", Fraction(1)),
        ("4:5", Fraction(4, 5)),
        ("1.91:1", Fraction(191, 100)),
        (" 3 : 2 ", Fraction(3, 2)),
        ("1:10", Fraction(1, 10)),
    ],
)
def test_a_ratio_is_read_exactly(text: str, value: Fraction) -> None:
    assert parse_ratio(text) == value


@pytest.mark.parametrize(
    "text", ["", "16", "16:", "0:1", "1:0", "11:1", "1:11", "-1:2", "1:1:1", "a:b", "1e3:1", "٣:٢", "9" * 5000 + ":1"]
)
def test_a_wrong_ratio_is_refused_and_the_choices_are_named(text: str) -> None:
    with pytest.raises(InvalidRatio) as caught:
        parse_ratio(text)
    assert all(choice in caught.value.detail for choice in POPULAR_RATIOS)
    assert len(caught.value.detail) < 300


@pytest.mark.parametrize(("text", "budget"), [("1k", 1024**2), ("2K", 2048**2), ("4k", 4096**2)])
def test_a_k_is_a_budget_of_pixels(text: str, budget: int) -> None:
    assert parse_resolution(text) == Resolution(budget)


@pytest.mark.parametrize("text", ["1920x1080", "1920X1080", "1920×1080", " 1920 x 1080 "])
def test_a_size_is_width_by_height(text: str) -> None:
    assert parse_resolution(text) == Resolution(1920 * 1080, (1920, 1080))


@pytest.mark.parametrize(
    "text", ["", "3k", "63x64", "64x8193", "1920", "x", "-64x64", "1e3x64", "0x0", "9" * 5000 + "x64"]
)
def test_a_wrong_resolution_is_refused_and_the_choices_are_named(text: str) -> None:
    with pytest.raises(InvalidResolution) as caught:
        parse_resolution(text)
    assert all(word in caught.value.detail for word in ("1k", "2k", "4k", "WIDTHxHEIGHT", "64", "8192"))


def test_without_a_resolution_a_canvas_has_the_default_budget() -> None:
    assert canvas_size(Fraction(1), None, 1024**2) == (1024, 1024)
    assert canvas_size(Fraction(16, 9), None, 1024**2) == (1366, 768)


def test_a_size_that_agrees_with_the_ratio_is_taken_as_it_stands() -> None:
    assert canvas_size(Fraction(16, 9), parse_resolution("1920x1080"), 1) == (1920, 1080)
    assert expand_size(600, 400, Fraction(16, 9), parse_resolution("1365x768")) == (1365, 768)


def test_a_size_that_contradicts_the_ratio_gives_only_its_budget() -> None:
    assert canvas_size(Fraction(1), parse_resolution("2048x512"), 1) == (1024, 1024)
    assert expand_size(600, 400, Fraction(1), parse_resolution("2048x512")) == (1024, 1024)


def test_a_shape_whose_sides_would_be_too_long_is_refused() -> None:
    with pytest.raises(InvalidResolution, match="8192"):
        canvas_size(Fraction(10), parse_resolution("4k"), 1)
    with pytest.raises(InvalidResolution, match="64"):
        expand_size(600, 400, Fraction(1, 10), parse_resolution("64x64"))


@pytest.mark.parametrize(
    ("source", "ratio", "size"),
    [
        ((600, 400), "1:1", (600, 600)),
        ((600, 400), "16:9", (711, 400)),
        ((400, 600), "16:9", (1067, 600)),
        ((600, 400), "3:2", (600, 400)),
    ],
)
def test_without_a_resolution_an_expanded_canvas_just_holds_the_source(
    source: tuple[int, int], ratio: str, size: tuple[int, int]
) -> None:
    assert expand_size(*source, parse_ratio(ratio), None) == size


@settings(derandomize=True, max_examples=300, deadline=None)
@given(width=sides, height=sides, ratio=ratios)
def test_an_expanded_canvas_holds_the_source_touches_it_and_keeps_the_ratio_to_the_pixel(
    width: int, height: int, ratio: Fraction
) -> None:
    wide, high = expand_size(width, height, ratio, None)
    assert wide >= width
    assert high >= height
    assert wide == width or high == height
    assert abs(wide - high * ratio) <= Fraction(1, 2) or abs(high - wide / ratio) <= Fraction(1, 2)


@settings(derandomize=True, max_examples=300, deadline=None)
@given(ratio=ratios, budget=st.integers(256**2, 2048**2))
def test_a_canvas_is_even_near_its_budget_and_true_to_its_ratio(ratio: Fraction, budget: int) -> None:
    width, height = canvas_size(ratio, Resolution(budget), 1)
    assert width % 2 == height % 2 == 0
    assert SHORTEST_SIDE <= min(width, height) <= max(width, height) <= LONGEST_SIDE
    assert abs(width - float(budget * ratio) ** 0.5) <= 1.001
    assert abs(height - float(budget / ratio) ** 0.5) <= 1.001
