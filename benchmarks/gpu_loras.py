"""One model for requests that wear different LoRAs: what taking turns costs, against as many requests that all wear one."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import torch

from benchmarks.gpu_engine import Sizes, engine, request, seconds_of, wait
from pergai.engine.device import DeviceLoop
from pergai.engine.scheduler import Work
from pergai.runners.diffusion.lora import Lora, Outfit

RANK = 32
STEPS = 20
ONE: Outfit = (("first", 0.5),)
OTHER: Outfit = (("second", 0.5),)


def in_turn(pipeline: Any, sizes: Sizes, smoke: bool) -> dict[str, float]:
    model = engine(pipeline, sizes.fast, sizes.largest)
    there: dict[str, Any] = {"painter": model, **{name: lora(pipeline, name) for name in ("first", "second")}}
    steps, count = (4 if smoke else STEPS), 4 * sizes.largest

    def paint(outfits: tuple[Outfit, ...], count: int) -> float:
        """Seconds, by the engine's device thread."""
        loop = DeviceLoop(
            load=lambda name: (there[name], 1),
            stated_mib=lambda _: 1,
            release=lambda: None,
            budget_mib=9,
            watcher=_Nobody(),
        )
        loop.start()
        asked = [
            request(sizes.side, seed=seed, steps=steps, loras=outfits[seed % len(outfits)]) for seed in range(count)
        ]
        started = perf_counter()
        futures = [
            loop.submit(Work(job=str(i), library="a", model="painter", shape=one.shape, setup=one.loras, payload=one))
            for i, one in enumerate(asked)
        ]
        for future in futures:
            future.result()
        wait()
        spent = perf_counter() - started
        loop.stop()
        loop.join()
        return spent

    paint((ONE, OTHER), 2)
    same, turns = paint((ONE,), count), paint((ONE, OTHER), count)
    _change(model, there)
    change = seconds_of(lambda: _change(model, there)) / 2
    model.set_up(request(64))  # the pipeline is itself again
    return {
        "one LoRA, images/s": round(count / same, 3),
        "two in turn, images/s": round(count / turns, 3),
        "speed in turn": round(same / turns, 3),
        "a change, seconds": round(change, 3),
    }


def lora(pipeline: Any, name: str) -> Lora:
    """Random, on every layer of the UNet's attention."""
    tensors: dict[str, torch.Tensor] = {}
    for layer, module in pipeline.unet.named_modules():
        if layer.endswith(("to_q", "to_k", "to_v", "to_out.0")):
            like = {"device": module.weight.device, "dtype": module.weight.dtype}
            tensors[f"unet.{layer}.lora_A.weight"] = torch.randn(RANK, module.in_features, **like) / RANK
            tensors[f"unet.{layer}.lora_B.weight"] = torch.randn(module.out_features, RANK, **like) / RANK
    return Lora(name, tensors)


def _change(model: Any, there: dict[str, Any]) -> None:
    """Twice, whichever is worn: the second one is worn afterwards."""
    for outfit in (ONE, OTHER):
        asked = request(64, loras=outfit)
        asked.beside.update({name: there[name] for name, _ in outfit})
        model.set_up(asked)


class _Nobody:
    def ran(self, model: str, size: int, seconds: float) -> None: ...
    def loaded(self, model: str, mib: int, seconds: float) -> None: ...
    def unloaded(self, model: str) -> None: ...
