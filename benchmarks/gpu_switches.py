"""Every switch of a model card and of a pipeline card by itself: how much faster, and how far from the plain model's pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from benchmarks.gpu_engine import Sizes, engine, finish, request, seconds_of
from benchmarks.guarded import Bench
from pergai.imaging.picture import RGB
from pergai.runners.diffusion.model import StepModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    budget: float
    """Seconds, for the larger model."""
    card: Mapping[str, Any] = field(default_factory=dict)
    """Options of the model card."""
    asked: Mapping[str, Any] = field(default_factory=dict)
    """Fields of each request."""


PLAIN = Switch(budget=30)
SWITCHES = {
    "attention cudnn": Switch(budget=25, card={"attention": "cudnn"}),
    "compile_blocks": Switch(budget=60, card={"compile_blocks": "default"}),
    "compile": Switch(budget=150, card={"compile": "default"}),
    "compile, attention cudnn, compile_vae": Switch(
        budget=120, card={"compile": "default", "attention": "cudnn", "compile_vae": "default"}
    ),
    "graphs": Switch(budget=30, card={"graphs": True}),
    "attention flash": Switch(budget=25, card={"attention": "flash"}),
    "attention efficient": Switch(budget=25, card={"attention": "efficient"}),
    "channels_last": Switch(budget=25, card={"channels_last": True}),
    "deep_cache 3": Switch(budget=25, asked={"deep_cache": 3}),
    "gate 0.4": Switch(budget=25, asked={"gate": 0.4}),
    "compile_vae": Switch(budget=60, card={"compile_vae": "default"}),
    "fp8": Switch(budget=30, card={"fp8": True}),
}
"""In this order: the last one changes the weights."""
STEPS = 20


class Plain:
    """The model without any switch: what the others are measured against."""

    def __init__(self, pipeline: Any, sizes: Sizes, smoke: bool) -> None:
        self._pipeline = pipeline
        self._sizes = sizes
        self._smoke = smoke
        self._batch = min(4, sizes.largest)
        self._steps = 4 if smoke else STEPS
        self._speed = 0.0
        self._pictures: list[RGB] = []

    def measure(self) -> dict[str, Any]:
        self._speed, self._pictures, first = self._run(PLAIN)
        return {
            "images/s": round(self._speed, 3),
            "first step, seconds": first,
            "steps": self._steps,
            "batch": self._batch,
        }

    def against(self, switch: Switch) -> dict[str, Any]:
        speed, pictures, first = self._run(switch)
        found: dict[str, Any] = {"images/s": round(speed, 3), "first step, seconds": first}
        if self._pictures:
            apart = [np.abs(a.astype(int) - b) for a, b in zip(pictures, self._pictures, strict=True)]
            found["over plain"] = round(speed / self._speed, 2)
            found["mean difference, of 255"] = round(float(np.mean(apart)), 3)
            found["worst difference, of 255"] = int(np.max(apart))
        return found

    def _run(self, switch: Switch) -> tuple[float, list[RGB], float]:
        """Images a second, the pictures, and seconds of the first step, in which is compiled and recorded."""
        for part in (self._pipeline.unet, self._pipeline.vae):
            part.to(memory_format=torch.contiguous_format)  # as it was before another row
        card = dict(switch.card)
        if self._smoke:  # a compiler takes longer than all the rest
            card = {name: "eager" if "compile" in name else value for name, value in card.items()}
        model = engine(self._pipeline, self._sizes.fast, self._batch, **card)
        first = seconds_of(lambda: self._paint(model, switch, 1))
        self._paint(model, switch, 2)
        pictures: list[RGB] = []
        spent = seconds_of(lambda: pictures.extend(self._paint(model, switch, self._steps)))
        return self._batch / spent, pictures, round(first, 2)

    def _paint(self, model: StepModel, switch: Switch, steps: int) -> list[RGB]:
        asked = [request(self._sizes.side, seed=seed, steps=steps, **switch.asked) for seed in range(self._batch)]
        return [painted.pixels for painted in finish(model, asked)]


def rows(bench: Bench, pipeline: Any, sizes: Sizes, smoke: bool) -> None:
    """A row a switch; the pipeline is used up."""
    plain, share = Plain(pipeline, sizes, smoke), 1.0 if "xl" in sizes.model else 0.6
    bench.row(f"{sizes.model}: no switch", share * PLAIN.budget, plain.measure, always=True)
    for name, switch in SWITCHES.items():
        bench.row(f"{sizes.model}: {name}", share * switch.budget, lambda one=switch: plain.against(one))
