"""Requests guided by a ControlNet, against diffusers' own ControlNet pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from bench import PHOTO, SIDE, apart, card, device, finish, relative, request, stock, work

from pergai.errors import JobError, ModelUnavailable
from pergai.imaging.picture import RGB
from pergai.runners import registry
from pergai.runners.diffusion.control import Control, ControlNet
from pergai.runners.diffusion.model import StepModel
from pergai.runners.diffusion.request import Request

RAMP: RGB = np.repeat(np.linspace(0, 255, SIDE).astype(np.uint8)[:, None, None], SIDE, 1).repeat(3, 2)
"""A floor, near at the bottom."""


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ControlNet]:
    """A ControlNet for each kind of model, saved and loaded as a card's weights are."""
    root = tmp_path_factory.mktemp("nets")
    loaded = {}
    for kind in ("sd9", "sd4", "xl9"):
        tiny.build_control(kind).save_pretrained(root / kind)  # type: ignore[arg-type]
        model = registry.load_model(card(kind, family="controlnet"), root / kind, "cpu")
        assert isinstance(model, ControlNet)
        loaded[kind] = model
    return loaded


def guided(hint: RGB = RAMP, scale: float = 0.8, start: float = 0.0, end: float = 1.0, **changes: Any) -> Request:
    return request(control=Control(net="depth", hint=hint, scale=scale, start=start, end=end), **changes)


@pytest.mark.parametrize(
    ("kind", "span", "changes"),
    [
        ("sd9", (0.0, 1.0), {}),
        ("sd9", (0.0, 0.6), {"strength": 0.7, "steps": 6, "scheduler": "euler_a"}),
        ("sd9", (0.3, 1.0), {"scheduler": "unipc", "negative_prompt": ""}),
        ("sd4", (0.0, 1.0), {"guidance": 1.0, "scheduler": "dpmpp_2m_sde_karras"}),
        ("sd4", (0.3, 0.8), {"strength": 0.8, "steps": 6}),
        ("xl9", (0.0, 1.0), {}),
        ("xl9", (0.0, 0.6), {"guidance": 1.0, "scheduler": "lightning"}),
        ("xl9", (0.3, 1.0), {"strength": 0.7, "steps": 6, "scheduler": "dpmpp_2m_karras"}),
    ],
)
def test_alone_a_guided_picture_is_that_of_diffusers_to_the_last_bit(
    models: dict[str, StepModel], nets: dict[str, ControlNet], kind: str, span: tuple[float, float], changes: Any
) -> None:
    asked = guided(start=span[0], end=span[1], **changes)
    with device(models[kind], depth=nets[kind]) as (loop, _):
        picture = loop.submit(work(asked)).result(60).pixels
    assert apart(picture, stock(models[kind], asked, nets[kind]._net)) == 0
    assert apart(picture, finish(models[kind], request(**changes))[0].pixels) > 1
    assert asked.beside == {"depth": None}  # nothing holds the net between turns


@pytest.mark.parametrize("kind", ["sd9", "xl9"])
def test_guided_and_free_requests_share_a_model_and_each_is_as_if_alone(
    models: dict[str, StepModel], nets: dict[str, ControlNet], kind: str
) -> None:
    def several() -> list[Request]:
        return [
            guided(seed=1),
            request(seed=2),
            guided(hint=PHOTO, scale=0.4, end=0.5, seed=3, guidance=1.0, scheduler="lcm"),
            guided(seed=4, start=0.5, steps=6, scheduler="dpmpp_2m"),
        ]

    alone = several()
    expected = [finish(models[kind], one, depth=nets[kind])[0].pixels for one in alone]
    together = several()
    pictures = finish(models[kind], *together, depth=nets[kind])
    for picture, own, one, other in zip(pictures, expected, together, alone, strict=True):
        assert one.state is not None
        assert other.state is not None
        assert relative(one.state.latents, other.state.latents) < 1e-3
        assert apart(picture.pixels, own) <= 1


def test_filled_batches_carry_the_maps_along(fresh: Any, nets: dict[str, ControlNet]) -> None:
    plain, sized = fresh("sd9"), fresh("sd9", rows=[3, 5])
    several = [[guided(seed=seed, scale=0.3 * seed) for seed in (1, 2, 3)] for _ in range(2)]
    expected = finish(plain, *several[0], depth=nets["sd9"])
    made = finish(sized, *several[1], depth=nets["sd9"])
    assert all(apart(a.pixels, b.pixels) <= 1 for a, b in zip(expected, made, strict=True))


def test_a_control_net_in_channels_last_guides_to_the_same_picture(
    models: dict[str, StepModel], nets: dict[str, ControlNet], tmp_path: Path
) -> None:
    tiny.build_control("xl9").save_pretrained(tmp_path / "net")
    other = registry.load_model(card("net", family="controlnet", channels_last=True), tmp_path / "net", "cpu")
    expected, picture = (finish(models["xl9"], guided(), depth=net)[0].pixels for net in (nets["xl9"], other))
    assert apart(picture, expected) <= 1


def test_a_map_of_another_size_is_refused_by_name(models: dict[str, StepModel], nets: dict[str, ControlNet]) -> None:
    with pytest.raises(JobError, match="map"):
        finish(models["sd9"], guided(hint=RAMP[:32]), depth=nets["sd9"])


def test_a_control_net_is_not_a_model_of_its_own(nets: dict[str, ControlNet]) -> None:
    with pytest.raises(JobError, match="only inside a diffusion model"):
        nets["sd9"].run([request()])


def test_a_missing_control_net_says_what_to_pull(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="pergai models pull depth"):
        registry.load_model(card("depth", family="controlnet"), tmp_path / "depth", "cpu")


def test_in_half_precision_the_map_is_read_too() -> None:
    pipeline = tiny.build("sd9").to(torch.float16)  # type: ignore[arg-type]
    pipeline.set_progress_bar_config(disable=True)
    model = StepModel(pipeline, dtype=torch.float16, max_batch=4, rows=[], single=False)
    net = ControlNet(tiny.build_control("sd9").to(torch.float16))
    asked = guided(steps=2)
    picture = finish(model, asked, depth=net)[0].pixels
    assert apart(picture, stock(model, asked, net._net)) <= 1
