"""The pixel work around a painting, on pictures with known answers."""

from __future__ import annotations

import numpy as np
import pytest

from pergai.imaging.picture import RGB, Alpha, Matte
from pergai.imaging.placement import Placed, Spot, place
from pergai.runners.diffusion import canvas
from pergai.runners.diffusion.scene import normal_picture
from pergai.runners.render.maps import Maps

ROWS, COLUMNS = slice(100, 300), slice(150, 450)
SIZE = (400, 600)


def gradient(low: float = 90, high: float = 200) -> RGB:
    ramp = np.linspace(low, high, SIZE[1])[None, :, None] + np.linspace(-20, 20, SIZE[0])[:, None, None]
    return np.rint(np.broadcast_to(ramp, (*SIZE, 3))).clip(0, 255).astype(np.uint8)


def disc(radius: int = 60) -> Placed:
    y, x = np.mgrid[0:200, 0:200]
    cover = np.clip(radius + 0.5 - np.hypot(y - 100, x - 100), 0, 1)
    alpha: Alpha = np.rint(cover * 255).astype(np.uint8)
    red = np.zeros((200, 200, 3), np.uint8)
    red[..., 0] = 200
    placed = place(Matte(alpha, red), 400, 400, Spot(height=0.4, width=0.4, x=0.5, y=0.8, anchor="bottom"))
    assert placed is not None
    return placed


def steps_at_the_border(picture: RGB) -> float:
    """The largest step across the source's border, smoothed along it, in 1/255."""
    grey = picture.astype(float).mean(axis=-1)
    pairs = [
        (grey[ROWS, COLUMNS.start - 1], grey[ROWS, COLUMNS.start]),
        (grey[ROWS, COLUMNS.stop], grey[ROWS, COLUMNS.stop - 1]),
        (grey[ROWS.start - 1, COLUMNS], grey[ROWS.start, COLUMNS]),
        (grey[ROWS.stop, COLUMNS], grey[ROWS.stop - 1, COLUMNS]),
    ]
    smooth = np.ones(9) / 9
    return max(float(np.abs(np.convolve(outer - inner, smooth, "valid")).max()) for outer, inner in pairs)


@pytest.mark.parametrize(
    ("width", "height", "side", "expected"),
    [
        (1024, 1024, 1024, (1024, 1024)),
        (1920, 1080, 1024, (768, 1344)),
        (4096, 4096, 1024, (1024, 1024)),
        (300, 900, 512, (896, 320)),
        (400, 320, 64, (56, 72)),
    ],
)
def test_pictures_are_painted_at_the_models_own_area(
    width: int, height: int, side: int, expected: tuple[int, int]
) -> None:
    assert canvas.paint_size(width, height, side) == expected


def test_a_painting_of_other_colours_joins_its_source_without_a_seam() -> None:
    start = gradient()
    painted = (start.astype(int) + np.array([14, -9, 18])).clip(0, 255).astype(np.uint8)
    unjoined = np.where(np.zeros(SIZE, bool)[..., None], start, painted)
    unjoined[ROWS, COLUMNS] = start[ROWS, COLUMNS]
    joined = canvas.join(start, painted, ROWS, COLUMNS)
    assert steps_at_the_border(unjoined) > 7
    assert steps_at_the_border(joined) < 1.5
    assert np.array_equal(joined[ROWS, COLUMNS], start[ROWS, COLUMNS])
    # The colours are the source's near it, too.
    near = np.s_[ROWS, COLUMNS.start - 40 : COLUMNS.start - 10]
    assert np.abs(joined[near].astype(int) - start[near]).mean() < 3


def test_away_from_the_source_a_joined_painting_is_the_painting() -> None:
    random = np.random.default_rng(1)
    start = gradient()
    painted = random.integers(0, 255, start.shape, np.uint8)
    joined = canvas.join(start, painted, ROWS, COLUMNS)
    far = np.s_[:40, :80]
    assert np.corrcoef(joined[far].ravel(), painted[far].ravel())[0, 1] > 0.95


def test_the_mask_leaves_the_source_but_for_a_rim_and_no_rim_at_the_edge_of_the_canvas() -> None:
    mask = canvas.border_mask(SIZE, ROWS, COLUMNS, (200, 300))
    assert mask[0, 0] == mask[49, 150] == mask[51, 150] == 255
    assert mask[100, 150] == 0
    across = canvas.border_mask(SIZE, slice(0, 400), COLUMNS, (200, 300))
    assert across[0, 150] == across[199, 150] == 0
    assert across[100, 10] == 255


def test_a_scene_begins_with_the_product_kept_and_everything_else_to_paint() -> None:
    placed = disc()
    picture, mask = canvas.stage(placed, None, (200, 200))
    box = placed.box
    middle = (box.top + box.bottom) // 4, (box.left + box.right) // 4
    assert mask[middle] == 0
    assert mask[5, 5] == 255
    assert abs(int(picture[middle][0]) - 200) <= 1
    assert tuple(picture[5, 5]) == (127, 127, 127)
    # No pixel that is partly background is kept.
    assert (canvas.resized(placed.alpha, (200, 200))[mask == 0] >= 240).all()


def test_what_the_autoencoder_did_to_the_colours_is_undone() -> None:
    placed = disc()
    painted = np.full((400, 400, 3), (100, 120, 140), np.uint8)
    painted[placed.alpha > 0] = placed.foreground[placed.alpha > 0] - np.array([5, 0, 0], np.uint8)
    finished = canvas.develop(painted, placed, "none", "front")
    assert tuple(finished[5, 5]) == (105, 120, 140)
    assert np.array_equal(finished[placed.alpha == 255], placed.foreground[placed.alpha == 255])


def test_no_ghost_of_a_painted_product_shows_at_its_edge() -> None:
    placed = disc()
    painted = np.full((400, 400, 3), 128, np.uint8)
    painted[placed.alpha > 0] = (200, 0, 0)
    finished = canvas.develop(painted, placed, "none", "front")
    soft = (placed.alpha > 0) & (placed.alpha < 255)
    share = placed.alpha[soft].astype(float) / 255
    wanted = share * 0 + (1 - share) * 128
    assert np.abs(finished[soft][:, 1] - wanted).max() < 12


@pytest.mark.parametrize("view", ["front", "top"])
def test_shadows_lie_where_the_product_stands_and_grow_from_none_to_hard(view: str) -> None:
    placed = disc()
    lights = [canvas.contact_light(placed, kind, view) for kind in ("none", "auto", "soft", "hard")]  # type: ignore[arg-type]
    assert (lights[0] == 1).all()
    assert [float(light.min()) for light in lights] == sorted((float(light.min()) for light in lights), reverse=True)
    box = placed.box
    below = lights[2][min(399, box.bottom + 2), (box.left + box.right) // 2]
    assert below < 0.9
    assert lights[2][5, 5] > 0.99


def test_a_speck_of_sky_does_not_flatten_the_depth_a_control_net_sees() -> None:
    depth = np.repeat(np.linspace(2, 6, 64, dtype=np.float32)[::-1, None], 64, 1)
    depth[10, 10] = np.inf
    blank = np.zeros((64, 64, 3), np.float32)
    seen = Maps(blank.astype(np.uint8), depth, blank, blank, blank[..., 0].astype(np.uint8)).disparity()
    assert seen[10, 10] == 0
    assert seen[0].max() < 8
    assert seen[-1].min() > 247


def test_normals_are_coloured_as_control_nets_read_them() -> None:
    left, up, front = np.array([[-1, 0, 0]]), np.array([[0, 1, 0]]), np.array([[0, 0, 1]])
    colours = normal_picture(np.stack([left, up, front]).astype(np.float32))
    assert colours.argmax(-1).ravel().tolist() == [0, 1, 2]
    assert colours.max(-1).ravel().tolist() == [255, 255, 255]
