"""Whole jobs through the real engine: a real photo, the real cut-out, a tiny painter."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import tiny
import torch
from bench import card
from safetensors.torch import save_file

from pergai.cards.catalogue import load_catalogue
from pergai.cards.structs import PipelineCard
from pergai.engine.core import Job, Progress, Result
from pergai.engine.device import DeviceLoop
from pergai.engine.engine import Engine
from pergai.imaging.decode import decode
from pergai.imaging.picture import RGB
from pergai.imaging.provenance import read_provenance
from pergai.runners import registry
from pergai.runners.diffusion.refine import Mosaic

OPTIONS: dict[str, Any] = {"side": 64, "steps": 3, "guidance": 3.0, "scheduler": "euler"}


class Ear:
    def __init__(self) -> None:
        self.progress: list[Progress] = []
        self.results: dict[str, Result] = {}
        self.done = asyncio.Event()
        self.waiting = 0
        self.heard: Callable[[Progress], None] = lambda _: None

    def moved(self, progress: Progress) -> None:
        self.progress.append(progress)
        self.heard(progress)

    def ended(self, result: Result) -> None:
        self.results[result.job] = result
        if len(self.results) == self.waiting:
            self.done.set()


class Batches(list[int]):
    """Sizes of the painter's turns."""

    def ran(self, model: str, size: int, seconds: float) -> None:
        if model.startswith("sd"):
            self.append(size)

    def loaded(self, model: str, mib: int, seconds: float) -> None: ...
    def unloaded(self, model: str) -> None: ...


def with_model(pipeline: PipelineCard, **roles: str) -> PipelineCard:
    return msgspec.structs.replace(pipeline, models={**pipeline.models, **roles})


Studio = Callable[..., tuple[dict[str, Result], list[Progress]]]


@pytest.fixture
def batches() -> Batches:
    return Batches()


@pytest.fixture
def studio(weights: Path, weights_folder: Path, tmp_path: Path, batches: Batches) -> Studio:
    """Runs jobs in an engine of their own, up to the progress `cancel_at`; their results and all progress."""
    packaged = load_catalogue()
    tiny.build_control("sd9").save_pretrained(weights / "depth")
    tiny.save_checker(weights / "strict", limit=-2.0)
    tiny.build_upscaler().save_pretrained(weights / "x4")
    layer = tiny.build("sd9").unet.mid_block.attentions[0].proj_in
    torch.manual_seed(61)
    rank = {"lora_A": torch.randn(2, layer.in_channels, 1, 1), "lora_B": torch.randn(layer.out_channels, 2, 1, 1)}
    (weights / "style").mkdir(exist_ok=True)
    save_file(
        {f"unet.mid_block.attentions.0.proj_in.{half}.weight": tensor for half, tensor in rank.items()},
        weights / "style" / "pytorch_lora_weights.safetensors",
    )
    models = {
        **packaged.models,
        "style": card("style", family="lora"),
        "sd9": card("sd9"),
        "sd4": card("sd4"),
        "depth": card("depth", family="controlnet"),
        "strict": card("strict", family="safety"),
        "x4": card("x4", family="diffusers-upscale", steps=2, max_batch=4),
    }
    own = {"sd9", "sd4", "depth", "strict", "x4", "style"}

    def pipeline(id: str, task: str, painter: str, **options: Any) -> PipelineCard:
        roles = {"diffusion": painter, "matte": "u2netp"} | ({"engine": "mitsuba"} if "start" in options else {})
        return PipelineCard(
            id=id, title=id, runner="diffusion", tasks=(task,), models=roles, options={**OPTIONS, **options}
        )

    cards = [
        pipeline("scene", "scene", "sd9"),
        pipeline("scene-set", "scene", "sd9", start="set", strength=0.7, samples=1),
        with_model(pipeline("guided", "scene", "sd9", start="set", strength=0.9, samples=1), control="depth"),
        with_model(pipeline("checked", "scene", "sd9"), safety="strict"),
        with_model(pipeline("styled", "scene", "sd9", lora_scales={"lora": 0.5}), lora="style"),
        with_model(pipeline("expand-styled", "expand", "sd9", strength=0.9), lora="style"),
        pipeline("expand", "expand", "sd9", strength=0.9),
        pipeline("expand4", "expand", "sd4", strength=0.9),
        pipeline("refined", "expand", "sd9", strength=0.9, refine=0.7),
        PipelineCard(
            id="painted",
            title="Painted",
            runner="upscale",
            tasks=("upscale",),
            models={"upscale": "x4"},
            options={"tile": 64, "margin": 8, "blend": 8},
        ),
        msgspec.structs.replace(pipeline("shut", "scene", "sd9"), unavailable="nobody is at home"),
    ]
    catalogue = replace(packaged, models=models, pipelines={one.id: one for one in cards})

    def load(name: str) -> tuple[Any, int]:
        folder = (weights if name in own else weights_folder) / name
        return registry.load_model(models[name], folder, "cpu"), 16

    async def work(*jobs: Job, cancel_at: float) -> tuple[dict[str, Result], list[Progress]]:
        ear = Ear()
        ear.waiting = len(jobs)
        loop = DeviceLoop(load=load, stated_mib=lambda _: 16, release=lambda: None, budget_mib=1000, watcher=batches)
        engine = Engine(
            catalogue=catalogue,
            runners=registry.runner,
            device=loop,
            listener=ear,
            cache=tmp_path / "cache",
            cpu_workers=2,
            job_seconds=300,
        )
        ear.heard = lambda step: engine.cancel(step.job) if step.fraction >= cancel_at else None
        loop.start()
        for job in jobs:
            engine.submit(job)
        await ear.done.wait()
        await engine.close()
        return ear.results, ear.progress

    return lambda *jobs, cancel_at=2.0: asyncio.run(work(*jobs, cancel_at=cancel_at))


@pytest.fixture
def job(sample_photo: Path, tmp_path: Path) -> Callable[..., Job]:
    def make(kind: str, pipeline: str, id: str = "", seed: int = 5, **params: Any) -> Job:
        id = id or f"{pipeline}-{seed}"
        return Job(
            id=id,
            kind=kind,  # type: ignore[arg-type]
            library="studio",
            pipeline=pipeline,
            provider="nano-banana",
            source=str(sample_photo),
            source_sha256=hashlib.sha256(sample_photo.read_bytes()).hexdigest(),
            params=params,
            seed=seed,
            target=str(tmp_path / f"{id}.png"),
        )

    return make


def test_scenes_are_painted_around_a_product_that_stays_exact(studio: Studio, job: Callable[..., Job]) -> None:
    words = {"scene": "marble", "width": 400, "height": 320, "prompt": "soft light, blue wall"}
    jobs = [job("scene", "scene", seed=seed, **words) for seed in (5, 6)]
    again = job("scene", "scene", id="again", seed=5, **words)
    results, progress = studio(*jobs, again)
    for result in results.values():
        assert result.error == "", result.detail
        assert (result.width, result.height) == (400, 320)
        assert result.fidelity is not None
        assert result.fidelity.max_difference == 0
        assert result.fidelity.checked_pixels > 2000
        assert result.model == "u2netp+sd9"
        assert result.words == ("soft light", "blue wall")
        assert "shadow_predicted" in result.notes
        assert result.details["steps"] == 3
        assert result.details["paintedPixels"] == [72, 56]
        assert "soft light" in result.details["fullPrompt"]
        assert "Carrara" in result.details["fullPrompt"]
    told = read_provenance(Path(jobs[0].target).read_bytes())
    assert told["DigitalSourceType"].endswith("compositeWithTrainedAlgorithmicMedia")
    own = [step.fraction for step in progress if step.job == "scene-5"]
    assert own == sorted(own)
    assert any(step.phase == "diffuse" and 0.4 < step.fraction < 0.85 for step in progress)
    pictures = [decode(Path(one.target)).pixels.astype(int) for one in (*jobs, again)]
    # Together or alone, within what a shared batch may change; another seed, another picture.
    assert np.abs(pictures[0] - pictures[2]).max() <= 1
    assert np.abs(pictures[0] - pictures[1]).max() > 20


@pytest.mark.parametrize("pipeline", ["expand", "expand4"])
def test_a_photo_is_expanded_and_stays_exact(studio: Studio, job: Callable[..., Job], pipeline: str) -> None:
    wanted = job("expand", pipeline, width=800, height=640)
    results, progress = studio(wanted)
    (result,) = results.values()
    assert result.error == "", result.detail
    assert (result.width, result.height) == (800, 640)
    assert result.fidelity is not None
    assert result.fidelity.max_difference == 0
    place = result.details["placement"]
    assert result.fidelity.checked_pixels == place["width"] * place["height"]
    assert result.details["strength"] == 0.9
    sides = [step.fraction for step in progress if step.phase == "extend"]
    assert sides == sorted(sides)
    assert len(set(sides)) == 5  # the start and four sides: between them it can be cancelled


def test_what_is_new_in_a_large_picture_is_refined_in_tiles_that_share_batches(
    studio: Studio, job: Callable[..., Job], batches: Batches
) -> None:
    """The source's pixels stay exact; tiles that show nothing else are left alone."""
    size = {"width": 560, "height": 240}
    jobs = [job("expand", name, **size) for name in ("expand", "refined")]
    results, progress = studio(*jobs)
    assert {result.error for result in results.values()} == {""}
    plain, refined = (results[one.id].details for one in jobs)
    side, grid = 64, 12 * 5
    place = plain["placement"]
    assert plain.keys() == refined.keys() - {"refined"}
    tiles = refined["refined"].pop("tiles")
    assert refined["refined"] == {"strength": 0.7, "side": side}
    known = (place["width"] - 2 * side) * (place["height"] - 2 * side) / (side * side)
    assert known > 4  # else no tile could be left alone
    assert grid / 4 < tiles < grid - known
    assert max(batches) == tiles
    before, after = (decode(Path(one.target)).pixels.astype(int) for one in jobs)
    apart = np.abs(before - after).max(axis=2)
    left, right = place["left"], place["left"] + place["width"]
    assert apart[:, left:right].max() == 0 == results["refined-5"].fidelity.max_difference  # type: ignore[union-attr]
    assert (apart[:, : left - 20] > 2).mean() > 0.5 and (apart[:, right + 20 :] > 2).mean() > 0.5
    steps = [step.fraction for step in progress if step.job == "refined-5"]
    assert any(0.6 < fraction < 0.85 for fraction in steps)


def test_a_picture_at_the_models_own_size_has_nothing_to_refine(studio: Studio, job: Callable[..., Job]) -> None:
    results, _ = studio(job("expand", "refined", width=80, height=56))
    (result,) = results.values()
    assert result.error == ""
    assert result.details["paintedPixels"] == [80, 56]
    assert "refined" not in result.details


def test_a_job_that_is_cancelled_while_it_is_refined_takes_no_more_turns(
    studio: Studio, job: Callable[..., Job], batches: Batches
) -> None:
    studio(job("expand", "refined", width=560, height=240))
    whole, batches[:] = sum(batches), []
    results, _ = studio(job("expand", "refined", width=560, height=240), cancel_at=0.6001)  # after the first turn
    assert results["refined-5"].error == "cancelled"
    assert 4 < sum(batches) < whole


@pytest.mark.parametrize("shape", [(64, 64), (50, 200), (240, 560), (113, 97)])
def test_the_tiles_of_a_picture_make_the_picture(shape: tuple[int, int], photos: dict[str, RGB]) -> None:
    picture = photos["coffee"][: shape[0], : shape[1]]
    mask = np.zeros(shape, np.uint8)
    mask[:, : shape[1] // 3] = 255
    mosaic = Mosaic(picture, mask, 64)
    assert {tile.shape for tile, _ in mosaic.tiles} == {(64, 64, 3)}
    assert (mosaic.together([tile for tile, _ in mosaic.tiles]) == picture).all()
    white = mosaic.together([np.full_like(tile, 255) for tile, _ in mosaic.tiles])
    assert (white[mask > 0] == 255).all()


def test_a_job_wears_the_lora_of_its_pipeline_and_the_record_says_so(studio: Studio, job: Callable[..., Job]) -> None:
    size = {"width": 400, "height": 320}
    jobs = [job("scene", name, scene="marble", **size) for name in ("scene", "styled")]
    jobs += [job("expand", name, width=800, height=640) for name in ("expand", "expand-styled")]
    results, _ = studio(*jobs)
    assert {result.error for result in results.values()} == {""}
    assert [results[one.id].model for one in jobs] == ["u2netp+sd9", "u2netp+style+sd9"] * 2
    scales = [results[one.id].details.get("loras") for one in jobs]
    assert scales == [None, {"style": 0.5}, None, {"style": 1.0}]
    pinned = {"revision": "0"}
    for one, style in zip(jobs, scales, strict=True):
        worn = {"style": pinned} if style else {}
        assert results[one.id].details["weights"] == {**worn, "sd9": {**pinned, "dtype": "float32"}}
    pictures = [decode(Path(one.target)).pixels.astype(int) for one in jobs]
    assert np.abs(pictures[0] - pictures[1]).max() > 1
    assert np.abs(pictures[2] - pictures[3]).max() > 1


def test_a_photo_that_fills_its_canvas_needs_no_painting(
    studio: Studio, job: Callable[..., Job], sample_photo: Path
) -> None:
    photo = decode(sample_photo)
    results, _ = studio(job("expand", "expand", width=photo.width, height=photo.height))
    (result,) = results.values()
    assert result.error == ""
    assert "sd9" not in result.model


@pytest.mark.slow
def test_a_scene_that_starts_from_a_rendered_set_keeps_its_light(studio: Studio, job: Callable[..., Job]) -> None:
    results, _ = studio(job("scene", "scene-set", scene="studio", width=320, height=320))
    (result,) = results.values()
    assert result.error == "", result.detail
    assert result.model == "u2netp+mitsuba+sd9"
    assert "shadow_predicted" not in result.notes
    assert result.details["start"] == "set"
    assert "lightPixels" in result.details
    assert result.fidelity is not None
    assert result.fidelity.max_difference == 0


@pytest.mark.slow
def test_a_guided_scene_is_painted_on_the_depth_of_its_set(studio: Studio, job: Callable[..., Job]) -> None:
    wanted = [job("scene", name, scene="studio", width=320, height=320) for name in ("guided", "scene-set")]
    results, _ = studio(*wanted)
    result = results["guided-5"]
    assert result.error == "", result.detail
    assert result.model == "u2netp+mitsuba+depth+sd9"
    assert result.details["weights"] == {name: {"revision": "0", "dtype": "float32"} for name in ("depth", "sd9")}
    assert result.details["control"] == {"map": "depth", "scale": 0.7, "span": [0.0, 1.0]}
    assert result.fidelity is not None
    assert result.fidelity.max_difference == 0
    guided, free = (decode(Path(one.target)).pixels.astype(int) for one in wanted)
    assert np.abs(guided - free).max() > 20


def test_a_picture_that_the_safety_checker_refuses_ends_its_job(studio: Studio, job: Callable[..., Job]) -> None:
    wanted = job("scene", "checked", scene="studio", width=64, height=64)
    results, _ = studio(wanted)
    assert results["checked-5"].error == "unsafe_picture"
    assert "change the words or the seed" in results["checked-5"].detail
    assert not Path(wanted.target).exists()


def test_a_photo_is_enlarged_by_painting_tile_by_tile(studio: Studio, job: Callable[..., Job]) -> None:
    results, _ = studio(job("upscale", "painted", scale=2, width=90, height=60))
    (result,) = results.values()
    assert result.error == "", result.detail
    assert (result.width, result.height) == (180, 120)
    assert result.model == "x4"
    assert result.details["tiles"] >= 4


def test_a_shut_pipeline_and_missing_weights_end_a_job_with_the_reason(
    studio: Studio, job: Callable[..., Job], weights: Path
) -> None:
    results, _ = studio(job("scene", "shut", scene="studio", width=64, height=64))
    assert results["shut-5"].error == "model_unavailable"
    assert "nobody is at home" in results["shut-5"].detail
    shutil.move(weights / "sd4", weights / "away")
    try:
        results, _ = studio(job("expand", "expand4", width=800, height=640))
    finally:
        shutil.move(weights / "away", weights / "sd4")
    assert results["expand4-5"].error == "model_unavailable"
    assert "pergai models pull sd4" in results["expand4-5"].detail
