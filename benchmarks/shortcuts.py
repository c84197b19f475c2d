"""What DeepCache, T-GATE and fewer steps save: floating-point operations at the real sizes of the nets (counted, not timed; no
weights are needed), and processor seconds and loss on a small net with random weights.

    python -m benchmarks.shortcuts
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import process_time
from typing import Any

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.random_models import UNETS, build
from benchmarks.results_file import write
from pergai.engine.core import UNFINISHED
from pergai.runners.diffusion import shortcuts
from pergai.runners.diffusion.model import StepModel
from pergai.runners.diffusion.request import Request
from pergai.runners.diffusion.shortcuts import DeepCache, Gate, Shortcut

STEPS = 25
ASKED: Mapping[str, dict[str, Any]] = {
    "DeepCache, every 2nd step whole": {"deep_cache": 2},
    "DeepCache, every 3rd": {"deep_cache": 3},
    "DeepCache, every 5th": {"deep_cache": 5},
    "T-GATE behind 0.8 of the steps": {"gate": 0.8},
    "T-GATE behind 0.4": {"gate": 0.4},
}
FEW = {"4 steps without guidance": {"steps": 4, "guidance": 1.0}}


def operations(size: str, side: int) -> dict[str, Any]:
    """TFLOP of one step by each way, and of 25 guided steps over those without a shortcut."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(in_channels=9, out_channels=4, **UNETS[size])

        def inputs(rows: int) -> tuple[Tensor, Tensor, dict[str, Any]]:
            words: dict[str, Any] = {"encoder_hidden_states": torch.empty(rows, 77, unet.config.cross_attention_dim)}
            if size == "sdxl":
                words["added_cond_kwargs"] = {"text_embeds": torch.empty(rows, 1280), "time_ids": torch.empty(rows, 6)}
            return torch.empty(rows, 9, side // 8, side // 8), torch.empty(rows), words

        def whole(rows: int) -> Tensor:
            sample, times, words = inputs(rows)
            return unet(sample, times, return_dict=False, **words)[0]

        with torch.inference_mode():
            with shortcuts.keeping_deep(unet) as take:
                guided = counted(lambda: whole(2))
            aside, (sample, times, words) = take(), inputs(2)
            shallow = counted(lambda: shortcuts.shallow(unet, aside, sample, times, words))
            with shortcuts.keeping_crossed(unet) as crossed:
                alone = counted(lambda: whole(1))
            with shortcuts.crossed_already(unet, crossed()):
                gated = counted(lambda: whole(1))
    cost = {"DeepCache": shallow, "Gate": gated}
    shares = {name: share(asked, guided, cost) for name, asked in ASKED.items()}
    shares["4 steps without guidance"] = 4 * alone / (STEPS * guided)
    return {
        "TFLOP a guided step, a shallow one, one behind the gate": [round(x, 3) for x in (guided, shallow, gated)],
        "of the operations of 25 guided steps": {name: round(value, 3) for name, value in shares.items()},
    }


def share(asked: Mapping[str, Any], whole: float, cost: Mapping[str, float]) -> float:
    shortcut: Shortcut = DeepCache(asked["deep_cache"]) if "deep_cache" in asked else Gate(asked["gate"])
    ways = [shortcut.way(index, STEPS) for index in range(STEPS)]
    return sum(cost[type(shortcut).__name__] if way == "reuse" else whole for way in ways) / (STEPS * whole)


def counted(work: Callable[[], Any]) -> float:
    """TFLOP; a multiplication and an addition are two."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() / 1e12


def small() -> dict[str, Any]:
    """Processor seconds over those without a shortcut, and how far the latents are from theirs (relative L2)."""
    torch.set_num_threads(1)
    model = StepModel(build("small"), dtype=torch.float32, max_batch=4, rows=[], single=False)
    found: dict[str, Any] = {}
    for kind in ("warming up", "measured"):
        plain_seconds, plain = painted(model)
        for name, asked in {**ASKED, **FEW}.items():
            spent, latents = painted(model, **asked)
            loss = None if name in FEW else round(float((latents - plain).norm() / plain.norm()), 4)
            if kind == "measured":
                found[name] = {"seconds": round(spent / plain_seconds, 3), "loss": loss}
    return found


def painted(model: StepModel, **asked: Any) -> tuple[float, Tensor]:
    picture = np.random.default_rng(1).integers(0, 255, (192, 192, 3), np.uint8)
    mask = np.full((192, 192), 255, np.uint8)
    given: dict[str, Any] = {"steps": STEPS, "guidance": 5.0, **asked}
    request = Request(image=picture, mask=mask, prompt="a cup on marble", scheduler="euler", **given)
    started = process_time()
    while model.run([request])[0] is UNFINISHED:
        pass
    spent = process_time() - started
    if request.state is None:
        raise RuntimeError("the request was never taken up")
    return spent, request.state.latents


if __name__ == "__main__":
    write(
        "shortcuts",
        {
            "SD 1.5 at 512": operations("sd15", 512),
            "SDXL at 1024": operations("sdxl", 1024),
            "a UNet of 4 M parameters at 192, random weights, processor seconds": small(),
        },
        ("torch", "diffusers"),
    )
