"""Maps of a set: what a diffusion pipeline starts from."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from benchmarks.render import product
from pergai.cards.catalogue import load_catalogue
from pergai.cards.structs import PipelineCard
from pergai.engine.core import SceneParams
from pergai.runners.render import maps, model, shoot
from pergai.runners.render.spec import check
from pergai.runners.render.subject import Photo, stood
from tests.runners.desk import BenchDesk, real_model

PIPELINE = PipelineCard(id="maps", title="", runner="render", tasks=("scene",), models={"engine": "mitsuba"})


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> shoot.Plan:
    photo_set = check(load_catalogue().scenes["terrazzo"])
    params = SceneParams(scene="terrazzo", width=192, height=192)
    subject = stood(photo_set, params, [Photo(*product())])
    return shoot.plan(photo_set, params, subject, seed=3, cache=tmp_path_factory.mktemp("cache"), samples=1)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> BenchDesk:
    return BenchDesk(PIPELINE, {"mitsuba": real_model(model.load, "mitsuba")}, tmp_path_factory.mktemp("desk"))


@pytest.fixture(scope="module")
def found(plan: shoot.Plan, desk: BenchDesk) -> maps.Maps:
    return asyncio.run(maps.render(desk, "mitsuba", plan, 0.3, 0.6))


def test_every_map_shows_the_same_view_in_its_units(found: maps.Maps, plan: shoot.Plan) -> None:
    assert found.picture.shape == found.normal.shape == found.albedo.shape == (192, 192, 3)
    assert found.depth.shape == found.mask.shape == (192, 192)
    assert np.array_equal(found.mask, plan.subject.placed.alpha)
    solid = found.mask == 255
    assert np.array_equal(found.picture[solid], plan.subject.placed.foreground[solid])
    length = np.linalg.norm(found.normal, axis=-1)
    assert ((np.abs(length - 1) < 1e-4) | (length == 0)).all()
    assert 0 <= found.albedo.min() < found.albedo.max() <= 1


def test_the_product_stands_before_its_set_and_faces_the_camera(found: maps.Maps, plan: shoot.Plan) -> None:
    solid = found.mask == 255
    distance = plan.take.view.distance
    assert abs(float(np.median(found.depth[solid])) - distance) < 0.5
    wall = np.s_[:20]
    assert np.median(found.depth[wall]) > distance + 1
    assert float(found.normal[wall][..., 2].mean()) > 0.9, "a wall faces the camera"
    floor = np.s_[-12:, :30]
    assert float(found.normal[floor][..., 1].mean()) > 0.9, "a floor faces upward"
    assert (np.diff(found.depth[-20:, 5]) < 0).all(), "and comes nearer towards the lower edge"
    near, far = found.disparity()[-1].mean(), found.disparity()[0].mean()
    assert near > far


def test_the_products_albedo_is_its_own_colours_without_the_light_of_the_set(
    found: maps.Maps, plan: shoot.Plan
) -> None:
    solid = found.mask == 255
    own = (plan.subject.placed.foreground[solid] / 255.0) ** 2.2
    assert float(np.abs(found.albedo[solid] - own).mean()) < 0.04


def test_the_same_plan_gives_the_same_maps(found: maps.Maps, plan: shoot.Plan, desk: BenchDesk) -> None:
    again = asyncio.run(maps.render(desk, "mitsuba", plan, 0.3, 0.6))
    for name in ("picture", "depth", "normal", "albedo", "mask"):
        assert np.array_equal(getattr(found, name), getattr(again, name)), name
