"""The product's body: as deep as its foot looks, whatever else about its lower edge is round."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pergai.runners.render import card
from pergai.runners.render.camera import aim

WIDTH, HEIGHT = 400, 300
PITCH = 8.0


def body(draw_on: Image.Image) -> card.Card:
    """The body of what is drawn, its base line at y = 240, seen from PITCH degrees above; a unit is 300 pixels."""
    alpha = np.asarray(draw_on.resize((WIDTH, HEIGHT), Image.Resampling.BOX))
    built = card.build(np.zeros((HEIGHT, WIDTH, 3), np.uint8), alpha, aim(WIDTH, HEIGHT, (200, 240), 300, PITCH, 6.0))
    assert built is not None
    return built


def sheet() -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("L", (4 * WIDTH, 4 * HEIGHT))
    return image, ImageDraw.Draw(image)


@pytest.mark.parametrize("radius", [0, 10, 25, 40])
def test_the_rounded_corners_of_a_bag_are_not_its_depth(radius: int) -> None:
    image, draw = sheet()
    draw.rounded_rectangle((200, 480, 1400, 960), 4 * radius, fill=255)
    foot = body(image).footprint
    assert foot.half == pytest.approx(0.5, abs=0.02)
    assert 0.1 < foot.depth < 0.5


def test_a_round_foot_is_as_deep_as_it_is_wide() -> None:
    image, draw = sheet()
    rise = 2 * 400 * np.sin(np.radians(PITCH))
    draw.rectangle((400, 200, 1200, 960 - rise / 2), fill=255)
    draw.ellipse((400, 960 - rise, 1200, 960), fill=255)
    foot = body(image).footprint
    assert foot.half == pytest.approx(1 / 3, abs=0.02)
    assert foot.depth == pytest.approx(2 * foot.half, rel=0.15)


@pytest.mark.parametrize("corner", [(0.5, 0.12), (0.3, 0.3)])
def test_no_product_is_deeper_than_it_is_wide(corner: tuple[float, float]) -> None:
    """A wedge whose lower edge rises on both sides: a box on its corner, or something that only looks like one."""
    image, draw = sheet()
    across, up = (4 * 300 * share for share in corner)
    draw.polygon(
        [(800 - across, 960 - up), (800, 960), (800 + across, 960 - up), (800 + across, 300), (800 - across, 300)],
        fill=255,
    )
    foot = body(image).footprint
    assert foot.depth <= 2 * foot.half + 0.02


def hairy(draw: ImageDraw.ImageDraw, centre: tuple[int, int], radius: int, length: int) -> None:
    """A ball with a hair of one pixel every nine degrees."""
    x, y = 4 * centre[0], 4 * centre[1]
    for angle in np.radians(np.arange(0, 360, 9)):
        reach = 4 * (radius + length)
        draw.line((x, y, x + reach * np.cos(angle), y + reach * np.sin(angle)), fill=255, width=6)
    draw.ellipse((x - 4 * radius, y - 4 * radius, x + 4 * radius, y + 4 * radius), fill=255)


def test_a_furry_ball_is_a_ball_that_stands_on_its_body_not_on_its_hairs() -> None:
    image, draw = sheet()
    hairy(draw, (200, 140), 90, 8)
    alpha = np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.BOX))
    assert card.lowest_point(alpha) == (pytest.approx(200, abs=3), pytest.approx(230, abs=1))
    view = aim(WIDTH, HEIGHT, (200, 230), 300, PITCH, 6.0)
    built = card.build(np.zeros((HEIGHT, WIDTH, 3), np.uint8), alpha, view)
    assert built is not None
    foot = built.footprint
    assert foot.half == pytest.approx(0.3, abs=0.02)
    assert foot.depth == pytest.approx(2 * foot.half, rel=0.1)


def test_what_stands_on_legs_of_wire_stands_on_them() -> None:
    image, draw = sheet()
    draw.rectangle((400, 200, 1200, 500), fill=255)
    for x in (440, 1160):
        draw.line((x, 500, x, 960), fill=255, width=10)
    alpha = np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.BOX))
    base = card.lowest_point(alpha)
    assert base is not None
    assert base[1] == pytest.approx(240, abs=1)


@pytest.mark.parametrize(
    ("size", "least", "most"), [((0.3, 1.0), 0.05, 0.1), ((1.0, 1.0), 0.02, 0.05)], ids=["bottle", "shirt"]
)
def test_the_rim_of_what_lies_stands_off_the_floor(size: tuple[float, float], least: float, most: float) -> None:
    """So that it casts a shadow all round: a bottle more of it than a shirt."""
    image, draw = sheet()
    across, along = (4 * 100 * side for side in size)
    draw.rectangle((800 - across, 560 - along, 800 + across, 560 + along), fill=255)
    alpha = np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.BOX))
    built = card.build(np.zeros((HEIGHT, WIDTH, 3), np.uint8), alpha, aim(WIDTH, HEIGHT, (200, 140), 200, 89.9, 6.0))
    assert built is not None
    x, y, z = built.mesh.vertices.T
    at_the_rim = (z > 0.01) & (np.abs(x) > 0.47 * size[0]) & (np.abs(y) < 0.4 * size[1])
    assert least < z[at_the_rim].min() < most
    assert z.max() > 1.5 * z[at_the_rim].min(), "its middle is higher"


def test_a_hair_that_lies_on_the_floor_is_no_wall() -> None:
    image, draw = sheet()
    hairy(draw, (200, 140), 60, 30)
    alpha = np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.BOX))
    built = card.build(np.zeros((HEIGHT, WIDTH, 3), np.uint8), alpha, aim(WIDTH, HEIGHT, (200, 140), 180, 89.9, 6.0))
    assert built is not None
    x, y, z = built.mesh.vertices.T
    far_out = np.hypot(x, y) > 0.45
    assert z.max() > 0.08
    assert far_out.sum() > 100
    assert z[far_out].max() < 0.02


def test_a_box_photographed_round_its_corner_stands_on_its_whole_width() -> None:
    image, draw = sheet()
    draw.polygon([(400, 880), (560, 960), (1200, 890), (1200, 600), (560, 620), (400, 590)], fill=255)
    alpha = np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.BOX))
    assert card.lowest_point(alpha) == (pytest.approx(200, abs=2), pytest.approx(240, abs=1))


def test_a_handle_is_no_part_of_a_cups_foot() -> None:
    image, draw = sheet()
    draw.rectangle((400, 480, 800, 960), fill=255)
    draw.arc((700, 520, 1000, 800), -90, 90, fill=255, width=60)
    alpha = np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.BOX))
    assert card.lowest_point(alpha) == (pytest.approx(150, abs=2), pytest.approx(240, abs=1))
