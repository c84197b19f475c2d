"""Pictures larger than their light: texture comes back where the lens was sharp, and nowhere else."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from pergai.runners.render.colour import from_linear
from pergai.runners.render.enlarge import enlarged, textured

SIZE, FACTOR = 96, 3


def texture() -> np.ndarray:
    """Fine grain of a floor, linear, at the large size."""
    noise = np.random.default_rng(5).random((SIZE * FACTOR, SIZE * FACTOR, 1))
    return np.repeat(np.clip(0.4 + 1.6 * (ndimage.gaussian_filter(noise, (1.2, 1.2, 0)) - 0.5), 0.05, 1), 3, -1).astype(
        np.float32
    )


def shrunk(picture: np.ndarray) -> np.ndarray:
    return picture.reshape(SIZE, FACTOR, SIZE, FACTOR, 3).mean(axis=(1, 3)).astype(np.float32)


def shading() -> np.ndarray:
    """Light that falls off from left to right."""
    return np.linspace(1.0, 0.4, SIZE * FACTOR, dtype=np.float32)[None, :, None]


NOTHING = np.zeros((SIZE, SIZE), bool)


def error(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(np.mean((a - b) ** 2)))


def test_texture_that_the_lens_drew_sharply_is_there_at_the_large_size() -> None:
    detail = texture()
    truth = from_linear(detail * shading())
    small = from_linear(shrunk(detail * shading()))
    bicubic = enlarged(small, SIZE * FACTOR, SIZE * FACTOR)
    crisp = textured(small, shrunk(detail), detail, NOTHING)
    assert error(crisp, truth) < 0.25 * error(bicubic, truth)


def test_what_is_out_of_focus_stays_so() -> None:
    detail = texture()
    blurred = ndimage.gaussian_filter(shrunk(detail), (5, 5, 0))
    small = from_linear(blurred)
    bicubic = enlarged(small, SIZE * FACTOR, SIZE * FACTOR)
    grain = error(texture(), ndimage.gaussian_filter(texture(), (5, 5, 0)))
    assert error(textured(small, blurred, detail, NOTHING), bicubic) < 0.1 * grain


def test_the_product_leaves_no_rim_beside_itself() -> None:
    ground = np.full((SIZE * FACTOR, SIZE * FACTOR, 3), 0.5, np.float32)
    with_product, hidden = ground.copy(), NOTHING.copy()
    with_product[93:204, 93:204] = 0.02
    hidden[30:69, 30:69] = True
    small = from_linear(shrunk(ground))
    out = textured(small, shrunk(with_product), with_product, hidden)
    assert np.abs(out - float(small[0, 0, 0])).max() < 0.004


def test_a_picture_of_the_right_size_is_left_alone() -> None:
    picture = from_linear(shrunk(texture()))
    assert enlarged(picture, SIZE, SIZE) is picture
