"""Prompts: short ones as diffusers takes them (see the equality tests), long ones whole, all of them encoded once."""

from __future__ import annotations

import gc
import json
import shutil
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from bench import apart, card, finish, request

from pergai.runners.diffusion.model import StepModel, load
from pergai.runners.diffusion.text import LONGEST

WINDOW = 75
"""Letters in a window of the tiny tokenizer: every one is a token."""
LONG = "red cup " * 30
"""180 letters."""


def test_a_long_prompt_is_read_whole_and_the_record_says_so(models: dict[str, StepModel]) -> None:
    tail_a, tail_b = (finish(models["sd9"], request(prompt=LONG + tail))[0] for tail in ("on snow", "on sand"))
    assert tail_a.notes == ("prompt_in_chunks:3",)
    assert apart(tail_a.pixels, tail_b.pixels) > 0


def test_a_prompt_that_fits_has_no_note(models: dict[str, StepModel]) -> None:
    assert finish(models["sd9"], request(prompt="c" * WINDOW))[0].notes == ()


def test_a_prompt_beyond_all_windows_is_cut_and_the_record_says_so(models: dict[str, StepModel]) -> None:
    painted = finish(models["xl9"], request(prompt="c" * (WINDOW * LONGEST + 1), steps=1))[0]
    assert painted.notes == (f"prompt_in_chunks:{LONGEST}", "prompt_cut")


@pytest.mark.parametrize("kind", ["sd9", "xl9"])
def test_each_window_of_a_long_prompt_is_encoded_as_a_prompt_of_its_own(
    models: dict[str, StepModel], kind: str
) -> None:
    words = models[kind]._words
    first, second = "a" * WINDOW, "b" * WINDOW
    with torch.inference_mode():
        both = words.encode(first + second, 2).words
        apart_ = [words.encode(text, 1).words for text in (first, second)]
    # "…a" ends a word in one and goes on in the other, which is the last token of the first window.
    assert torch.allclose(both[:, 1 : WINDOW - 1], apart_[0][:, 1 : WINDOW - 1], atol=1e-5)
    assert both.shape[1] == 2 * (WINDOW + 2)


def test_prompts_of_different_lengths_share_a_turn(models: dict[str, StepModel]) -> None:
    short, long = request(prompt="cup"), request(prompt=LONG)
    expected = [finish(models["sd9"], request(prompt=one.prompt))[0].pixels for one in (short, long)]
    together = finish(models["sd9"], short, long)
    assert [apart(a, b.pixels) <= 1 for a, b in zip(expected, together, strict=True)] == [True, True]


def test_a_tokenizer_that_does_not_know_its_length_reads_what_its_encoder_can(
    models: dict[str, StepModel], weights: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "endless"
    shutil.copytree(weights / "xl9", folder)
    for name in ("tokenizer", "tokenizer_2"):
        path = folder / name / "tokenizer_config.json"
        settings = json.loads(path.read_text())
        del settings["model_max_length"]
        path.write_text(json.dumps(settings))
    model = load(card("endless"), folder, "cpu")
    for prompt in ("a red cup", LONG):
        expected = finish(models["xl9"], request(prompt=prompt))[0]
        painted = finish(model, request(prompt=prompt))[0]
        assert painted.notes == expected.notes
        assert apart(painted.pixels, expected.pixels) == 0


def test_words_leave_the_device_with_their_model(fresh: Callable[..., StepModel]) -> None:
    model = fresh("xl9")
    with torch.inference_mode():
        known = weakref.ref(model._words.encode("a red cup", 1).words)
    gc.collect()
    assert known() is not None
    model.park()
    gc.collect()
    assert known() is None


def test_a_prompt_is_encoded_once(models: dict[str, StepModel]) -> None:
    calls: list[int] = []
    handle = models["sd9"]._pipeline.text_encoder.register_forward_hook(lambda *_: calls.append(1))
    try:
        finish(models["sd9"], *(request(prompt="once", negative_prompt="never", seed=seed) for seed in range(4)))
    finally:
        handle.remove()
    assert len(calls) == 2


def test_words_matter_and_guidance_makes_them_matter_more(models: dict[str, StepModel]) -> None:
    def distance(guidance: float) -> float:
        one, other = (finish(models["sd9"], request(prompt=p, guidance=guidance))[0].pixels for p in ("zzz", "aaa"))
        return float(np.abs(one.astype(float) - other).mean())

    assert 0 < distance(1.0) < distance(9.0)
