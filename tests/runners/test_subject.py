"""What is decided before anything is rendered: viewpoint, groups, poses, variants, room for a logo, colours, relighting."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from pergai.cards.catalogue import load_catalogue
from pergai.engine.core import Area, Placement, Pose, SceneParams
from pergai.imaging.composite import stacked
from pergai.imaging.picture import Alpha, Matte, Picture
from pergai.imaging.placement import Box, Placed, Spot
from pergai.runners.render import card as cards
from pergai.runners.render import pose, relight, viewpoint
from pergai.runners.render.arrange import arrange
from pergai.runners.render.brand import branded
from pergai.runners.render.camera import aim
from pergai.runners.render.layers import difference
from pergai.runners.render.model import Light as Rendered
from pergai.runners.render.safe_area import beside
from pergai.runners.render.spec import Backdrop, Camera, Floor, Light, Look, PhotoSet, Stand, check
from pergai.runners.render.subject import Photo, stood
from pergai.runners.render.variation import LIMITS, pitched, variation, varied

SET = PhotoSet()


def shape(draw_it: str, size: tuple[int, int] = (200, 200)) -> Alpha:
    image = Image.new("L", size)
    draw = ImageDraw.Draw(image)
    if draw_it == "pen":
        draw.line([(20, 180), (180, 20)], fill=255, width=14)
    elif draw_it == "box":
        draw.rectangle([50, 40, 150, 180], fill=255)
    elif draw_it == "headphones":
        draw.arc([40, 20, 160, 220], 180, 360, fill=255, width=10)
        draw.ellipse([30, 110, 60, 190], fill=255)
        draw.ellipse([140, 100, 170, 180], fill=255)
    elif draw_it == "cylinder":
        draw.rectangle([50, 40, 150, 160], fill=255)
        draw.ellipse([50, 130, 150, 190], fill=255)
    return np.asarray(image)


def photo(alpha: Alpha, colour: tuple[int, int, int] = (40, 90, 160)) -> Photo:
    pixels = np.empty((*alpha.shape, 3), np.uint8)
    pixels[:] = colour
    return Photo(Picture(pixels), Matte(alpha, pixels))


# --- viewpoint -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("product", "view", "decided_by", "evidence"),
    [
        ("box", "front", "photo", "a straight foot"),
        ("cylinder", "three-quarter", "photo", "a round foot"),
        ("pen", "top", "photo", "lies askew"),
        ("headphones", "front", "default", "none"),
    ],
)
def test_the_photo_tells_how_it_was_taken(product: str, view: str, decided_by: str, evidence: str) -> None:
    found = viewpoint.decide("auto", "standing", SET, shape(product))
    assert (found.view, found.decided_by, found.evidence) == (view, decided_by, evidence)


def test_a_request_comes_before_the_scene_and_the_scene_before_the_photo() -> None:
    flat_lay = PhotoSet(camera=Camera(view="top"))
    assert viewpoint.decide("auto", "standing", flat_lay, shape("box"))[::2] == ("top", "scene")
    assert viewpoint.decide("front", "standing", flat_lay, shape("pen"))[::2] == ("front", "request")


@pytest.mark.parametrize(("how", "view"), [("lying", "top"), ("hanging", "front"), ("floating", "front")])
def test_a_pose_decides_what_it_is_seen_from(how: Pose, view: str) -> None:
    assert viewpoint.decide("auto", how, PhotoSet(camera=Camera(view="top")), shape("box")).view == view


# --- groups --------------------------------------------------------------------------------------------


def test_a_group_is_as_large_to_the_eye_as_each_other_and_hardly_covered() -> None:
    sizes = [(100, 300), (400, 400), (90, 90), (300, 100)]
    group = arrange(sizes, lying=False)
    shares = [s.scale**2 * w * h for s, (w, h) in zip(group.seats, sizes, strict=True)]
    assert max(shares) / min(shares) < 1.8
    assert sorted(group.order) == [0, 1, 2, 3]
    assert group.order[0] == 0, "the tallest stands at the back"
    boxes = [
        (seat.x - w * seat.scale / 2, seat.x + w * seat.scale / 2)
        for seat, (w, _) in zip(group.seats, sizes, strict=True)
    ]
    for (_, right), (left, far) in pairwise(sorted(boxes)):
        assert right - left <= 0.11 * (far - left) + 1e-9, "a neighbour covers a tenth at most"
    assert all(group.seats[i].base >= group.seats[group.order[0]].base for i in range(4)), "the others stand nearer"


def test_what_lies_together_does_not_touch() -> None:
    sizes = [(100, 300), (400, 400), (90, 90), (300, 100), (50, 200)]
    group = arrange(sizes, lying=True)
    boxes = [
        (s.x - w * s.scale / 2, s.base - h * s.scale, s.x + w * s.scale / 2, s.base)
        for s, (w, h) in zip(group.seats, sizes, strict=True)
    ]
    for i, a in enumerate(boxes):
        for b in boxes[i + 1 :]:
            assert a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1]


def test_each_product_of_a_group_is_checked_where_it_is_seen() -> None:
    params = SceneParams(scene="studio", width=300, height=300)
    soft = np.asarray(Image.fromarray(shape("box")).filter(ImageFilter.GaussianBlur(2)))
    subject = stood(SET, params, [photo(soft), photo(soft, (200, 40, 20)), photo(shape("cylinder"))])
    assert len(subject.bodies) == 3
    for body in subject.bodies:
        own = subject.where & (body.foreground == subject.placed.foreground).all(axis=-1) & (body.alpha == 255)
        assert own.sum() > 300
    for body in subject.bodies[1:]:
        assert not subject.where[(body.alpha > 0) & (body.alpha < 255)].any(), (
            "not where one shines through another's edge"
        )
    left, top, right, bottom = subject.details["placement"]["box"]
    assert left >= 0 and top >= 0 and right <= 300 and bottom <= 300


def test_a_scene_notes_which_cut_outs_somebody_ought_to_look_at() -> None:
    """Of a group, when one of them is doubtful."""
    sure = photo(shape("box"))
    unsure = sure._replace(matte=replace(sure.matte, doubtful=True))
    params = SceneParams(scene="studio", width=300, height=300)
    assert "cut_out_doubtful" in stood(PhotoSet(), params, [sure, unsure]).notes
    assert "cut_out_doubtful" not in stood(PhotoSet(), params, [sure, sure]).notes


def test_cut_outs_on_top_of_each_other_stay_exact_where_one_is_solid() -> None:
    behind = Placed(np.full((40, 40, 3), 200, np.uint8), np.full((40, 40), 255, np.uint8), Box(0, 0, 40, 40), 1.0)
    alpha = np.zeros((40, 40), np.uint8)
    alpha[10:30, 10:30], alpha[15:25, 15:25] = 128, 255
    front = Placed(np.full((40, 40, 3), 20, np.uint8), alpha, Box(10, 10, 30, 30), 2.0)
    both = stacked([behind, front])
    assert (both.alpha == 255).all()
    assert (both.foreground[15:25, 15:25] == 20).all()
    assert (both.foreground[:10] == 200).all()
    assert abs(int(both.foreground[12, 12, 0]) - 110) <= 1
    assert both.scale == 2.0


# --- poses ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pitch", [3.0, 30.0])
def test_a_lifted_product_is_seen_as_it_is_on_the_ground(pitch: float) -> None:
    camera = aim(400, 400, (210, 330), 200.0, pitch, 6.0)
    for lift in (0.3, 1.5):
        up = pose.lifted(camera, lift)
        assert np.allclose(up.project([[0.2, 0.1, lift + 0.3]]), camera.project([[0.2, 0.1, 0.3]]))


def test_behind_a_hanging_product_the_wall_comes_near_and_the_floor_is_cleared() -> None:
    furnished = check(load_catalogue().scenes["podium"])
    hung = pose.posed(furnished, "hanging", [])
    assert hung.backdrop.distance < 0.5
    assert hung.stand.kind == "none" and hung.props == ()
    assert all(a.target[2] > b.target[2] for a, b in zip(hung.lights, furnished.lights, strict=True))
    assert pose.posed(furnished, "standing", []) is furnished


# --- variants ------------------------------------------------------------------------------------------


def test_no_two_of_eight_variants_are_alike_and_the_first_changes_nothing() -> None:
    eight = [variation(k) for k in range(8)]
    assert len(set(eight)) == 8
    assert varied(SET, eight[0]) is SET
    assert (eight[0].heading, eight[0].pitch) == (0, 0)


def test_a_variant_keeps_within_its_view() -> None:
    for view, (low, high) in LIMITS.items():
        for k in range(8):
            assert low <= pitched((low + high) / 2, view, variation(k)) <= high


def test_mirrored_lights_come_from_the_other_side() -> None:
    lit = PhotoSet(lights=(Light(azimuth=-40, target=(0.2, 0, 0.3)),))
    (light,) = varied(lit, variation(1)).lights
    assert (light.azimuth, light.target) == (40, (-0.2, 0, 0.3))


# --- room for a logo -----------------------------------------------------------------------------------

SPOT = Spot(height=0.5, width=0.8, x=0.5, y=0.8, anchor="bottom")


def test_a_product_that_leaves_the_area_free_is_not_moved() -> None:
    assert beside(Area(left=0, top=0, width=0.3, height=0.15), SPOT, (100, 200), (400, 400)) is SPOT


@pytest.mark.parametrize(
    "area",
    [
        Area(left=0.0, top=0.0, width=0.5, height=1.0),
        Area(left=0.6, top=0.0, width=0.4, height=1.0),
        Area(left=0.0, top=0.0, width=1.0, height=0.45),
        Area(left=0.0, top=0.7, width=1.0, height=0.3),
    ],
)
def test_a_product_makes_room_for_the_logo(area: Area) -> None:
    params = SceneParams(scene="studio", width=400, height=300, safe_area=area)
    alpha = stood(SET, params, [photo(shape("box"))]).placed.alpha
    rows, columns = slice(int(area.top * 300), None), slice(int(area.left * 400), None)
    logo = alpha[rows, columns][: int(area.height * 300), : int(area.width * 400)]
    assert (logo == 0).all()
    assert (alpha == 255).sum() > 2000, "and is still there"


# --- colours and light ---------------------------------------------------------------------------------


def test_paper_and_paint_take_the_brands_colours_and_stone_does_not() -> None:
    paper = PhotoSet(stand=Stand(kind="cylinder", material="plaster"))
    dressed, used = branded(paper, ("#102030", "#405060"))
    assert (dressed.floor.colour, dressed.stand.colour, used) == ("#102030", "#405060", ("#102030", "#405060"))
    marble = PhotoSet(floor=Floor(material="marble"), backdrop=Backdrop(kind="wall", material="concrete"))
    assert branded(marble, ("#102030",)) == (marble, ())
    white = PhotoSet(look=Look(seamless=True))
    assert branded(white, ("#102030",)) == (white, ()), "seamless white stays white"


def lit(colour: tuple[float, float, float]) -> Rendered:
    albedo = np.full((60, 60, 3), 0.5, np.float32)
    return Rendered(albedo * np.array(colour, np.float32), albedo, np.zeros((60, 60, 3), np.float32))


def test_relighting_takes_the_scenes_cast_and_neutral_light_leaves_the_hue() -> None:
    from pergai.runners.render.lights import level

    alpha = np.zeros((60, 60), np.uint8)
    alpha[15:45, 15:45] = 255
    grey = np.full((60, 60, 3), 120, np.uint8)
    placed = Placed(np.where((alpha > 0)[..., None], grey, 0).astype(np.uint8), alpha, Box(15, 15, 45, 45), 1.0)
    white = level(SET)
    warm, record = relight.matched(placed, SET, lit((1.5 * white, white, 0.5 * white)), alpha > 0)
    seen = warm.foreground[20:40, 20:40].reshape(-1, 3).mean(axis=0)
    assert seen[0] > seen[1] + 5 > seen[2] + 10
    assert record["gain"][0] > record["gain"][2]
    even, _ = relight.matched(placed, SET, lit((white, white, white)), alpha > 0)
    seen = even.foreground[20:40, 20:40].reshape(-1, 3).mean(axis=0)
    assert np.ptp(seen) < 1 and abs(float(seen.mean()) - 120) < 6
    assert (even.foreground[:10] == 0).all()


def test_a_white_product_is_never_burnt_out_by_relighting() -> None:
    from pergai.runners.render.lights import level

    alpha = np.zeros((60, 60), np.uint8)
    alpha[15:45, 15:45] = 255
    placed = Placed(np.repeat(alpha[..., None], 3, axis=-1), alpha, Box(15, 15, 45, 45), 1.0)
    white = level(SET)
    warm, _ = relight.matched(placed, SET, lit((2 * white, 1.4 * white, 0.8 * white)), alpha > 0)
    solid = warm.foreground[alpha == 255]
    assert np.median(solid.max(axis=1)) < 250
    assert solid[:, 0].mean() > solid[:, 2].mean() + 15, "warm, not white"


# --- layers --------------------------------------------------------------------------------------------


def test_shadow_and_bounce_turn_the_bare_set_into_the_lit_one() -> None:
    random = np.random.default_rng(3)
    bare = random.integers(0, 256, (50, 60, 3)).astype(np.uint8)
    seen = random.integers(0, 256, (50, 60, 3)).astype(np.uint8)
    bare[:3], seen[3:6] = 0, 0
    nothing = np.zeros((50, 60), bool)
    shadow, bounce = difference(seen, bare, nothing)
    again = np.minimum(np.rint(bare * (shadow / 255)) + bounce, 255)
    assert np.abs(again - seen).max() <= 1


def test_under_the_product_the_shadow_goes_on_smoothly_whatever_the_set_looks_like() -> None:
    random = np.random.default_rng(3)
    bare = random.integers(120, 256, (60, 60, 3)).astype(np.uint8)
    lit_half = np.rint(bare * 0.5).astype(np.uint8)
    hidden = np.zeros((60, 60), bool)
    hidden[20:40, 20:40] = True
    lit_half[hidden] = 255  # the product's own rendered body
    shadow, bounce = difference(lit_half, bare, hidden)
    assert np.abs(shadow[hidden].astype(int) - 128).max() <= 3
    assert bounce[hidden].max() <= 1


def test_the_request_says_where_and_a_group_follows() -> None:
    params = SceneParams(scene="studio", width=300, height=300, placement=Placement(scale=0.3, x=0.3, y=0.9))
    subject = stood(SET, params, [photo(shape("box")), photo(shape("box"))])
    left, top, right, bottom = subject.details["placement"]["box"]
    assert bottom == 270
    assert abs((left + right) / 2 - 90) <= 3
    assert bottom - top <= 92


def test_a_body_that_hangs_is_flat_and_keeps_its_outline() -> None:
    alpha = shape("cylinder")
    camera = aim(200, 200, (100, 189), 150.0, 12.0, 6.0)
    standing = cards.build(np.repeat(alpha[..., None], 3, axis=-1), alpha, camera)
    assert standing is not None
    hung = pose.held(standing, "hanging")
    assert hung.footprint.depth <= pose.FLAT + 1e-6 < standing.footprint.depth
    seen = pose.lifted(camera, pose.LIFT["hanging"]).project(hung.mesh.vertices)
    assert np.abs(seen - camera.project(standing.mesh.vertices)).max() < 0.01
