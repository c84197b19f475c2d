"""The nets around the painter: the ×4 upscaler against diffusers' own call, and the safety checker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from bench import PHOTO, apart, card
from PIL import Image

from pergai.errors import CardError, ModelUnavailable
from pergai.imaging.picture import RGB
from pergai.runners import registry
from pergai.runners.diffusion.safety import SafetyChecker
from pergai.runners.diffusion.upscaler import DiffusionUpscaler

OPTIONS: dict[str, Any] = {"steps": 3, "guidance": 3.0, "prompt": "a cup", "negative": "blurry", "max_batch": 4}
TILE: RGB = np.ascontiguousarray(PHOTO[:32, :40])


@pytest.fixture(scope="module")
def upscaler_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nets") / "x4"
    tiny.build_upscaler().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def upscaler(upscaler_folder: Path) -> DiffusionUpscaler:
    model = registry.load_model(card("x4", family="diffusers-upscale", **OPTIONS), upscaler_folder, "cpu")
    assert isinstance(model, DiffusionUpscaler)
    return model


def stock(upscaler: DiffusionUpscaler, tile: RGB) -> RGB:
    made = upscaler._pipeline(
        prompt="a cup",
        negative_prompt="blurry",
        image=Image.fromarray(tile),
        num_inference_steps=3,
        guidance_scale=3.0,
        noise_level=20,
        generator=torch.Generator("cpu").manual_seed(0),
    )
    return np.asarray(made.images[0])


def test_a_tile_comes_out_as_diffusers_enlarges_it(upscaler: DiffusionUpscaler) -> None:
    (large,) = upscaler.run([TILE])
    assert large.shape == (128, 160, 3)
    assert large.std() > 5
    assert apart(large, stock(upscaler, TILE)) == 0


def test_tiles_together_come_out_as_alone(upscaler: DiffusionUpscaler) -> None:
    tiles = [np.ascontiguousarray(np.roll(TILE, shift, axis=0)) for shift in (0, 5, 11)]
    together = upscaler.run(tiles)
    assert all(apart(large, stock(upscaler, tile)) <= 1 for large, tile in zip(together, tiles, strict=True))


def test_a_tile_of_any_size_keeps_its_shape(upscaler: DiffusionUpscaler) -> None:
    (large,) = upscaler.run([np.ascontiguousarray(TILE[:29, :35])])
    assert large.shape == (116, 140, 3)


def test_an_upscaler_card_with_a_wrong_option_is_named(upscaler_folder: Path) -> None:
    with pytest.raises(CardError, match=r"models/x4\.toml: options: .*steps"):
        registry.load_model(card("x4", family="diffusers-upscale", steps="many"), upscaler_folder, "cpu")


@pytest.mark.parametrize(("limit", "refused"), [(2.0, [False, False]), (-2.0, [True, True])])
def test_the_safety_checker_refuses_what_is_near_to_its_concepts(
    tmp_path: Path, limit: float, refused: list[bool]
) -> None:
    folder = tiny.save_checker(tmp_path / "checker", limit)
    model = registry.load_model(card("checker", family="safety"), folder, "cpu")
    assert isinstance(model, SafetyChecker)
    pictures = [PHOTO, np.ascontiguousarray(PHOTO[::-1])]
    before = [picture.copy() for picture in pictures]
    assert model.run(pictures) == refused
    assert all(np.array_equal(a, b) for a, b in zip(pictures, before, strict=True))


def test_the_safety_checker_judges_each_picture_by_itself(tmp_path: Path) -> None:
    """Its limit set between what two pictures look like to it."""
    folder = tiny.save_checker(tmp_path / "checker", 0.0)
    model = registry.load_model(card("checker", family="safety"), folder, "cpu")
    assert isinstance(model, SafetyChecker)
    pictures = [PHOTO, np.full_like(PHOTO, 20)]
    with torch.inference_mode():
        seen = model._prepare([Image.fromarray(one) for one in pictures], return_tensors="pt").pixel_values
        views = model._net.visual_projection(model._net.vision_model(seen)[1])
        nearest = torch.cosine_similarity(views[:, None], model._net.concept_embeds[None], dim=-1).amax(1)
        model._net.concept_embeds_weights.fill_(float(nearest.mean()))
    assert model.run(pictures) == (nearest > nearest.mean()).tolist()
    assert model.run(pictures[::-1]) == (nearest > nearest.mean()).tolist()[::-1]


def test_a_missing_safety_checker_says_what_to_pull(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="pergai models pull checker"):
        registry.load_model(card("checker", family="safety"), tmp_path / "checker", "cpu")
