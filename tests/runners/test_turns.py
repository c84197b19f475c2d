"""A picture that takes long is rendered in turns, between which the device is free for other work."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pergai.cards.catalogue import load_catalogue
from pergai.cards.structs import PipelineCard
from pergai.engine.core import UNFINISHED, Job, SceneParams
from pergai.runners.render import geometry, lights, model, passes
from pergai.runners.render.camera import aim
from pergai.runners.render.materials import Paintbox, surface
from pergai.runners.render.runner import Render
from pergai.runners.render.spec import Finish, Light
from tests.runners.desk import BenchDesk, real_model

SIZE, SAMPLES = 32, 12


@pytest.fixture(autouse=True)
def short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four paths of each pixel."""
    monkeypatch.setattr(passes, "PATHS_AT_ONCE", 4 * SIZE * SIZE)
    monkeypatch.setattr(passes, "PART", 4)


@pytest.fixture(scope="module")
def engine() -> model.Renderer:
    renderer = real_model(model.load, "mitsuba")
    assert isinstance(renderer, model.Renderer)
    return renderer


@pytest.fixture(scope="module")
def take(tmp_path_factory: pytest.TempPathFactory) -> model.Take:
    """Linen on the ground, a block on it, under one lamp."""
    paints = Paintbox(tmp_path_factory.mktemp("cache"))
    linen, paper = surface(Finish(material="linen"), paints), surface(Finish(), paints)
    return model.Take(
        view=aim(SIZE, SIZE, (SIZE // 2, SIZE // 2), SIZE / 3, 40.0, 5.0),
        aperture=0.0,
        solids=((geometry.ground((-9, 9), (-9, 9)), linen), (geometry.block(1.0, 1.0, 1.0, 0.05), paper)),
        emitters=(lights.lamp(Light(power=1.0, size=(1.0, 1.0))),),
        samples=SAMPLES,
        depth=3,
        seed=1,
    )


def begun(exposure: model.Take | model.Contrast) -> tuple[model.InTurns, list[float]]:
    told: list[float] = []
    return model.InTurns(exposure=exposure, report=told.append), told


def finished(engine: model.Renderer, payload: model.InTurns) -> model.Light:
    while (result := engine.run([payload])[0]) is UNFINISHED:
        pass
    assert isinstance(result, model.Light)
    return result


def same(a: model.Light, b: object) -> bool:
    return isinstance(b, model.Light) and np.array_equal(a.colour, b.colour) and np.array_equal(a.albedo, b.albedo)


def test_turns_give_the_light_that_one_go_gives_to_the_bit(engine: model.Renderer, take: model.Take) -> None:
    payload, _ = begun(take)
    assert same(finished(engine, payload), engine.run([take])[0])


def test_it_says_how_far_it_is(engine: model.Renderer, take: model.Take) -> None:
    payload, told = begun(take)
    finished(engine, payload)
    assert told == pytest.approx([1 / 3, 2 / 3])


def test_other_work_between_turns_changes_nothing(engine: model.Renderer, take: model.Take) -> None:
    alone = engine.run([take])[0]
    payload, _ = begun(take)
    assert engine.run([payload]) == [UNFINISHED]
    engine.run([model.Survey(view=take.view, solids=take.solids, seed=3)])
    engine.run([replace(take, seed=2)])
    assert same(finished(engine, payload), alone)


def test_what_was_given_up_leaves_nothing_behind_and_can_be_asked_again(
    engine: model.Renderer, take: model.Take
) -> None:
    alone = engine.run([take])[0]
    payload, _ = begun(take)
    assert engine.run([payload]) == [UNFINISHED]
    engine.forget()
    other, _ = begun(replace(take, seed=2))
    assert engine.run([other]) == [UNFINISHED]
    assert same(finished(engine, payload), alone)


def test_a_picture_that_fails_begins_anew(
    engine: model.Renderer, take: model.Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = engine.run([take])[0]
    payload, _ = begun(take)
    assert engine.run([payload]) == [UNFINISHED]
    with monkeypatch.context() as patch:
        patch.setattr(model, "denoise", lambda *_, **__: (_ for _ in ()).throw(MemoryError))
        with pytest.raises(MemoryError):
            finished(engine, payload)
    assert same(finished(engine, payload), alone)


def test_an_empty_set_for_fine_pictures_does_not_take_a_night(
    engine: model.Renderer, take: model.Take, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten times the paths of a picture of 40 would be a quarter of an hour on some sets."""
    monkeypatch.setattr(passes, "PATHS_AT_ONCE", SIZE * SIZE)
    monkeypatch.setattr(passes, "PART", 1)
    fine = replace(take, samples=40)
    hidden = np.zeros((SIZE, SIZE), bool)
    payload, told = begun(model.Contrast(take=fine, bare=fine, hidden=hidden, folder=tmp_path))
    finished(engine, payload)
    assert min(told) == pytest.approx(1 / model.MOST_EMPTY_SAMPLES)


def test_a_job_moves_on_while_its_light_is_traced(engine: model.Renderer, tmp_path: Path) -> None:
    product = Image.new("RGBA", (40, 60), (0, 0, 0, 0))
    product.paste((180, 60, 40, 255), (5, 5, 35, 55))
    product.save(tmp_path / "product.png")
    models, options = {"matte": "isnet", "engine": "mitsuba"}, {"samples": SAMPLES, "depth": 3}
    pipeline = PipelineCard(id="test", title="", runner="render", tasks=("scene",), models=models, options=options)
    desk = BenchDesk(pipeline, {"mitsuba": engine}, tmp_path / "cache", load_catalogue().scenes)
    job = Job(
        id="job",
        kind="scene",
        library="test",
        pipeline="test",
        provider="nano-banana",
        source=str(tmp_path / "product.png"),
        source_sha256="",
        params=asdict(SceneParams(scene="white", width=SIZE, height=SIZE)),
        seed=1,
    )
    asyncio.run(Render().run(job, desk))
    lit = [fraction for fraction, phase in desk.phases if phase == "light"]
    assert lit[0] == 0.45
    assert all(0.45 <= fraction <= 0.85 for fraction in lit)
    assert len(set(lit)) > 1
    assert lit == sorted(lit)
