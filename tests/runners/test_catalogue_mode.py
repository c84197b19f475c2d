"""Many products on one set: the same camera and background for all, whether the set was lit before or not."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pergai.cards.catalogue import load_catalogue
from pergai.cards.structs import PipelineCard
from pergai.engine.core import Job, Outcome, SceneParams
from pergai.imaging.decode import decode
from pergai.imaging.matte import from_alpha
from pergai.runners.render import catalogue, model
from pergai.runners.render.denoise import Guide
from pergai.runners.render.runner import Render
from pergai.runners.render.shoot import Plan, finish, plan
from pergai.runners.render.spec import check
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
SIZE = 192
Shoot = Callable[..., Outcome]


@pytest.fixture(scope="module")
def products(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A slim red bottle, a low blue tin with a round foot that is seen from above, and a long green crate."""
    folder = tmp_path_factory.mktemp("products")
    bottle, tin, crate = (Image.new("RGBA", size) for size in ((100, 300), (300, 200), (340, 140)))
    ImageDraw.Draw(bottle).rectangle([20, 10, 79, 289], fill=(190, 30, 40, 255))
    ImageDraw.Draw(tin).rectangle([20, 20, 279, 150], fill=(30, 60, 190, 255))
    ImageDraw.Draw(tin).ellipse([20, 110, 279, 190], fill=(30, 60, 190, 255))
    ImageDraw.Draw(crate).rectangle([10, 10, 329, 129], fill=(40, 150, 60, 255))
    paths = {name: folder / f"{name}.png" for name in ("bottle", "tin", "crate")}
    for name, image in zip(paths, (bottle, tin, crate), strict=True):
        image.save(paths[name])
    return paths


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def shoot(products: dict[str, Path], cache: Path) -> Shoot:
    engine = real_model(model.load, "mitsuba")
    scenes = load_catalogue().scenes

    def run(product: str, scene: str = "studio", seed: int = 5, **params: Any) -> Outcome:
        desk = BenchDesk(PIPELINE, {"mitsuba": engine}, cache, scenes)
        wanted = asdict(SceneParams(scene=scene, width=SIZE, height=SIZE, lock_camera=True, **params))
        job = Job(
            id="job",
            kind="scene",
            library="test",
            pipeline=PIPELINE.id,
            provider="nano-banana",
            source=str(products[product]),
            source_sha256="",
            params=wanted,
            seed=seed,
        )
        return asyncio.run(Render().run(job, desk))

    return run


def planned(path: Path, cache: Path, samples: int = 4, **params: Any) -> Plan:
    wanted = SceneParams(**{"scene": "studio", "width": SIZE, "height": SIZE, "lock_camera": True, **params})
    photo_set = check(load_catalogue().scenes[wanted.scene])
    source = decode(path)
    assert source.alpha is not None
    subject = stood(photo_set, wanted, [Photo(source, from_alpha(source.pixels, source.alpha))])
    return plan(photo_set, wanted, subject, seed=5, cache=cache, samples=samples, depth=4)


def test_a_picture_is_the_same_whether_its_empty_set_was_lit_before_or_not(shoot: Shoot, cache: Path) -> None:
    shutil.rmtree(cache / "sets", ignore_errors=True)
    cold = shoot("bottle")
    assert len(list((cache / "sets").iterdir())) == 1
    warm = shoot("bottle")
    assert np.array_equal(cold.pixels, warm.pixels)
    (kept,) = (cache / "sets").iterdir()
    kept.write_bytes(kept.read_bytes()[:1000])
    assert np.array_equal(cold.pixels, shoot("bottle").pixels), "a damaged one is lit again"


def test_products_of_other_shapes_share_the_set_and_its_pixels(shoot: Shoot, cache: Path) -> None:
    shutil.rmtree(cache / "sets", ignore_errors=True)
    bottle, tin = (shoot(product, real_height_mm=50.0, frame_mm=400.0) for product in ("bottle", "tin"))
    assert len(list((cache / "sets").iterdir())) == 1
    for name in ("view", "cameraPitch"):
        assert bottle.details[name] == tin.details[name]
    assert bottle.details["viewDecidedBy"] == "lock"
    corners = np.s_[: SIZE // 3, : SIZE // 5]
    same = (bottle.pixels[corners] == tin.pixels[corners]).all(axis=-1)
    assert same.mean() > 0.9
    bottoms = {outcome.details["placement"]["box"][3] for outcome in (bottle, tin)}
    assert len(bottoms) == 1, "they stand on one line"


def test_a_shared_set_shows_what_a_picture_of_its_own_would(
    shoot: Shoot, products: dict[str, Path], cache: Path
) -> None:
    """Against the same set and product, traced whole with many paths."""
    shared = shoot("bottle")
    traced = planned(products["bottle"], cache, samples=64)
    (light,) = real_model(model.load, "mitsuba").run([traced.take])
    whole = finish(traced, light)
    outside = traced.subject.placed.alpha == 0
    error = float(np.mean((shared.pixels[outside].astype(float) - whole.pixels[outside]) ** 2))
    assert 10 * np.log10(255**2 / error) > 38
    box = shared.details["placement"]["box"]
    foot = np.s_[box[3] - 10 : box[3] + 4, box[2] + 2 : box[2] + 20]
    assert abs(float(shared.pixels[foot].mean()) - float(whole.pixels[foot].mean())) < 4, "the shadow is as dark"


@pytest.mark.parametrize(
    ("scene", "width", "height"),
    [("luxury", 192, 192), ("festive", 256, 144), ("podium", 128, 192), ("flatlay", 192, 192), ("flatlay", 256, 144)],
)
def test_the_largest_product_meets_no_prop_of_the_set_that_it_shares_with_a_slim_one(
    products: dict[str, Path], cache: Path, scene: str, width: int, height: int
) -> None:
    slim, *large = (
        planned(products[name], cache, scene=scene, width=width, height=height) for name in ("bottle", "tin", "crate")
    )
    for one in large:
        assert "product_meets_prop" not in one.subject.notes
        assert catalogue.fingerprint(one.bare) == catalogue.fingerprint(slim.bare)


def test_a_product_of_known_size_that_is_too_large_for_its_set_is_said_to_be(
    products: dict[str, Path], cache: Path
) -> None:
    """Nobody can know beforehand how large they are: room for all of them would leave no set."""
    sized = {"scene": "podium", "frame_mm": 400.0}
    slim, wide = (planned(products["crate"], cache, **sized, real_height_mm=height) for height in (50.0, 160.0))
    assert slim.subject.notes == ()
    assert set(wide.subject.notes) >= {"product_meets_prop", "product_overhangs_stand"}
    assert catalogue.fingerprint(wide.bare) == catalogue.fingerprint(slim.bare)


def test_another_seed_or_scene_is_another_set(shoot: Shoot, cache: Path) -> None:
    shutil.rmtree(cache / "sets", ignore_errors=True)
    shoot("bottle")
    shoot("bottle", seed=6)
    shoot("bottle", scene="concrete")
    assert len(list((cache / "sets").iterdir())) == 3


def test_products_have_their_real_sizes_against_each_other(shoot: Shoot) -> None:
    heights = {}
    for product, real in (("bottle", 240.0), ("tin", 80.0)):
        outcome = shoot(product, real_height_mm=real, frame_mm=400.0)
        _, top, _, bottom = outcome.details["placement"]["box"]
        heights[product] = bottom - top
        assert abs(heights[product] - real / 400 * SIZE) <= 2
    assert "product_exceeds_frame" in shoot("tin", real_height_mm=350.0, frame_mm=400.0).notes


def test_only_what_a_product_changes_is_touched_and_edges_are_traced_anew() -> None:
    random = np.random.default_rng(3)
    first = random.gamma(2.0, 0.25, (256, 256, 3)).astype(np.float32)
    empty = catalogue.Empty(np.full_like(first, 0.5), first, Guide(np.full_like(first, 0.8)))
    light = first.copy()
    light[120:160, 100:150] *= 0.5  # a shadow with a sharp edge
    colour, box = catalogue.added(empty, light, np.zeros((256, 256), bool))
    assert (box.left < 100, box.top < 120, box.right > 150, box.bottom > 160) == (True,) * 4
    far = np.ones((256, 256), bool)
    far[50:230, 30:220] = False
    assert (colour[far] == empty.colour[far]).all()
    near = np.full((box.height, box.width, 3), 0.2, np.float32)
    whole = catalogue.set_in(colour, box, near)
    assert (whole[120:160, 100:150] == 0.2).all()
    assert np.abs(np.diff(whole, axis=0)).max() < 0.03, "no seam"


def test_a_single_bright_path_neither_glows_nor_looks_like_an_edge() -> None:
    even = np.full((256, 256, 3), 0.5, np.float32)
    empty = catalogue.Empty(even, even, Guide(even))
    light = even.copy()
    light[128, 128] = 100
    colour, box = catalogue.added(empty, light, np.zeros((256, 256), bool))
    assert np.abs(colour - even).max() < 0.005
    assert box.width == box.height == 0
