"""DeepCache and T-GATE: off they change nothing, on they are exact where they must be and their loss is bounded."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from bench import apart, finish, many, relative, request, together, work

from pergai.errors import JobError
from pergai.runners.diffusion import shortcuts
from pergai.runners.diffusion.model import StepModel
from pergai.runners.diffusion.request import Request
from pergai.runners.diffusion.shortcuts import DeepCache, Gate

STEPS = 12


def latents(model: StepModel, **changes: Any) -> torch.Tensor:
    asked = request(steps=STEPS, **changes)
    finish(model, asked)
    assert asked.state is not None
    return asked.state.latents


def rows_run(model: StepModel, *asked: Request) -> list[tuple[str, int]]:
    """Which parts of the UNet run on how many rows while requests are painted."""
    seen: list[tuple[str, int]] = []
    unet = model._pipeline.unet
    parts = {
        "in": unet.conv_in,
        "deep": unet.mid_block,
        "words": unet.mid_block.attentions[0].transformer_blocks[0].attn2.to_k,
    }

    def note(name: str) -> Any:
        return lambda _module, inputs, _out: seen.append((name, inputs[0].shape[0]))

    handles = [part.register_forward_hook(note(name)) for name, part in parts.items()]
    try:
        finish(model, *asked)
    finally:
        for handle in handles:
            handle.remove()
    return seen


@pytest.mark.parametrize("kind", ["sd9", "lcm4", "xl9"])
def test_given_what_the_deep_layers_say_now_the_shallow_way_is_the_whole_way_to_the_last_bit(
    models: dict[str, StepModel], kind: str
) -> None:
    unet = models[kind]._pipeline.unet
    torch.manual_seed(0)
    sample, times = torch.randn(2, unet.config.in_channels, 8, 8), torch.tensor([301.0, 7.0])
    words: dict[str, Any] = {"encoder_hidden_states": torch.randn(2, 77, unet.config.cross_attention_dim)}
    if kind == "xl9":
        words["added_cond_kwargs"] = {"text_embeds": torch.randn(2, 48), "time_ids": torch.ones(2, 6)}
    if kind == "lcm4":
        words["timestep_cond"] = torch.randn(2, 32)
    with torch.inference_mode():
        with shortcuts.keeping_deep(unet) as take:
            whole = unet(sample, times, return_dict=False, **words)[0]
        aside = take()
        shallow = shortcuts.shallow(unet, aside, sample, times, words)
        with shortcuts.keeping_crossed(unet) as crossed:
            unet(sample, times, return_dict=False, **words)
        with shortcuts.crossed_already(unet, crossed()):
            gated = unet(sample, times, return_dict=False, **words)[0]
        assert torch.equal(shallow, whole)
        assert torch.equal(gated, whole)
        assert torch.equal(unet(sample, times, return_dict=False, **words)[0], whole)  # nothing is left behind


def test_most_steps_of_deep_cache_leave_the_deep_layers_out(models: dict[str, StepModel]) -> None:
    seen = rows_run(models["sd9"], request(steps=STEPS, deep_cache=3))
    assert seen.count(("in", 2)) == STEPS
    assert seen.count(("deep", 2)) == STEPS / 3


def test_behind_the_gate_words_are_not_read_and_guidance_is_over(models: dict[str, StepModel]) -> None:
    seen = rows_run(models["sd9"], request(steps=STEPS, gate=0.5))
    assert [rows for name, rows in seen if name == "in"] == [2] * 6 + [1] * 6
    assert [rows for name, rows in seen if name == "words"] == [2] * 6


@pytest.mark.parametrize("kind", ["sd9", "xl9"])
@pytest.mark.parametrize(
    ("changes", "most"),
    [({"deep_cache": 2}, 0.05), ({"deep_cache": 4}, 0.1), ({"gate": 0.8}, 0.01), ({"gate": 0.5}, 0.02)],
)
def test_the_loss_is_there_and_bounded(
    models: dict[str, StepModel], kind: str, changes: dict[str, Any], most: float
) -> None:
    loss = relative(latents(models[kind], guidance=3.0, **changes), latents(models[kind], guidance=3.0))
    assert 0 < loss < most


def test_the_more_is_left_out_the_larger_the_loss(models: dict[str, StepModel]) -> None:
    whole = latents(models["sd9"], guidance=3.0)
    for name, values in (("deep_cache", (2, 6)), ("gate", (0.9, 0.3))):
        little, much = (relative(latents(models["sd9"], guidance=3.0, **{name: value}), whole) for value in values)
        assert little < much


def test_an_interval_of_one_and_a_gate_at_the_end_leave_nothing_out(models: dict[str, StepModel]) -> None:
    whole = latents(models["sd9"])
    assert torch.equal(latents(models["sd9"], deep_cache=1, gate=1.0), whole)


@pytest.mark.parametrize("kind", ["sd9", "xl9"])
@pytest.mark.parametrize("rows", [[], [3, 5]])
def test_neighbours_with_other_shortcuts_or_none_do_not_disturb_each_other(
    fresh: Any, kind: str, rows: list[int]
) -> None:
    def several() -> list[Request]:
        asked = list(many(8))
        for one, changes in zip(asked, [{}, {"deep_cache": 2}, {"gate": 0.5}, {"deep_cache": 3}] * 2, strict=True):
            for name, value in changes.items():
                setattr(one, name, value)
        return asked

    model = fresh(kind, rows=rows)
    alone = [finish(model, one)[0].pixels for one in several()]
    pictures, diary = together(model, [work(one, job=str(index)) for index, one in enumerate(several())])
    assert all(apart(a, b) <= 1 for a, b in zip(pictures, alone, strict=True))
    assert max(diary.batches) == 8


def test_the_gate_closes_at_its_share_of_the_steps() -> None:
    assert [Gate(0.5).way(index, 6) for index in range(6)] == ["whole", "whole", "keep", "reuse", "reuse", "reuse"]
    assert [Gate(0.01).way(index, 3) for index in range(3)] == ["keep", "reuse", "reuse"]
    assert [DeepCache(2).way(index, 4) for index in range(4)] == ["keep", "reuse", "keep", "reuse"]


def test_behind_the_gate_attention_repeats_the_mean_of_the_guided_pair() -> None:
    gate = Gate(0.5)
    gate.remember({"attn2": torch.tensor([[[1.0, 2.0]], [[3.0, 8.0]]])})
    assert gate.aside["attn2"].tolist() == [[[2.0, 5.0]]]


def test_shortcuts_that_do_not_go_together_are_refused(models: dict[str, StepModel]) -> None:
    with pytest.raises(JobError, match="deep_cache goes neither"):
        finish(models["sd9"], request(deep_cache=2, gate=0.5))
