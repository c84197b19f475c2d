"""The picture as a segmentation net is shown it."""

from __future__ import annotations

import numpy as np
import pytest

from pergai.imaging.exposure import exposed_for_ground
from pergai.imaging.picture import RGB


def on(ground: int, product: int) -> RGB:
    """A square of a product before its ground."""
    picture = np.full((90, 120, 3), ground, np.uint8)
    picture[30:60, 40:80] = product
    return picture


@pytest.mark.parametrize("ground", [0, 100, 200, 229])
def test_a_product_on_a_ground_that_is_not_white_is_shown_as_it_is(ground: int) -> None:
    picture = on(ground, 250)
    assert exposed_for_ground(picture) is picture


def test_a_light_ground_is_brought_down_to_nine_tenths() -> None:
    assert exposed_for_ground(on(240, 236))[0, 0, 0] == round(0.9 * 255)


@pytest.mark.parametrize("ground", [252, 255])
def test_white_on_white_differs_by_more_than_before(ground: int) -> None:
    shown = exposed_for_ground(on(ground, 246)).astype(int)
    assert shown[0, 0, 0] - shown[45, 60, 0] > 3 * (ground - 246)


def test_what_was_brighter_stays_brighter_and_black_stays_black() -> None:
    ramp = np.full((90, 300, 3), 255, np.uint8)
    ramp[30:60, 20:276] = np.arange(256, dtype=np.uint8)[:, None]
    shown = exposed_for_ground(ramp)[45, 20:276, 0].astype(int)
    assert (shown[0], shown[-1]) == (0, 255)
    assert (np.diff(shown) >= 0).all()
