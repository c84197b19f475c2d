"""The diffusion engine on a GPU, against stock diffusers in the same run: first that it paints the same pictures, then how fast.

    python -m benchmarks.gpu [--weights FOLDER] [--out FILE] [--seconds 500] [--cpu-smoke]

With no weights the nets are built at their real sizes with random numbers: speed is the same. It needs torch and diffusers
(a folder of wheels on PYTHONPATH will do) and no network. Rows that the time no longer allows are left out and named.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from PIL import Image

from benchmarks.random_models import Size, build
from pergai.engine.core import UNFINISHED
from pergai.runners.diffusion import schedulers
from pergai.runners.diffusion.model import StepModel
from pergai.runners.diffusion.request import Painted, Request

TERAFLOP = {"sd15": 0.803, "sdxl": 6.761}
"""One UNet forward of one row at 512² and 1024²."""


class Clock:
    """What is left of the time."""

    def __init__(self, seconds: float) -> None:
        self._end = perf_counter() + seconds

    def has(self, seconds: float) -> bool:
        return perf_counter() + seconds < self._end


class Bench:
    def __init__(self, device: str, clock: Clock, smoke: bool) -> None:
        self.device, self.clock, self.smoke = device, clock, smoke
        self.results: dict[str, Any] = {}
        self.left_out: list[str] = []

    def row(self, name: str, need: float, work: Callable[[], Any]) -> None:
        """Do one row; an error in it is its result, and the others go on."""
        if not self.clock.has(need):
            self.left_out.append(name)
            return
        started = perf_counter()
        try:
            found = work()
        except (RuntimeError, ValueError, MemoryError) as error:
            found = {"failed": f"{type(error).__name__}: {error}"[:400]}
        self.results[name] = found
        print(f"{name} ({perf_counter() - started:.0f} s): {json.dumps(found)}", flush=True)


def wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def request(side: int, seed: int = 0, steps: int = 30, guidance: float = 7.5, scheduler: str = "euler") -> Request:
    ramp = np.linspace(40, 210, side, dtype=np.float32)
    pixels = np.stack([np.add.outer(ramp, ramp) / 2, np.tile(ramp, (side, 1)), np.tile(ramp[:, None], (1, side))], -1)
    mask = np.full((side, side), 255, np.uint8)
    mask[side // 4 : side // 2, side // 4 : side // 2] = 0
    return Request(
        image=pixels.astype(np.uint8), mask=mask, prompt="a red cup on a marble counter, soft light",
        seed=seed, steps=steps, guidance=guidance, scheduler=scheduler,
    )  # fmt: skip


def finish(model: StepModel, requests: list[Request]) -> list[Painted]:
    results: dict[int, Painted] = {}
    while left := [one for one in requests if id(one) not in results]:
        for one, result in zip(left, model.run(left), strict=True):
            if result is not UNFINISHED:
                results[id(one)] = result
    return [results[id(one)] for one in requests]


def stock(pipeline: Any, asked: Request) -> np.ndarray:
    own = pipeline.scheduler
    pipeline.scheduler = schedulers.make(asked.scheduler, own.config)
    try:
        made = pipeline(
            prompt=asked.prompt, image=Image.fromarray(asked.image), mask_image=Image.fromarray(asked.mask),
            height=asked.image.shape[0], width=asked.image.shape[1], num_inference_steps=asked.steps,
            guidance_scale=asked.guidance, strength=asked.strength,
            generator=torch.Generator("cpu").manual_seed(asked.seed),
        )  # fmt: skip
    finally:
        pipeline.scheduler = own
    if pipeline.vae.config.get("force_upcast", False):
        pipeline.vae.to(torch.float32)  # stock leaves it in half precision; the engine keeps it whole
    return np.asarray(made.images[0])


# --- rows ---------------------------------------------------------------------------------------------


def correctness(pipeline: Any, model: StepModel, side: int) -> dict[str, Any]:
    """Largest difference to stock in 1/255: each sampler alone, then all of them in one batch."""
    alone: dict[str, int] = {}
    pictures: dict[str, np.ndarray] = {}
    for name in schedulers.SCHEDULERS:
        asked = request(side, seed=3, steps=4, scheduler=name)
        pictures[name] = finish(model, [asked])[0].pixels
        alone[name] = int(np.abs(pictures[name].astype(int) - stock(pipeline, asked)).max())
    names = list(schedulers.SCHEDULERS)[: model.max_batch]
    together = finish(model, [request(side, seed=3, steps=4, scheduler=name) for name in names])
    apart = {
        name: int(np.abs(one.pixels.astype(int) - pictures[name]).max())
        for name, one in zip(names, together, strict=True)
    }
    return {"alone": alone, "in one batch": apart, "pictures are not flat": bool(pictures["euler"].std() > 1)}


def throughput(pipeline: Any, model: StepModel, size: str, side: int, steps: int, batches: list[int]) -> dict[str, Any]:
    """Images a second, guidance on: stock one after another, the engine at each batch size."""
    device = str(pipeline.device)
    stock(pipeline, request(side, steps=2))
    wait(device)
    started = perf_counter()
    stock(pipeline, request(side, steps=steps))
    wait(device)
    rival = 1 / (perf_counter() - started)
    found: dict[str, Any] = {"stock images/s": round(rival, 3), "engine": {}}
    if device != "cpu":
        pipeline.unet.to(memory_format=torch.channels_last)
        pipeline.vae.to(memory_format=torch.channels_last)
    for batch in batches:
        finish(model, [request(side, seed=seed, steps=2) for seed in range(batch)])
        wait(device)
        started = perf_counter()
        finish(model, [request(side, seed=seed, steps=steps) for seed in range(batch)])
        wait(device)
        speed = batch / (perf_counter() - started)
        entry = {"images/s": round(speed, 3), "over stock": round(speed / rival, 2)}
        if size in TERAFLOP:
            entry["UNet TFLOP/s"] = round(speed * steps * 2 * TERAFLOP[size], 1)
        found["engine"][str(batch)] = entry
    found["best over stock"] = max(entry["over stock"] for entry in found["engine"].values())
    return found


def few_steps(model: StepModel, side: int, batch: int) -> dict[str, float]:
    """Four steps without guidance against twenty with it (goal 5.5)."""
    spent = []
    for steps, guidance in ((20, 7.5), (4, 1.0)):
        asked = [request(side, seed=seed, steps=steps, guidance=guidance) for seed in range(batch)]
        started = perf_counter()
        finish(model, asked)
        spent.append(perf_counter() - started)
    return {"speed-up": round(spent[0] / spent[1], 2)}


def overhead(model: StepModel, side: int, batch: int) -> dict[str, float]:
    """A turn's time and what of it the UNet takes on the device."""
    asked = [request(side, seed=seed, steps=40) for seed in range(batch)]
    model.run(asked)
    model.run(asked)
    device = str(model._pipeline.device)
    unet = model._pipeline.unet
    inside = 0.0
    forward = unet.forward

    def timed(*args: Any, **more: Any) -> Any:
        nonlocal inside
        wait(device)
        started = perf_counter()
        out = forward(*args, **more)
        wait(device)
        inside += perf_counter() - started
        return out

    unet.forward = timed
    ticks, started = 5, perf_counter()
    for _ in range(ticks):
        model.run(asked)
    wait(device)
    total = perf_counter() - started
    unet.forward = forward
    return {
        "milliseconds a turn": round(total / ticks * 1e3, 2),
        "of it the UNet": round(inside / total, 3),
        "microseconds a row beside it": round((total - inside) / ticks / batch * 1e6, 1),
    }


def mixed(model: StepModel, side: int, batch: int) -> dict[str, float]:
    """A stream of jobs of 4, 20 and 30 steps that join as others leave, over batches that wait for their longest."""

    def jobs() -> list[Request]:
        return [request(side, seed=i, steps=(4, 20, 30)[i % 3]) for i in range(batch * 3)]

    started = perf_counter()
    waiting, inside = deque(jobs()), []
    while waiting or inside:
        while waiting and len(inside) < batch:
            inside.append(waiting.popleft())
        results = model.run(inside)
        inside = [one for one, result in zip(inside, results, strict=True) if result is UNFINISHED]
    joining = perf_counter() - started
    started = perf_counter()
    every = jobs()
    for first in range(0, len(every), batch):
        finish(model, every[first : first + batch])
    return {"speed over whole batches": round((perf_counter() - started) / joining, 2)}


def memory(model: StepModel, side: int, batch: int) -> dict[str, int]:
    """Peak MiB with a full batch, decoding included: what a model card should state."""
    if not torch.cuda.is_available():
        return {}
    torch.cuda.reset_peak_memory_stats()
    finish(model, [request(side, seed=seed, steps=2) for seed in range(batch)])
    free, total = torch.cuda.mem_get_info()
    return {
        "peak MiB": torch.cuda.max_memory_allocated() >> 20,
        "reserved MiB": torch.cuda.max_memory_reserved() >> 20,
        "device MiB used": (total - free) >> 20,
    }


def variants(pipeline: Any, dtype: torch.dtype, side: int, steps: int, batch: int) -> dict[str, Any]:
    """The step engine's switches one by one, images/s at one batch size."""

    def speed(model: StepModel) -> float:
        finish(model, [request(side, seed=seed, steps=2) for seed in range(batch)])
        wait(str(pipeline.device))
        started = perf_counter()
        finish(model, [request(side, seed=seed, steps=steps) for seed in range(batch)])
        wait(str(pipeline.device))
        return round(batch / (perf_counter() - started), 3)

    found: dict[str, Any] = {}
    rows = [2 * batch]
    pipeline.unet.to(memory_format=torch.contiguous_format)
    found["contiguous"] = speed(make(pipeline, dtype, batch))
    pipeline.unet.to(memory_format=torch.channels_last)
    pipeline.vae.to(memory_format=torch.channels_last)
    found["channels_last"] = speed(make(pipeline, dtype, batch))
    found["fixed rows"] = speed(make(pipeline, dtype, batch, rows))
    started = perf_counter()
    pipeline.unet.compile(fullgraph=True, dynamic=False)
    compiled = make(pipeline, dtype, batch, rows)
    finish(compiled, [request(side, steps=1) for _ in range(batch)])
    found["seconds to compile"] = round(perf_counter() - started, 1)
    found["compiled"] = speed(compiled)
    pipeline.unet._compiled_call_impl = None
    return found


def make(pipeline: Any, dtype: torch.dtype, max_batch: int, rows: list[int] | None = None) -> StepModel:
    return StepModel(pipeline, dtype=dtype, max_batch=max_batch, rows=rows or [], single=False)


# --- all of it ----------------------------------------------------------------------------------------


@contextmanager
def pipeline_of(size: Size, weights: Path | None, dtype: torch.dtype, device: str) -> Iterator[tuple[Any, str]]:
    """The weights that are there, else random ones of the same sizes."""
    import diffusers

    names = {"sd15": "sd15-inpainting", "sdxl": "sdxl-inpainting"}
    folder = weights / names[size] if weights is not None and size in names else None
    if folder is not None and (folder / "model_index.json").is_file():
        kind = (
            diffusers.StableDiffusionXLInpaintPipeline if size == "sdxl" else diffusers.StableDiffusionInpaintPipeline
        )
        pipeline = kind.from_pretrained(folder, dtype=dtype, variant="fp16", local_files_only=True).to(device)
        pipeline.set_progress_bar_config(disable=True)
        origin = "real"
    else:
        pipeline, origin = build(size, dtype, device), "random"
    try:
        yield pipeline, origin
    finally:
        del pipeline
        if device == "cuda":
            torch.cuda.empty_cache()


def run(bench: Bench, weights: Path | None) -> None:
    device, smoke = bench.device, bench.smoke
    plans: list[tuple[Size, int, list[int], int]] = (
        [("small", 64, [1, 4], 2), ("small-xl", 64, [2], 2)]
        if smoke
        else [("sd15", 512, [1, 4, 8, 16], 30), ("sdxl", 1024, [1, 4, 8], 30)]
    )
    for size, side, batches, steps in plans:
        # float32 at small sizes: the pictures must be the same but for the order of summation.
        with pipeline_of("small-xl" if "xl" in size else "small", None, torch.float32, device) as (pipeline, _):
            exact = make(pipeline, torch.float32, 12)
            bench.row(f"{size}: same pictures, float32, small", 40, partial(correctness, pipeline, exact, 64))
        dtype = torch.float32 if smoke else torch.float16
        with pipeline_of(size, weights, dtype, device) as (pipeline, origin):
            bench.results[f"{size}: weights"] = origin
            measure(bench, pipeline, origin, dtype, size, side, batches, steps)


def measure(
    bench: Bench, pipeline: Any, origin: str, dtype: torch.dtype, size: str, side: int, batches: list[int], steps: int
) -> None:
    """All rows of one pipeline, the most telling first."""
    top = batches[-1]
    model = make(pipeline, dtype, top)
    if origin == "real":
        bench.row(f"{size}: same pictures, half precision", 60, partial(correctness, pipeline, model, side))
    bench.row(f"{size}: throughput", 70, partial(throughput, pipeline, model, size, side, steps, batches))
    bench.row(f"{size}: memory", 20, partial(memory, model, side, top))
    bench.row(f"{size}: beside the UNet", 20, partial(overhead, model, side, top))
    bench.row(f"{size}: few steps", 30, partial(few_steps, model, side, top))
    bench.row(f"{size}: mixed steps", 60, partial(mixed, model, side, top))
    if not bench.smoke:
        bench.row(f"{size}: switches", 90, partial(variants, pipeline, dtype, side, 10, top))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, help="the weights folder of a server")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/gpu.json"))
    parser.add_argument("--seconds", type=float, default=500)
    parser.add_argument("--cpu-smoke", action="store_true", help="tiny sizes on a CPU: does the script itself work?")
    options = parser.parse_args()
    if not options.cpu_smoke and not torch.cuda.is_available():
        sys.exit("no CUDA device; try --cpu-smoke")
    device = "cpu" if options.cpu_smoke else "cuda"
    if device == "cpu":
        torch.set_num_threads(1)
    import diffusers
    import transformers

    diffusers.utils.logging.set_verbosity_error()
    bench = Bench(device, Clock(options.seconds), options.cpu_smoke)
    try:
        run(bench, options.weights)
    finally:
        name = torch.cuda.get_device_name() if device == "cuda" else "CPU, tiny sizes: the numbers mean nothing"
        record = {
            "benchmark": "gpu",
            "device": name,
            "versions": {
                "torch": torch.__version__,
                "cuda": torch.version.cuda,
                "diffusers": diffusers.__version__,
                "transformers": transformers.__version__,
                "python": sys.version.split()[0],
            },
            "goals": {
                "sd15 over stock": 4.5,
                "sdxl over stock": 3.0,
                "few steps": 5.5,
                "note": "stock is half precision, one after another, without HTTP or PNG",
            },
            "results": bench.results,
            "left out for lack of time": bench.left_out,
        }
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(record, indent=2) + "\n")
        print(f"written to {options.out}")


if __name__ == "__main__":
    main()
