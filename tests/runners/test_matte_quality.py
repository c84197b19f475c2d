"""How good mattes are, on composites whose alpha is known and on photos."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from pergai.errors import NoProductFound
from pergai.imaging.matte import WORK_PIXELS, refine
from pergai.imaging.picture import RGB, FloatPlane, Matte
from pergai.runners import segment
from tests.runners.desk import real_model
from tests.runners.known_alpha import (
    PLAIN,
    PRODUCTS,
    TEXTURED,
    Case,
    case,
    composite,
    gradient_error,
    green,
    mask_of,
    mug,
    ring,
    sad,
    shadowed,
    white,
    white_mug,
)
from tests.runners.shots import shots

GROUNDS = [*PLAIN, *TEXTURED]

pytestmark = pytest.mark.timeout(1800)


@dataclass(frozen=True)
class Measured:
    case: Case
    raw_sad: float
    raw_gradient: float
    sad: float
    gradient: float


@pytest.fixture(scope="module")
def net() -> segment.Segmenter:
    model = real_model(segment.load, "u2netp")
    assert isinstance(model, segment.Segmenter)
    return model


@pytest.fixture(scope="module")
def measured(net: segment.Segmenter) -> list[Measured]:
    """Every product on every ground, by the raw net and by the refined matte."""
    found = []
    for product in PRODUCTS:
        for ground in GROUNDS:
            one = case(product, ground)
            mask = net.run([one.image])[0].mask
            alpha = refine(one.image, mask_of(net, one.image)).alpha / np.float32(255.0)
            errors = [e(a, one.alpha) for a in (mask, alpha) for e in (sad, gradient_error)]
            found.append(Measured(one, *errors))
    return found


def matte_of(net: segment.Segmenter, image: RGB) -> Matte:
    return refine(image, mask_of(net, image))


def over(matte: Matte, colour: tuple[int, int, int]) -> np.ndarray:
    share = matte.alpha[..., None] / 255.0
    return share * matte.foreground + (1.0 - share) * np.array(colour)


@pytest.mark.slow
def test_on_plain_grounds_both_errors_are_at_most_half_of_the_raw_nets(measured: list[Measured]) -> None:
    plain = [m for m in measured if m.case.plain]
    assert sum(m.sad for m in plain) <= 0.5 * sum(m.raw_sad for m in plain)
    assert sum(m.gradient for m in plain) <= 0.5 * sum(m.raw_gradient for m in plain)


@pytest.mark.slow
def test_no_single_plain_case_is_worse_than_the_raw_net(measured: list[Measured]) -> None:
    for m in measured:
        if m.case.plain:
            assert m.sad <= m.raw_sad, m.case.name
            # Dark glass is taken for a solid by both: there the two may differ by a hair.
            assert m.gradient <= 1.02 * m.raw_gradient, m.case.name


@pytest.mark.slow
def test_on_plain_grounds_hair_wires_and_holes_are_found_which_the_net_misses(measured: list[Measured]) -> None:
    for m in measured:
        if m.case.plain and m.case.name.split(" on ")[0] in ("fur", "wires"):
            assert m.sad <= 0.25 * m.raw_sad, m.case.name


@pytest.mark.slow
def test_on_textured_grounds_the_matte_is_not_worse_than_the_raw_net(measured: list[Measured]) -> None:
    textured = [m for m in measured if not m.case.plain]
    assert sum(m.sad for m in textured) <= sum(m.raw_sad for m in textured)
    assert sum(m.gradient for m in textured) <= sum(m.raw_gradient for m in textured)
    for m in textured:
        assert m.sad <= 1.03 * m.raw_sad, m.case.name


def test_no_green_is_left_when_a_product_on_green_is_put_on_white(net: segment.Segmenter) -> None:
    product = mug(np.random.default_rng(0))
    photo = composite(product, shadowed(green(), product), seed=3)
    ours = over(matte_of(net, photo), (255, 255, 255))
    perfect = product.alpha[..., None] * product.colours * 255.0 + (1.0 - product.alpha[..., None]) * 255.0
    edge = (product.alpha > 0.02) & (product.alpha < 0.98)
    greenness = (ours - perfect)[edge] @ np.array([-0.5, 1.0, -0.5])
    naive = (product.alpha[..., None] * photo + (1.0 - product.alpha[..., None]) * 255.0 - perfect)[edge]
    assert np.abs(greenness).mean() < 3.0  # of 255
    assert (naive @ np.array([-0.5, 1.0, -0.5])).mean() > 15.0  # cut with the old background in it, it would show


def test_the_hole_of_a_ring_is_clear(net: segment.Segmenter) -> None:
    product = ring(np.random.default_rng(0))
    photo = composite(product, shadowed(white(), product), seed=4)
    mask = net.run([photo])[0].mask
    side = photo.shape[0]
    y, x = np.mgrid[:side, :side] / side
    hole = np.hypot(x - 0.5, (y - 0.55) / 1.05) < 0.2
    assert mask[hole].mean() > 0.9  # the net itself fills it
    alpha = matte_of(net, photo).alpha
    assert (alpha[hole] > 8).mean() < 0.01
    assert (alpha[product.alpha > 0.999] > 247).mean() > 0.99


def test_a_soft_shadow_on_a_plain_ground_is_not_product(net: segment.Segmenter) -> None:
    product = mug(np.random.default_rng(0))
    alpha = matte_of(net, composite(product, shadowed(white(), product, strength=0.5), seed=5)).alpha
    assert (alpha[product.alpha == 0] > 25).mean() < 0.001


def test_what_the_net_finds_of_a_white_product_on_white_is_not_dissolved(net: segment.Segmenter) -> None:
    product = white_mug()
    photo = composite(product, shadowed(white(), product, strength=0.25), seed=1)
    mask = net.run([photo])[0].mask
    alpha = matte_of(net, photo).alpha
    assert (alpha[(product.alpha > 0.999) & (mask > 0.95)] > 247).mean() > 0.97
    assert (alpha[product.alpha == 0] > 25).mean() < 0.01


def test_a_white_label_is_not_taken_for_a_hole(net: segment.Segmenter) -> None:
    photo = np.full((384, 384, 3), 255, dtype=np.uint8)
    photo[90:320, 110:270] = (150, 40, 45)
    photo[150:240, 140:240] = 255
    alpha = matte_of(net, photo).alpha
    assert (alpha[155:235, 145:235] > 247).mean() > 0.99


@pytest.mark.parametrize("name", ["coffee", "chelsea", "astronaut"])
def test_where_alpha_is_full_the_foreground_is_the_source(
    net: segment.Segmenter, photos: dict[str, RGB], name: str
) -> None:
    photo = photos[name]
    matte = matte_of(net, photo)
    solid = matte.alpha == 255
    assert solid.mean() > 0.1
    assert np.array_equal(matte.foreground[solid], photo[solid])


def test_a_large_photo_keeps_its_size_and_agrees_with_the_small_one(net: segment.Segmenter) -> None:
    one = case("mug", "white")
    large = np.asarray(Image.fromarray(one.image).resize((2240, 1800), Image.Resampling.LANCZOS))
    assert large.shape[0] * large.shape[1] > WORK_PIXELS
    matte = matte_of(net, large)
    assert matte.alpha.shape == large.shape[:2]
    truth = Image.fromarray(one.alpha).resize((2240, 1800), Image.Resampling.BICUBIC)
    assert np.abs(matte.alpha / 255.0 - np.asarray(truth)).mean() < 0.004
    solid = matte.alpha == 255
    assert np.array_equal(matte.foreground[solid], large[solid])


def test_a_cut_out_keeps_its_own_alpha_whatever_the_net_says() -> None:
    one = case("glass", "grey")
    alpha = np.round(one.alpha * 255.0).astype(np.uint8)
    nothing: FloatPlane = np.zeros(alpha.shape, dtype=np.float32)
    colours = np.round(np.clip(one.colours, 0.0, 1.0) * 255.0).astype(np.uint8)
    matte = refine(colours, nothing, alpha)
    assert np.array_equal(matte.alpha, alpha)
    assert np.array_equal(matte.foreground[alpha > 0], colours[alpha > 0])


@pytest.mark.parametrize("product", ["mug", "soft"])
def test_a_cut_out_that_carries_its_old_background_at_the_edge_is_cleaned(product: str) -> None:
    one = case(product, "green")
    alpha = np.round(one.alpha * 255.0).astype(np.uint8)
    matte = refine(one.image, np.zeros(alpha.shape, dtype=np.float32), alpha)
    assert np.array_equal(matte.alpha, alpha)
    assert np.array_equal(matte.foreground[alpha == 255], one.image[alpha == 255])
    edge = (alpha > 40) & (alpha < 215)
    off = np.abs(matte.foreground[edge] / 255.0 - one.colours[edge]).mean()
    assert off < 0.4 * np.abs(one.image[edge] / 255.0 - one.colours[edge]).mean()


def test_an_alpha_that_says_nothing_is_no_cut_out(net: segment.Segmenter) -> None:
    one = case("mug", "white")
    solid = np.full(one.image.shape[:2], 255, dtype=np.uint8)
    mask = net.run([one.image])[0].mask
    assert np.array_equal(refine(one.image, mask, solid).alpha, refine(one.image, mask).alpha)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_an_empty_picture_has_no_product(net: segment.Segmenter, level: int) -> None:
    with pytest.raises(NoProductFound):
        matte_of(net, np.full((240, 320, 3), level, dtype=np.uint8))


def test_on_a_texture_a_speck_of_the_nets_mask_is_dropped_and_a_second_part_stays() -> None:
    one = case("mug", "gravel")
    mask = one.alpha.copy()
    mask[20:26, 20:26] = 1.0
    mask[40:70, 380:420] = 1.0
    alpha = refine(one.image, mask).alpha
    assert alpha[15:32, 15:32].max() == 0
    assert alpha[45:65, 385:415].mean() > 200


def test_on_a_texture_ground_that_the_net_has_run_into_the_product_is_told_by_its_colours() -> None:
    one = case("mug", "gravel")
    ground = np.zeros(one.alpha.shape, dtype=bool)
    ground[160:185, 80:117] = True  # beside the body, which begins at 116
    ground &= one.alpha == 0
    mask = ndimage.gaussian_filter(np.where(ground, np.float32(0.85), one.alpha), 1.5)
    alpha = refine(one.image, mask).alpha
    assert alpha[ground].mean() < 0.1 * 255.0
    assert alpha[one.alpha > 0.999].mean() > 0.99 * 255.0


@pytest.mark.parametrize("ground", list(TEXTURED))
def test_on_a_texture_a_lumpy_outline_of_the_nets_is_laid_where_the_hue_changes(ground: str) -> None:
    one = case("mug", ground)
    y, x = np.mgrid[: one.alpha.shape[0], : one.alpha.shape[1]]
    lumps = np.sin(x / 9.0) + np.sin(y / 7.0) > 0.0
    mask = ndimage.gaussian_filter(np.where(lumps, ndimage.maximum_filter(one.alpha, 7), one.alpha), 1.0)
    alpha = refine(one.image, mask).alpha / np.float32(255.0)
    assert sad(alpha, one.alpha) < 0.5 * sad(mask, one.alpha)
    assert alpha[one.alpha > 0.999].mean() > 0.999


def test_the_shaded_foot_of_a_white_mug_is_as_grey_as_its_ground_and_stays(net: segment.Segmenter) -> None:
    (shot,) = (shot for shot in shots("tuning") if shot.name == "mug-garage")
    alpha = matte_of(net, shot.image).alpha / np.float32(255.0)
    assert sad(alpha, shot.alpha) < 0.5 * sad(net.run([shot.image])[0].mask, shot.alpha)


def test_on_a_texture_no_haze_is_kept_away_from_the_product(net: segment.Segmenter, photos: dict[str, RGB]) -> None:
    alpha = matte_of(net, photos["coffee"]).alpha
    away = ~ndimage.binary_dilation(alpha > 127, iterations=3)
    assert (alpha[away] > 8).sum() < 80


def test_a_highlight_as_bright_as_a_white_ground_stays_where_the_net_doubts_it() -> None:
    side = 480
    photo = np.full((side, side, 3), 250, dtype=np.uint8)
    y, x = np.mgrid[:side, :side]
    far = np.hypot(x - side / 2, y - side / 2)
    body, highlight = far < 140, (np.abs(x - 200) < 4) & (np.abs(y - 220) < 40)
    photo[body] = (190, 140, 60)
    photo[highlight] = 252
    mask = np.where(highlight, 0.4, body).astype(np.float32)
    alpha = refine(photo, mask).alpha
    assert (alpha[highlight] == 255).all()


def test_a_coloured_glow_under_the_foot_is_shadow_and_a_wire_there_is_not() -> None:
    side = 640
    y, x = np.mgrid[:side, :side]
    body = (np.abs(x - 320) < 90) & (np.abs(y - 300) < 120)
    glow = np.exp(-(((x - 320) / 120.0) ** 2) - ((y - 424) / 7.0) ** 2)[..., None]
    wire = (np.abs(y - 470) < 2) & (np.abs(x - 320) < 150) | (np.abs(x - 320) < 2) & (y > 410) & (y < 472)
    ground = np.array([246.0, 246.0, 246.0]) - glow * np.array([20.0, 45.0, 75.0])
    photo = np.where(body[..., None], (190, 140, 60), np.where(wire[..., None], (150, 60, 30), ground)).astype(np.uint8)
    alpha = refine(photo, body.astype(np.float32)).alpha
    clear = ~ndimage.binary_dilation(body | wire, iterations=4)
    assert (alpha[clear] > 25).mean() < 0.0005
    assert alpha[wire & (y > 440)].mean() > 200


def test_a_grey_ring_on_white_is_no_shadow_and_its_hole_is_clear_where_the_net_has_filled_it() -> None:
    side = 640
    y, x = np.mgrid[:side, :side]
    far = np.hypot(x - side / 2, y - side / 2)
    ring, hole = (far < 180) & (far >= 150), far < 150
    glint = ring & (np.abs(y - 250) < 2) & (x < side / 2)  # as bright as the ground, right through the ring
    photo = np.full((side, side, 3), 246, dtype=np.uint8)
    photo[ring & ~glint] = 205
    alpha = refine(photo, (far < 180).astype(np.float32)).alpha
    assert alpha[hole & (far < 145)].max() < 8
    assert (alpha[ring & (np.abs(y - 250) > 6) & (far > 155) & (far < 175)] > 247).all()


def test_a_gap_that_the_net_has_half_filled_is_a_hole() -> None:
    side = 640
    y, x = np.mgrid[:side, :side]
    far = np.hypot(x - side / 2, y - side / 2)
    wires = (far < 180) & (far >= 168) | (np.abs(x - side / 2) < 4) & (far < 180)
    filled = (np.abs(x - 280) < 40) & (np.abs(y - 330) < 70)
    photo = np.full((side, side, 3), (224, 158, 152), dtype=np.uint8)
    photo[wires] = (120, 105, 108)
    mask = ndimage.gaussian_filter(np.where(filled, np.float32(0.97), wires).astype(np.float32), 1.5)
    alpha = refine(photo, mask).alpha
    assert alpha[ndimage.binary_erosion((far < 168) & ~wires, iterations=4)].max() < 8
    assert (alpha[ndimage.binary_erosion(wires)] > 230).mean() > 0.99


def test_a_dent_of_the_nets_outline_is_product_where_it_has_the_products_vivid_colour() -> None:
    side = 640
    y, x = np.mgrid[:side, :side]
    body = (np.abs(x - 320) < 180) & (np.abs(y - 340) < 120)
    dent = (np.abs(x - 300) < 14) & (y > 219) & (y < 280)
    photo = np.full((side, side, 3), 250, dtype=np.uint8)
    photo[body] = (80, 110, 155)
    mask = ndimage.gaussian_filter(np.where(dent, np.float32(0.1), body).astype(np.float32), 2.0)
    alpha = refine(photo, mask).alpha
    assert alpha[dent & (y > 224)].mean() > 240


def test_on_coloured_paper_the_thin_shadow_of_a_hoop_is_not_taken_for_a_wire(net: segment.Segmenter) -> None:
    (hoops,) = (shot for shot in shots("tuning") if shot.name == "hoops-pink")
    alpha = matte_of(net, hoops.image).alpha
    clear = ~ndimage.binary_dilation(hoops.alpha > 0, iterations=3)
    assert (alpha[clear] > 100).sum() < 0.02 * (hoops.alpha > 0.5).sum()
