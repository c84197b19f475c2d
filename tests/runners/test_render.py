"""Photo sets: the product untouched on a rendered set, the same for the same seed, and cards that explain their errors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage

from pergai.cards.catalogue import load_catalogue
from pergai.cards.structs import PipelineCard, SceneCard
from pergai.engine.core import Job, Outcome, Placement, SceneParams
from pergai.errors import CardError, NoProductFound
from pergai.imaging.picture import RGB, Alpha, Matte, Picture
from pergai.imaging.placement import bounding_box
from pergai.runners.render import develop, model, reader
from pergai.runners.render.camera import photographed_pitch
from pergai.runners.render.runner import Render
from pergai.runners.render.spec import PhotoSet, check
from pergai.runners.render.subject import Photo, stood
from tests.runners.desk import BenchDesk, real_model

PIPELINE = PipelineCard(
    id="render-test",
    title="",
    runner="render",
    tasks=("scene",),
    models={"matte": "isnet", "engine": "mitsuba"},
    options={"samples": 4, "depth": 4},
)
SCENES = load_catalogue().scenes
OPEN_LENS = SceneCard(
    id="mine",
    title="",
    category="studio",
    prompt="",
    set={
        "backdrop": {"kind": "wall", "material": "paper", "colour": "#8c8c8c", "distance": 7.0},
        "camera": {"aperture": 0.14, "pitch": 9.0},
    },
)
Shoot = Callable[..., Outcome]


@pytest.fixture(scope="module")
def bottle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bottle that is cut out already: seen from a little above, soft at its edge."""
    big = Image.new("RGBA", (600, 1200))
    draw = ImageDraw.Draw(big)
    for x in range(150, 450):
        light = int(120 + 100 * np.exp(-(((x - 230) / 50) ** 2)))
        draw.line([(x, 300), (x, 1100)], fill=(light // 4, light, light * 3 // 4, 255))
    draw.rectangle([240, 80, 360, 300], fill=(230, 220, 200, 255))
    draw.pieslice([150, 1070, 450, 1130], 0, 180, fill=(25, 110, 84, 255))
    path = tmp_path_factory.mktemp("products") / "bottle.png"
    big.resize((150, 300), Image.Resampling.LANCZOS).save(path)
    return path


@pytest.fixture(scope="module")
def shoot(bottle: Path, tmp_path_factory: pytest.TempPathFactory) -> Shoot:
    """Run the real runner on a scene at 192 × 192 or as told."""
    engine = real_model(model.load, "mitsuba")
    cache = tmp_path_factory.mktemp("cache")

    def run(scene: str, seed: int = 1, source: Path = bottle, size: int = 192, **params: Any) -> Outcome:
        desk = BenchDesk(PIPELINE, {"mitsuba": engine}, cache, SCENES | {"mine": OPEN_LENS})
        wanted = asdict(SceneParams(scene=scene, width=size, height=size, **params))
        job = Job(
            id="job",
            kind="scene",
            library="test",
            pipeline=PIPELINE.id,
            provider="nano-banana",
            source=str(source),
            source_sha256="",
            params=wanted,
            seed=seed,
        )
        return asyncio.run(Render().run(job, desk))

    return run


def product_of(outcome: Outcome) -> tuple[int, int, int, int]:
    left, top, right, bottom = outcome.details["placement"]["box"]
    return left, top, right, bottom


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_picture(shoot: Shoot) -> None:
    first, again, other = shoot("studio", seed=7), shoot("studio", seed=7), shoot("studio", seed=8)
    assert np.array_equal(first.pixels, again.pixels)
    assert not np.array_equal(first.pixels, other.pixels)


def test_the_products_pixels_come_through_exactly(shoot: Shoot) -> None:
    outcome = shoot("studio")
    reference = outcome.reference
    assert reference is not None
    assert reference.where.sum() > 500
    assert np.array_equal(outcome.pixels[reference.where], reference.pixels[reference.where])
    assert outcome.model == "isnet+mitsuba"


def test_the_product_is_not_resampled_where_its_size_is_right_already(shoot: Shoot, bottle: Path) -> None:
    source = np.asarray(Image.open(bottle))
    box = bounding_box(source[..., 3])
    assert box is not None
    outcome = shoot("studio", size=384, placement=Placement(scale=box.height / 384))
    assert outcome.details["placement"]["scale"] == 1.0
    left, top, right, bottom = product_of(outcome)
    source = source[box.top : box.bottom, box.left : box.right]
    solid = source[..., 3] == 255
    assert np.array_equal(outcome.pixels[top:bottom, left:right][solid], source[..., :3][solid])


def test_white_is_pure_white_with_a_shadow_only_at_the_products_foot(shoot: Shoot) -> None:
    outcome = shoot("white", size=256)
    left, _, right, bottom = product_of(outcome)
    pixels = outcome.pixels.copy()
    edge = np.concatenate([pixels[0], pixels[:, 0], pixels[:, -1]])
    assert (edge == 255).all()
    assert (pixels[: bottom - 40, : left - 40] == 255).all()
    below = pixels[bottom - 2 : bottom + 5, max(left - 10, 0) : right + 10].mean(axis=-1)
    assert below[-6:].min() < 235, "there is a contact shadow"


def test_the_papers_grain_is_no_part_of_a_shadow_on_white() -> None:
    y, x = np.mgrid[:256, :256]
    product = (np.abs(x - 128) < 40) & (np.abs(y - 110) < 50)
    shadow = np.exp(-(((x - 128) / 60.0) ** 2) - ((y - 165) / 20.0) ** 2)
    grain = ndimage.gaussian_filter(np.random.default_rng(3).normal(0.0, 0.02, x.shape), 0.7)
    albedo = np.repeat((0.97 + grain)[..., None], 3, axis=-1).astype(np.float32)
    seen = 255.0 * develop.seamless(albedo * (1.0 - 0.3 * shadow)[..., None], albedo, product)[..., 0]
    rough = np.abs(seen - ndimage.gaussian_filter(seen, 1.5))[~ndimage.binary_dilation(product, iterations=6)]
    assert seen[~product].min() < 225.0, "there is a shadow"
    assert rough.max() < 1.0, "and nobody sees the paper in it"


def test_the_set_shows_no_product_behind_the_product(shoot: Shoot) -> None:
    """A red light on a green product: no rendered rim may peek out beside it."""
    outcome, empty = shoot("white", size=256), shoot("white", size=256, shadow="none")
    left, top, right, bottom = product_of(outcome)
    beside = np.s_[top : top + (bottom - top) // 2, max(left - 6, 0) : right + 6]
    clear = outcome.reference is not None and ~outcome.reference.where[beside]
    difference = np.abs(outcome.pixels[beside].astype(int) - empty.pixels[beside].astype(int)).max(axis=-1)
    assert difference[clear].max() <= 12


def test_shadows_are_none_soft_or_hard_as_asked(shoot: Shoot) -> None:
    pictures = {shadow: shoot("studio", size=256, shadow=shadow) for shadow in ("none", "soft", "hard")}
    _, _, right, bottom = product_of(pictures["none"])
    floor = np.s_[bottom - 30 : bottom + 6, right + 6 : min(right + 70, 256)]
    grey = {shadow: outcome.pixels[floor].mean(axis=-1) for shadow, outcome in pictures.items()}
    assert grey["soft"].min() < grey["none"].min() - 10
    assert grey["hard"].min() < grey["none"].min() - 10
    steepest = {shadow: float(np.abs(np.diff(values, axis=0)).max()) for shadow, values in grey.items()}
    assert steepest["hard"] > 1.3 * steepest["soft"]


def test_a_glossy_floor_mirrors_the_product_with_its_foot_against_its_own(shoot: Shoot) -> None:
    outcome, empty = shoot("dark", size=256), shoot("dark", size=256, shadow="none")
    left, _, right, bottom = product_of(outcome)
    middle = (left + right) // 2
    mirrored = outcome.pixels[bottom + 4 : bottom + 16, middle - 6 : middle + 6].reshape(-1, 3).mean(axis=0)
    plain = empty.pixels[bottom + 4 : bottom + 16, middle - 6 : middle + 6].reshape(-1, 3).mean(axis=0)
    assert mirrored[1] - mirrored[0] > plain[1] - plain[0] + 3, "the green foot is mirrored, not the cream cap"


def test_the_placement_is_kept(shoot: Shoot) -> None:
    outcome = shoot("studio", size=200, placement=Placement(scale=0.3, x=0.25, y=0.7))
    left, top, right, bottom = product_of(outcome)
    assert bottom == 140
    assert abs((left + right) / 2 - 50) <= 1
    assert abs((bottom - top) - 60) <= 1


def test_from_above_the_product_lies_in_the_middle(shoot: Shoot) -> None:
    outcome = shoot("studio", view="top")
    left, top, right, bottom = product_of(outcome)
    assert outcome.details["view"] == "top"
    assert outcome.details["viewDecidedBy"] == "request"
    assert abs((top + bottom) / 2 - 96) <= 1
    assert abs((left + right) / 2 - 96) <= 1


def test_a_large_picture_is_lit_small_and_still_keeps_the_product_exact(shoot: Shoot) -> None:
    outcome = shoot("studio", size=1300)
    assert outcome.pixels.shape == (1300, 1300, 3)
    assert outcome.details["lightPixels"] == [1024, 1024]
    assert outcome.reference is not None
    where = outcome.reference.where
    assert np.array_equal(outcome.pixels[where], outcome.reference.pixels[where])
    assert "product_enlarged" in outcome.notes


def test_an_empty_cut_out_is_no_product() -> None:
    nothing = Matte(np.zeros((50, 50), np.uint8), np.zeros((50, 50, 3), np.uint8))
    params = SceneParams(scene="studio", width=64, height=64)
    with pytest.raises(NoProductFound):
        stood(check(SCENES["studio"]), params, [Photo(Picture(nothing.foreground), nothing)])


def test_the_prompt_changes_the_set_and_the_record_says_how(shoot: Shoot) -> None:
    plain, teal = shoot("studio"), shoot("studio", prompt="teal backdrop, with a zeppelin")
    assert teal.words == ("teal",)
    assert teal.notes == ("word_not_used:zeppelin",)
    corner = np.s_[:30, :30]
    assert teal.pixels[corner].reshape(-1, 3).mean(0)[0] < plain.pixels[corner].reshape(-1, 3).mean(0)[0] - 40


@pytest.mark.slow
@pytest.mark.parametrize("scene", ["blinds", "mediterranean", "sunlight"])
def test_sun_through_a_gobo_burns_nothing_out(shoot: Shoot, scene: str) -> None:
    outcome = shoot(scene, size=128)
    assert outcome.reference is not None
    around = outcome.pixels[~outcome.reference.where]
    assert (around.min(axis=-1) >= 250).mean() < 0.002, "nowhere paper-white"
    assert np.percentile(around.mean(axis=-1), 99) > 180, "but lit by a sun"


# --- cards -------------------------------------------------------------------------------------------


def scene_with(**tables: Any) -> SceneCard:
    return SceneCard(id="mine", title="Mine", category="studio", prompt="", set=tables)


def test_there_are_at_least_thirty_scenes_and_the_promised_ones_are_among_them() -> None:
    promised = {
        "studio", "nature", "luxury", "marble", "wood", "white", "podium", "pastel", "dark", "sunlight", "flatlay", "festive",
    }  # fmt: skip
    assert promised <= set(SCENES)
    assert len(SCENES) >= 30


@pytest.mark.parametrize("scene", SCENES)
def test_every_scene_card_is_a_whole_set(scene: str) -> None:
    card = SCENES[scene]
    assert isinstance(check(card), PhotoSet)
    assert card.prompt
    assert card.description


@pytest.mark.parametrize(
    ("tables", "says"),
    [
        ({"floor": {"materiel": "wood"}}, "scenes/mine.toml: Object contains unknown field `materiel` - at set.floor"),
        ({"floor": {"material": "cheese"}}, "scenes/mine.toml: Invalid enum value 'cheese' - at set.floor.material"),
        ({"lights": [{"power": "much"}]}, "scenes/mine.toml: Expected `float`, got `str` - at set.lights[0].power"),
        ({"floor": {"colour": "reddish"}}, "scenes/mine.toml: set.floor.colour: 'reddish' is not a colour"),
        ({"backdrop": {"colour": "$sea"}}, "scenes/mine.toml: set.backdrop.colour: '$sea' is not a colour"),
    ],
)
def test_a_wrong_field_of_a_set_is_named_with_its_file(tables: dict[str, Any], says: str) -> None:
    with pytest.raises(CardError) as error:
        check(scene_with(**tables))
    assert str(error.value).startswith(says)


def test_a_set_may_name_its_colours() -> None:
    photo_set = check(scene_with(colours={"sea": "#204060"}, floor={"colour": "$sea"}))
    assert photo_set.floor.colour == "#204060"


def _kinds(scene: str) -> set[str]:
    """Everything that a set is built from."""
    s = check(SCENES[scene])
    found = {f"floor {s.floor.shape}", f"backdrop {s.backdrop.kind}", f"stand {s.stand.kind}", f"view {s.camera.view}"}
    found |= {part.material for part in (s.floor, s.backdrop, s.stand)}
    found |= {f"prop {prop.kind}" for prop in s.props} | {prop.material for prop in s.props}
    return found | {f"light {light.kind}" for light in s.lights} | {f"gobo {light.gobo}" for light in s.lights}


def _fewest() -> list[str]:
    """A few sets in which everything that any set is built from is to be found."""
    missing, chosen = {kind for scene in SCENES for kind in _kinds(scene)}, []
    while missing:
        chosen.append(max(SCENES, key=lambda scene: len(_kinds(scene) & missing)))
        missing -= _kinds(chosen[-1])
    return chosen


@pytest.mark.slow
@pytest.mark.parametrize("scene", _fewest())
def test_a_scene_renders_something_between_black_and_white(shoot: Shoot, scene: str) -> None:
    outcome = shoot(scene, size=128)
    assert outcome.reference is not None
    around = outcome.pixels[~outcome.reference.where].astype(float)
    assert around.std() > 2
    assert 12 < around.mean() <= 254.9


# --- words -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prompt", "part", "field", "value"),
    [
        ("navy backdrop", "floor", "colour", "#1a2747"),  # the studio's floor and backdrop are one sheet
        ("on a walnut table", "floor", "material", "wood"),
        ("black marble floor", "floor", "colour", "#1b1b1e"),
        ("concrete wall", "backdrop", "material", "concrete"),
        ("a plaster podium", "stand", "material", "plaster"),
        ("sage green background", "floor", "colour", "#a6b39a"),
        ("#12ab34", "floor", "colour", "#12ab34"),
    ],
)
def test_a_word_changes_the_part_it_is_said_of(prompt: str, part: str, field: str, value: str) -> None:
    adjusted = reader.adjust(check(SCENES["studio"]), prompt)
    assert getattr(getattr(adjusted.photo_set, part), field) == value
    assert not adjusted.unused


def test_light_words_change_the_main_light() -> None:
    plain = check(SCENES["studio"])
    warm = reader.adjust(plain, "golden hour sun with palm leaf shadows").photo_set.lights[0]
    assert warm.kind == "sun"
    assert warm.kelvin < 4000
    assert warm.gobo == "palm"
    soft = reader.adjust(plain, "very soft light").photo_set.lights[0]
    assert soft.size[0] > plain.lights[0].size[0]


def test_props_are_added_in_their_colour_and_taken_away() -> None:
    plain = check(SCENES["studio"])
    added = reader.adjust(plain, "with red spheres")
    assert {prop.colour for prop in added.photo_set.props} == {"#c4262e"}
    leafless = reader.adjust(check(SCENES["sunlight"]), "no leaves")
    assert leafless.photo_set.lights[0].gobo == "none"
    assert leafless.words == ("no leaf",)
    assert reader.adjust(check(SCENES["pastel"]), "", "spheres").photo_set.props[-1].kind != "sphere"


def test_a_mood_stands_for_several_words() -> None:
    adjusted = reader.adjust(check(SCENES["studio"]), "tropical")
    assert adjusted.photo_set.lights[0].gobo == "palm"
    assert any(prop.kind == "plant" for prop in adjusted.photo_set.props)


def test_what_is_not_understood_is_listed_and_changes_nothing() -> None:
    plain = check(SCENES["studio"])
    adjusted = reader.adjust(plain, "a beautiful photo of a quixotic unicorn")
    assert adjusted.photo_set == plain
    assert adjusted.unused == ("quixotic", "unicorn")
    assert adjusted.words == ()


# --- the photo's own viewpoint -------------------------------------------------------------------------


@pytest.mark.parametrize("pitch", [8, 25, 40, 55])
def test_the_camera_follows_how_the_product_was_photographed(pitch: int) -> None:
    found = photographed_pitch(cylinder(pitch))
    assert found is not None
    assert abs(found - pitch) < 2


def test_a_ball_does_not_say_from_where_it_was_photographed() -> None:
    image = Image.new("L", (400, 400))
    ImageDraw.Draw(image).ellipse([80, 80, 320, 320], fill=255)
    assert photographed_pitch(np.asarray(image)) is None


def cylinder(pitch: int) -> Alpha:
    image = Image.new("L", (500, 700))
    draw = ImageDraw.Draw(image)
    foot = 150 * np.sin(np.radians(pitch))
    draw.rectangle([100, 200, 400, 500], fill=255)
    draw.ellipse([100, 500 - foot, 400, 500 + foot], fill=255)
    return np.asarray(image)


def test_a_real_photo_of_a_cup_is_seen_from_three_quarter_above(photos: dict[str, RGB], weights_folder: Path) -> None:
    from pergai.imaging.matte import refine, working_copy
    from pergai.runners import segment

    net = segment.load(load_catalogue().models["isnet"], weights_folder / "isnet", "cpu")
    (look,) = net.run([working_copy(photos["coffee"])])
    pitch = photographed_pitch(refine(photos["coffee"], look.mask).alpha)
    assert pitch is not None
    assert 40 < pitch < 65


@pytest.fixture(scope="module")
def crate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A magenta box, cut out already: seen from a little above and round its corner, so it reaches far back."""
    big = Image.new("RGBA", (1200, 700))
    outline = [(60, 180), (420, 60), (1140, 140), (1140, 520), (420, 640), (60, 560)]
    ImageDraw.Draw(big).polygon(outline, fill=(230, 30, 200, 255))
    path = tmp_path_factory.mktemp("products") / "crate.png"
    big.resize((600, 350), Image.Resampling.LANCZOS).save(path)
    return path


def test_a_lens_wide_open_draws_no_rim_in_the_products_colour_round_it(shoot: Shoot, crate: Path) -> None:
    """What the lens blurs of the body's back edge is hidden too: right above the box the wall is as grey as elsewhere."""
    outcome = shoot("mine", source=crate, size=448)
    left, top, right, _ = product_of(outcome)
    above = np.s_[top - 12 : top + 60, left:right]
    distance = ndimage.distance_transform_edt(~_magenta(outcome.pixels))[above]
    wall = outcome.pixels[above].astype(float)
    tint = (wall[..., 0] + wall[..., 2]) / 2 - wall[..., 1]
    assert np.median(tint[(distance > 1.5) & (distance < 3.5)]) < np.median(tint[(distance > 8) & (distance < 12)]) + 2


def test_a_contact_shadow_is_darkest_where_the_product_stands(shoot: Shoot, crate: Path) -> None:
    outcome = shoot("studio", source=crate, size=448)
    picture = outcome.pixels.astype(float).mean(axis=-1)
    left, _, right, bottom = product_of(outcome)
    columns = np.arange((left + right) // 2, right - 12)
    foot = bottom - 1 - np.argmax(_magenta(outcome.pixels)[:bottom][::-1], axis=0)[columns]
    first, second, third = (picture[foot + k, columns].mean() for k in (2, 3, 4))
    assert first < second - 1
    assert second < third - 1
    assert first < third - 4


def _magenta(pixels: RGB) -> np.ndarray:
    """Where the crate is seen."""
    return np.asarray((np.abs(pixels.astype(int) - [230, 30, 200]) < 12).all(axis=-1))


def test_light_goes_all_the_way_through_ice(shoot: Shoot, crate: Path) -> None:
    """A path that ends inside leaves black: no place of a pale blue set is dark, but the product and its foot."""
    outcome = shoot("ice", source=crate)
    left, top, right, bottom = product_of(outcome)
    around = np.ones(outcome.pixels.shape[:2], bool)
    around[top - 3 : bottom + 12, left - 3 : right + 3] = False
    assert (outcome.pixels.mean(axis=-1)[around] < 50).mean() < 0.005
