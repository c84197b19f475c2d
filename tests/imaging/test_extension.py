"""Extension continues a background: exact inside, seamless at the border, without repetition outside."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from scipy import fft, ndimage
from skimage import data
from skimage.feature import match_template

from pergai.imaging.extension import extend, plan_canvas
from pergai.imaging.extension.lines import find_lines

FloatImage = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]


def grained(levels: FloatImage, sigma: float, seed: int = 5) -> Pixels:
    noise = np.random.default_rng(seed).normal(0, sigma, levels.shape)
    return np.clip(np.rint(levels + noise), 0, 255).astype(np.uint8)


def studio(height: int = 300, width: int = 400) -> FloatImage:
    """A backdrop that falls off from upper left to lower right."""
    y, x = np.mgrid[0:height, 0:width]
    fall = 222 - 30 * x / width - 24 * (y / height) ** 2
    return fall[..., None] * np.array([1.0, 0.985, 0.96])


def with_product(levels: FloatImage, colour: tuple[int, int, int] = (200, 20, 30)) -> tuple[FloatImage, Pixels]:
    height, width = levels.shape[:2]
    alpha = np.zeros((height, width), np.uint8)
    alpha[height // 4 : 3 * height // 4, width // 3 : 2 * width // 3] = 255
    return np.where(alpha[..., None] > 0, np.array(colour, float), levels), alpha


def grain_of(region: Pixels) -> float:
    """Standard deviation of what a small blur takes away."""
    grey = region.astype(float).mean(axis=-1)
    return float((grey - ndimage.gaussian_filter(grey, 2.0))[4:-4, 4:-4].std())


def strongest_repeat(grey: FloatImage, nearest: int) -> float:
    """The highest peak of the autocorrelation at least `nearest` pixels away, 1 for a perfect copy."""
    detail = grey - ndimage.gaussian_filter(grey, 12)
    size = [2 * n for n in detail.shape]
    power = np.abs(fft.rfft2(detail, size)) ** 2
    correlation = fft.irfft2(power, size)
    count = fft.irfft2(np.abs(fft.rfft2(np.ones_like(detail), size)) ** 2, size)
    seen = count > 0.35 * detail.size
    correlation = np.where(seen, correlation / np.maximum(count, 1), 0)
    peak = correlation[0, 0]
    y, x = np.meshgrid(*(np.minimum(np.arange(n), n - np.arange(n)) for n in size), indexing="ij")
    return float(correlation[np.hypot(y, x) >= nearest].max() / peak)


def marks_of(grey: FloatImage, ground: npt.NDArray[np.bool_], side: int) -> list[tuple[int, int]]:
    """(top, left) of up to 24 windows where the ground's detail stands out of it by three standard deviations."""
    detail = ndimage.gaussian_filter(grey, 0.8) - ndimage.gaussian_filter(grey, side / 2)
    usual = 1.48 * np.median(np.abs(detail[ground]))
    inner = ndimage.binary_erosion(ground, iterations=side // 2 + 2)
    power = ndimage.uniform_filter(np.maximum(np.abs(detail) / usual - 3, 0) ** 2, side) * inner
    found: list[tuple[int, int]] = []
    while len(found) < 24 and power.max() > 0.05:
        y, x = (int(at) for at in np.unravel_index(power.argmax(), power.shape))
        found.append((y - side // 2, x - side // 2))
        power[max(0, y - side) : y + side, max(0, x - side) : x + side] = 0
    return found


def shown_again(out: Pixels, source: Pixels, offset: tuple[int, int], marks: list[tuple[int, int]], side: int) -> float:
    """How often a mark of the source is seen beyond it, for each time that its like is seen inside, on average.

    Seen: correlated by 0.8 and at least half as strong.
    """
    grey = out.astype(float).mean(axis=-1)
    detail = ndimage.gaussian_filter(grey, 0.8) - ndimage.gaussian_filter(grey, side / 2)
    swing = np.sqrt(np.maximum(ndimage.uniform_filter(detail**2, side) - ndimage.uniform_filter(detail, side) ** 2, 0))
    own = np.zeros(grey.shape, bool)
    half = side // 2
    own[
        offset[0] + half : offset[0] + source.shape[0] - half, offset[1] + half : offset[1] + source.shape[1] - half
    ] = 1
    times = []
    for y, x in marks:
        top, left = offset[0] + y, offset[1] + x
        mark = detail[top : top + side, left : left + side]
        alike = match_template(detail, mark, pad_input=True) * (swing > 0.5 * mark.std())
        peaks = (alike == ndimage.maximum_filter(alike, side)) & (alike > 0.8)
        times.append((peaks & ~own).sum() / max(1, (peaks & own).sum()))
    return float(np.mean(times))


@pytest.mark.parametrize("size", [(400, 712), (712, 600), (401, 603)])
def test_the_source_stays_exact_at_every_shape(size: tuple[int, int]) -> None:
    source = data.coffee()
    plan = plan_canvas(source.shape[:2], size)
    out = extend(source, None, size, plan.offset, seed=3)
    assert out.shape == (*size, 3)
    assert np.array_equal(out[plan.rows, plan.columns], source)


def test_a_studio_gradient_goes_on_without_a_seam() -> None:
    source = grained(studio(), 2.0)
    out = extend(source, None, (460, 640), (80, 120), seed=1).astype(float)
    inside = np.abs(np.diff(out[100:360, 140:500], axis=1)).mean()
    for border in (120, 520):  # the first column right of each vertical border
        across = np.abs(out[80:380, border] - out[80:380, border - 1]).mean()
        assert 0.85 < across / inside < 1.15
        step = out[80:380, border : border + 8].mean() - out[80:380, border - 8 : border].mean()
        expected = -8 * 30 * 0.98 / 400
        assert abs(step - expected) < 0.6
    for border in (80, 380):
        across = np.abs(out[border, 120:520] - out[border - 1, 120:520]).mean()
        assert 0.85 < across / inside < 1.15


def test_grain_is_as_strong_outside_as_inside() -> None:
    for sigma in (1.0, 5.0):
        out = extend(grained(studio(), sigma), None, (300, 640), (0, 120), seed=1)
        inside = grain_of(out[:, 130:510])
        assert grain_of(out[:, :120]) == pytest.approx(inside, rel=0.1)
        assert grain_of(out[:, 520:]) == pytest.approx(inside, rel=0.1)


def test_a_slow_gradient_shows_no_bands() -> None:
    out = extend(grained(studio() * 0.2 + 100, 0.7), None, (300, 800), (0, 200), seed=1)
    profile = out[:, 610:790].astype(float).mean(axis=(0, 2))
    smooth = np.polyval(np.polyfit(np.arange(180), profile, 4), np.arange(180))
    assert np.abs(profile - smooth).max() < 0.25  # a band's edge would be half a level off


def test_pure_white_stays_pure_white() -> None:
    levels, alpha = with_product(np.full((200, 200, 3), 255.0))
    out = extend(levels.astype(np.uint8), alpha, (300, 420), (50, 110), seed=9)
    outside = np.ones((300, 420), bool)
    outside[50:250, 110:310] = False
    assert (out[outside] == 255).all()


def test_the_product_is_not_smeared_into_the_background() -> None:
    levels, alpha = with_product(studio())
    alpha[225:, 133:266] = 255  # it stands on the lower border, cut off
    levels[225:, 133:266] = (200, 20, 30)
    out = extend(grained(levels, 2.0), alpha, (600, 600), (150, 100), seed=4).astype(int)
    outside = np.ones((600, 600), bool)
    outside[150:450, 100:500] = False
    redness = out[..., 0] - out[..., 1]
    assert redness[outside].max() < 40  # the product's is 180, the backdrop's 3


def test_a_horizon_goes_straight_on() -> None:
    levels = np.where((np.arange(300) < 190)[:, None, None], [190.0, 200, 210], [130.0, 95, 70]) * np.ones((1, 400, 1))
    levels, alpha = with_product(levels, (20, 60, 160))
    out = extend(grained(levels, 2.0), alpha, (300, 800), (0, 200), seed=2).astype(float)
    red = ndimage.uniform_filter1d(out[..., 0], 5, axis=1)
    rows = np.abs(np.diff(red, axis=0)).argmax(axis=0) + 1
    outside = np.r_[3:197, 603:797]
    assert (np.abs(rows[outside] - 190) <= 1).all()
    above, below = out[150:180][:, outside].mean(axis=(0, 1)), out[200:230][:, outside].mean(axis=(0, 1))
    assert np.abs(above - [190, 200, 210]).max() < 2.5
    assert np.abs(below - [130, 95, 70]).max() < 2.5


def test_a_shadow_at_the_border_goes_on_and_fades() -> None:
    levels, alpha = with_product(np.full((300, 400, 3), 215.0))
    y, x = np.mgrid[0:300, 0:400]
    shade = 0.4 * np.exp(-(((y - 220) / 22.0) ** 2)) * np.clip((x - 200) / 60, 0, 1)
    levels = np.where(alpha[..., None] > 0, levels, levels * (1 - shade[..., None]))
    out = extend(grained(levels, 1.5), alpha, (300, 900), (0, 250), seed=2).astype(float)
    dark = 215 - out[216:225].mean(axis=(0, 2))
    at_border = dark[630:650].mean()
    assert dark[650:662].mean() > 0.75 * at_border
    assert dark[880:].mean() < 0.5 * at_border
    smooth = ndimage.gaussian_filter1d(dark[650:], 8)
    assert np.diff(smooth).max() < 0.15


def veined(height: int, width: int, strength: float, seed: int = 3) -> FloatImage:
    """A textured ground around 0: short strokes that run down to the left."""
    noise = np.random.default_rng(seed).normal(0, 1, (height, width))
    strokes = ndimage.rotate(
        ndimage.gaussian_filter(np.tile(noise, (2, 2)), (0.9, 5.0)), 35, reshape=False, mode="wrap"
    )
    strokes = strokes[height // 2 : height // 2 + height, width // 2 : width // 2 + width]
    return np.asarray(strength * strokes / strokes.std())[..., None]


@pytest.mark.parametrize("slope", [-1.4, 0.0, 0.7])
def test_an_edge_that_crosses_the_border_at_a_slant_goes_straight_on(slope: float) -> None:
    """A table's edge: dark beyond it, textured ground before it."""
    y, x = np.mgrid[0:300, 0:420]
    beyond = x < 170 + slope * (y - 0.5)
    levels = np.where(beyond[..., None], [32.0, 28, 24], np.array([168.0, 120, 80]) + veined(300, 420, 14))
    levels, alpha = with_product(levels, (20, 160, 60))
    out = extend(grained(levels, 1.5), alpha, (540, 420), (240, 0), seed=3).astype(float)
    red = ndimage.uniform_filter1d(out[..., 0], 5, axis=1)
    off = []
    for row in range(4, 236):
        true = 170 + slope * (row - 240)
        if 24 < true < 396:
            found = 24 + np.argmax(np.diff(red[row])[24:396]) + 1
            off.append(abs(found - true))
            assert out[row, : round(true) - 12, 0].max() < 90  # nothing of the ground beyond the edge
    assert len(off) > 100
    assert np.max(off) < 8
    assert np.mean(off) < 3


def test_a_shadow_at_the_border_of_a_textured_ground_fades_and_does_not_come_back() -> None:
    y, x = np.mgrid[0:300, 0:420]
    shade = 1 - 0.75 * np.exp(-(((x - 210) / 70.0) ** 2) - ((y - 300) / 40.0) ** 2)
    ground = (np.array([170.0, 128, 90]) + veined(300, 420, 16)) * shade[..., None]
    levels, alpha = with_product(ground, (20, 60, 160))
    out = extend(grained(levels, 1.5), alpha, (640, 420), (0, 0), seed=5).astype(float)
    light = ndimage.gaussian_filter(out.mean(axis=-1), 8)
    assert light[304, 210] < 0.65 * 129  # it goes on below the border ...
    assert light[304:, 210].max() > 0.75 * 129  # ... fades ...
    assert light[450:].min() > 0.65 * 129  # ... and no dark blot is seen further down


@pytest.mark.parametrize("name", ["grass", "gravel", "brick"])
def test_a_textured_ground_goes_on_without_repetition(name: str) -> None:
    grey = getattr(data, name)()[:240, :240]
    source = np.repeat(grey[..., None], 3, axis=2)
    out = extend(source, None, (360, 480), (60, 120), seed=6)
    whole = out.astype(float).mean(axis=-1)
    assert strongest_repeat(whole, 24) < strongest_repeat(grey.astype(float), 24) + 0.15
    for region in (out[:, :120], out[:, 360:]):
        assert region.std() == pytest.approx(source.std(), rel=0.3)
        assert grain_of(region) == pytest.approx(grain_of(source), rel=0.25)  # neither blurred nor sharpened


def test_pebbles_have_no_lines_to_be_laid_along_and_a_brick_wall_has_its_courses() -> None:
    """A line holds every piece beyond the border to its course; along a chance one the same pebble came again and again."""

    def count(grey: Pixels) -> int:
        pixels = np.repeat(grey[..., None], 3, axis=2).astype(np.float32)
        return len(find_lines(pixels, np.ones(grey.shape, bool)))

    stones = [data.gravel()[at : at + 100, at : at + 100] for at in (0, 150, 300)]
    large = [np.asarray(Image.fromarray(piece).resize((400, 400), Image.Resampling.LANCZOS)) for piece in stones]
    assert sum(count(turned) for piece in large for turned in (piece, piece[:, ::-1], piece.T)) < 6
    wall = data.brick().T
    assert min(count(wall), count(wall[:, ::-1])) >= 10


def test_marks_of_a_ground_are_not_repeated_far_out() -> None:
    """Sixteen scratches and stains on a ground three times as large as the source."""
    rng = np.random.default_rng(8)
    ground = np.array([172.0, 140, 104]) + veined(300, 300, 14)
    places = [(24 + 68 * (n // 4) + rng.integers(0, 20), 24 + 68 * (n % 4) + rng.integers(0, 20)) for n in range(16)]
    for y, x in places:
        scratch = ndimage.gaussian_filter(rng.normal(0, 1, (26, 26)), 2.2)
        ground[y : y + 26, x : x + 26] += (70 * np.where(np.abs(scratch) > 0.18, np.sign(scratch), 0))[..., None]
    source = grained(ground, 1.5)
    out = extend(source, None, (300, 900), (0, 300), seed=3)
    assert shown_again(out, source, (0, 300), places, 24) < 0.3


def test_the_sample_photo_to_nine_by_sixteen_does_not_repeat_its_table() -> None:
    source = data.coffee()
    y, x = np.mgrid[0:400, 0:600]
    saucer = (((x - 280) / 210) ** 2 + ((y - 205) / 195) ** 2 < 1).astype(np.uint8) * 255
    out = extend(source, saucer, (1067, 600), (333, 0), seed=7)
    marks = marks_of(source.astype(float).mean(axis=-1), saucer == 0, 20)
    assert len(marks) > 12
    assert shown_again(out, source, (333, 0), marks, 20) < 1.3


def test_things_on_a_ground_are_not_copied_and_one_that_is_cut_off_is_closed() -> None:
    """Red berries on wood, one of them cut in half by the right border."""
    y, x = np.mgrid[0:320, 0:320]
    ground = np.array([120.0, 84, 60]) + veined(320, 320, 9)
    for cy, cx in ((60, 70), (110, 120), (250, 60), (200, 320)):
        ground[np.hypot(y - cy, x - cx) < 22] = (200, 20, 40)
    out = extend(grained(ground, 1.5), None, (320, 720), (0, 200), seed=3).astype(int)
    red = (out[..., 0] - out[..., 1] > 90) & (out[..., 1] < 70)
    assert red[:, :200].sum() == 0
    beyond = red[:, 520:]
    whole = np.hypot(y - 200, x + 0.5) < 22
    assert beyond[:, 24:].sum() == 0
    assert (beyond & whole[:, :200]).sum() > 0.8 * whole[:, :200].sum()  # the other half of it


def test_the_same_seed_gives_the_same_picture_and_another_seed_another() -> None:
    source = data.coffee()[:200, 350:600]
    first, again, other = (extend(source, None, (200, 400), (0, 75), seed) for seed in (11, 11, 12))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_product_that_fills_the_picture_leaves_a_plain_canvas() -> None:
    source = data.chelsea()[:120, :160]
    out = extend(source, np.full((120, 160), 255, np.uint8), (160, 240), (20, 40), seed=1)
    assert np.array_equal(out[20:140, 40:200], source)
    assert out[:, :40].std() < 30


def test_a_source_that_sticks_out_of_the_canvas_is_refused() -> None:
    with pytest.raises(ValueError, match="does not lie within"):
        extend(data.coffee(), None, (400, 700), (0, 150), seed=1)


def test_a_source_that_fits_is_centred_and_keeps_its_size() -> None:
    plan = plan_canvas((400, 600), (1000, 1001))
    assert (plan.source, plan.offset, plan.scaled) == ((400, 600), (300, 200), False)


def test_a_source_that_is_too_large_is_shrunk_to_fit() -> None:
    plan = plan_canvas((3000, 4000), (1024, 1024))
    assert (plan.source, plan.offset, plan.scaled) == ((768, 1024), (128, 0), True)


@pytest.mark.slow
def test_four_thousand_pixels_square_are_seamless_too() -> None:
    source = grained(studio(1500, 2200), 2.0)
    out = extend(source, None, (4096, 4096), (1298, 948), seed=1)
    assert np.array_equal(out[1298:2798, 948:3148], source)
    inside = grain_of(source)
    assert grain_of(out[1000:2000, :900]) == pytest.approx(inside, rel=0.1)
    assert grain_of(out[3000:, 1000:3000]) == pytest.approx(inside, rel=0.1)
    grey = out.astype(float).mean(axis=-1)
    across = np.abs(grey[1298:2798, 948] - grey[1298:2798, 947]).mean()
    assert across / np.abs(np.diff(grey[1298:2798, 1000:3000], axis=1)).mean() == pytest.approx(1.0, abs=0.15)
