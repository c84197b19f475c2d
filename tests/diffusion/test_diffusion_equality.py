"""The step engine against diffusers' own pipeline call, picture by picture; alone to the last bit, in company to 1/255."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from bench import apart, card, device, finish, many, relative, request, stock, together, work

from pergai.runners.diffusion.model import StepModel, load
from pergai.runners.diffusion.request import Request
from pergai.runners.diffusion.schedulers import SCHEDULERS

EVERY = [("sd9", *rest) for rest in itertools.product(SCHEDULERS, (1.0, 7.5), (1.0, 0.6))]
OTHERS = [
    (kind, name, (7.5, 1.0)[index % 2], (1.0, 0.6)[index // 2 % 2])
    for kind in ("sd4", "lcm4", "xl9")
    for index, name in enumerate(SCHEDULERS)
]


@pytest.mark.parametrize(("kind", "scheduler", "guidance", "strength"), EVERY + OTHERS)
def test_alone_through_the_engine_the_picture_is_that_of_diffusers_to_the_last_bit(
    models: dict[str, StepModel], kind: str, scheduler: str, guidance: float, strength: float
) -> None:
    seed = len(scheduler) * 1000 + int(guidance)
    asked = request(scheduler=scheduler, guidance=guidance, strength=strength, seed=seed)
    with device(models[kind]) as (loop, _):
        picture = loop.submit(work(asked)).result(60).pixels
    assert picture.std() > 5
    assert apart(picture, stock(models[kind], asked)) == 0


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_without_negative_words_the_picture_is_that_of_diffusers_too(models: dict[str, StepModel], kind: str) -> None:
    asked = request(negative_prompt="")
    assert apart(finish(models[kind], asked)[0].pixels, stock(models[kind], asked)) == 0


SCHEDULES = {
    "v": {"prediction_type": "v_prediction"},
    "v, no signal at the end": {
        "prediction_type": "v_prediction",
        "rescale_betas_zero_snr": True,
        "timestep_spacing": "trailing",
    },
    "as SD 1.5 inpainting has it": {"_class_name": "DDIMScheduler", "set_alpha_to_one": False, "clip_sample": False},
    "as LCM Dreamshaper has it": {"_class_name": "LCMScheduler", "original_inference_steps": 50, "clip_sample": False},
}


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("kind", ["sd9", "sd4"])
def test_what_a_checkpoint_says_of_its_schedule_holds_for_every_sampler(
    weights: Path, tmp_path: Path, kind: str, schedule: str
) -> None:
    folder = tmp_path / "own"
    shutil.copytree(weights / kind, folder)
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | SCHEDULES[schedule]))
    model = load(card("own"), folder, "cpu")
    assert isinstance(model, StepModel)
    plain = None
    for index, scheduler in enumerate(SCHEDULERS):
        asked = request(scheduler=scheduler, steps=3, strength=(1.0, 0.7)[index % 2])
        picture = finish(model, asked)[0].pixels
        assert apart(picture, stock(model, asked)) == 0, scheduler
        assert plain is None or apart(picture, plain) > 0, scheduler
        plain = picture


@pytest.mark.parametrize(
    "build",
    [lambda: tiny.build_small_vae("sd4"), lambda: tiny.build_small_vae("xl9"), tiny.build_refiner],
    ids=["small autoencoder, sd4", "small autoencoder, xl9", "refiner"],
)
def test_relatives_of_the_usual_models_are_taken_apart_too(tmp_path: Path, build: Callable[[], Any]) -> None:
    build().save_pretrained(tmp_path / "own")
    model = load(card("own"), tmp_path / "own", "cpu")
    assert isinstance(model, StepModel)
    for changes in ({}, {"strength": 0.6, "negative_prompt": "", "scheduler": "euler_a"}):
        asked = request(**changes)
        picture = finish(model, asked)[0].pixels
        assert picture.std() > 5
        assert apart(picture, stock(model, asked)) <= 1


def test_a_seed_decides_the_picture(models: dict[str, StepModel]) -> None:
    first, again, other = (finish(models["sd9"], request(seed=seed))[0].pixels for seed in (1, 1, 2))
    assert apart(first, again) == 0
    assert apart(first, other) > 10


@pytest.mark.parametrize("kind", ["sd9", "sd4", "xl9"])
def test_in_company_of_every_sampler_each_picture_is_the_one_it_would_be_alone(
    models: dict[str, StepModel], kind: str
) -> None:
    alone = []
    for asked in many(12):
        picture = finish(models[kind], asked)[0].pixels
        assert asked.state is not None
        alone.append((picture, asked.state.latents))
    company = many(12)
    pictures, diary = together(models[kind], [work(asked, job=str(index)) for index, asked in enumerate(company)])
    for asked, picture, (expected, latents) in zip(company, pictures, alone, strict=True):
        assert asked.state is not None
        assert relative(asked.state.latents, latents) < 1e-3
        assert apart(picture, expected) <= 1
    turns = sum(len(asked.state.timesteps) + 1 for asked in company if asked.state)
    assert len(diary.batches) < turns / 3
    assert max(diary.batches) > 6


def test_pictures_of_another_shape_do_not_wait_for_each_other(models: dict[str, StepModel]) -> None:
    wide = request(image=request().image[:32], mask=request().mask[:32])
    square = request()
    expected = [stock(models["sd9"], asked) for asked in (wide, square)]
    with device(models["sd9"]) as (loop, _):
        futures = [loop.submit(work(asked)) for asked in (wide, square)]
        assert [apart(f.result(60).pixels, e) for f, e in zip(futures, expected, strict=True)] == [0, 0]


def test_a_fixed_batch_size_makes_a_picture_the_same_bytes_in_any_company(fresh) -> None:  # type: ignore[no-untyped-def]
    model = fresh("sd9", max_batch=4, deterministic=True)
    alone = [finish(model, asked)[0].pixels for asked in many(4)]
    together = [painted.pixels for painted in finish(model, *many(4))]
    assert [apart(a, b) for a, b in zip(alone, together, strict=True)] == [0, 0, 0, 0]


def test_with_a_fixed_batch_size_shortcuts_keep_their_bytes_in_any_company_too(fresh) -> None:  # type: ignore[no-untyped-def]
    model = fresh("xl9", max_batch=4, deterministic=True)

    def several() -> list[Request]:
        ways = ({"deep_cache": 2}, {"gate": 0.5}, {}, {"deep_cache": 3})
        return [request(steps=5, seed=seed, **way) for seed, way in enumerate(ways)]

    alone = [finish(model, asked)[0].pixels for asked in several()]
    together = [painted.pixels for painted in finish(model, *several())]
    assert [apart(a, b) for a, b in zip(alone, together, strict=True)] == [0, 0, 0, 0]


def test_batches_cut_and_filled_to_allowed_sizes_give_the_same_pictures(fresh) -> None:  # type: ignore[no-untyped-def]
    plain, sized = fresh("xl9"), fresh("xl9", rows=[4, 6])
    expected = [painted.pixels for painted in finish(plain, *many(7))]
    assert all(apart(a, b.pixels) <= 1 for a, b in zip(expected, finish(sized, *many(7)), strict=True))


@pytest.mark.parametrize(("kind", "vae"), [("sd9", torch.float16), ("sd4", torch.float16), ("xl9", torch.float32)])
@pytest.mark.parametrize("scheduler", ["euler", "euler_a"])
def test_in_half_precision_too_the_picture_is_that_of_diffusers(kind: str, vae: torch.dtype, scheduler: str) -> None:
    """Also where steps draw noise: the autoencoder has drawn its own before, in its own precision."""
    pipeline = tiny.build(kind).to(torch.float16)  # type: ignore[arg-type]
    pipeline.set_progress_bar_config(disable=True)
    model = StepModel(pipeline, dtype=torch.float16, max_batch=4, rows=[], single=False)
    asked = request(steps=2, scheduler=scheduler)
    picture = finish(model, asked)[0].pixels
    assert model._codec.dtype == vae
    assert apart(picture, stock(model, asked)) <= 1
    assert asked.state is not None
    assert asked.state.latents.dtype == torch.float16
