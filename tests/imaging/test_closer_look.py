"""The closer look redraws the net's mask, and the first look keeps a veto."""

from __future__ import annotations

import numpy as np
import pytest

from pergai.imaging.closer_look import Box, Look, closer_box, with_closer_look
from pergai.imaging.picture import FloatPlane

SIDE = 640


def plane(*discs: tuple[float, float]) -> FloatPlane:
    """Discs (radius, value) round the middle, each over the last."""
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    mask = np.zeros((SIDE, SIDE), dtype=np.float32)
    for radius, value in discs:
        mask[np.hypot(x, y) < radius] = value
    return mask


def box_of(mask: FloatPlane, side: int = 320) -> Box | None:
    """Where a net of this side looks closer."""
    return closer_box(Look(mask, side))


def look(mask: FloatPlane, closer: FloatPlane) -> FloatPlane:
    """The mask after a closer look that gives, in its box, what `closer` has there."""
    box = box_of(mask)
    assert box is not None
    return with_closer_look(mask, closer[box.top : box.bottom, box.left : box.right], box)


def test_the_box_holds_the_product_and_some_surroundings() -> None:
    mask = plane((100, 1.0))
    box = box_of(mask)
    assert box is not None
    assert box.of(np.repeat(mask[..., None], 3, axis=2).astype(np.uint8)).sum() == 3 * mask.sum()
    assert np.allclose(box, (200, 440, 200, 440), atol=2)


@pytest.mark.parametrize("mask", [plane((310, 1.0)), plane((100, 0.4)), plane()])
def test_no_closer_look_where_the_product_fills_the_picture_or_none_was_found(mask: FloatPlane) -> None:
    assert box_of(mask) is None


def test_a_fine_net_looks_closer_at_what_is_small_or_undecided_only() -> None:
    assert box_of(plane((150, 1.0)), side=1024) is None
    assert box_of(plane((60, 1.0)), side=1024) is not None
    assert box_of(plane((150, 1.0), (100, 0.5)), side=1024) is not None


def test_gaps_that_the_first_look_missed_are_opened() -> None:
    redrawn = look(plane((150, 1.0)), plane((150, 1.0), (100, 0.0)))
    assert redrawn[SIDE // 2, SIDE // 2] < 0.01
    assert redrawn[SIDE // 2, SIDE // 2 + 125] > 0.99


def test_a_hole_that_the_first_look_saw_is_not_filled() -> None:
    redrawn = look(plane((150, 1.0), (100, 0.0)), plane((150, 1.0)))
    assert redrawn[SIDE // 2, SIDE // 2] < 0.01


def test_the_outline_does_not_run_away() -> None:
    redrawn = look(plane((150, 1.0)), plane((170, 1.0)))
    assert redrawn[SIDE // 2, SIDE // 2 + 151] > 0.9
    assert redrawn[SIDE // 2, SIDE // 2 + 160] == 0.0


def test_doubt_over_an_area_does_not_outvote_a_sure_first_look() -> None:
    redrawn = look(plane((150, 1.0)), plane((150, 1.0), (100, 0.4)))
    assert redrawn[SIDE // 2, SIDE // 2] > 0.99


def test_a_closer_look_that_has_lost_the_product_is_not_heard() -> None:
    mask = plane((150, 1.0))
    assert np.array_equal(look(mask, plane((60, 1.0))), mask)
    assert np.array_equal(look(mask, plane()), mask)
