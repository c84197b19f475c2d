"""The rows of `benchmarks.gpu` that run in its own process: the step engine against stock diffusers, nets against plain loops.

Every row takes a `Sizes`: tiny ones in the smoke run on a CPU, real ones on a GPU, the same code.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from time import perf_counter, sleep
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.random_models import Size
from benchmarks.served import WORDS
from benchmarks.simulated import BATCH, arrivals, p95, step_seconds
from pergai.engine.core import UNFINISHED
from pergai.engine.scheduler import Scheduler, Work
from pergai.runners.diffusion import schedulers
from pergai.runners.diffusion.accelerate import ways
from pergai.runners.diffusion.model import StepModel
from pergai.runners.diffusion.request import Painted, Request
from pergai.runners.diffusion.switches import PainterSwitches

DENSE = 790.0
"""TFLOP/s of an H100 or H200 in bf16, as PERFORMANCE counts the roofline."""
UNET = {"sd15": 0.803, "sdxl": 6.761}
"""TFLOP of one UNet forward of one row at 512² and 1024²."""
DECODE = {"sd15": 2.6, "sdxl": 10.47}
ENCODE = {"sd15": 1.2, "sdxl": 4.88}
"""TFLOP of the autoencoder, one picture."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """One model's plan. `batches`: of the engine, the last one is the largest."""

    model: Size
    side: int
    steps: int
    batches: tuple[int, ...]
    half: torch.dtype
    fast: torch.dtype

    @property
    def largest(self) -> int:
        return self.batches[-1]


def wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def seconds_of(work: Any) -> float:
    wait()
    started = perf_counter()
    work()
    wait()
    return perf_counter() - started


def request(
    side: int, seed: int = 0, steps: int = 30, guidance: float = 7.5, scheduler: str = "euler", **more: Any
) -> Request:
    ramp = np.linspace(40, 210, side, dtype=np.float32)
    pixels = np.stack([np.add.outer(ramp, ramp) / 2, np.tile(ramp, (side, 1)), np.tile(ramp[:, None], (1, side))], -1)
    mask = np.full((side, side), 255, np.uint8)
    mask[side // 4 : side // 2, side // 4 : side // 2] = 0
    return Request(
        image=pixels.astype(np.uint8), mask=mask, prompt=WORDS,
        seed=seed, steps=steps, guidance=guidance, scheduler=scheduler, **more,
    )  # fmt: skip


def engine(pipeline: Any, dtype: torch.dtype, max_batch: int, **options: Any) -> StepModel:
    """The step engine on a pipeline, as `load` makes it of a card with these options."""
    made = ways("bench", PainterSwitches(**options), pipeline, dtype)
    rows = [2, 4, 8, 16, 32] if made.wants_sizes else []
    return StepModel(pipeline, dtype=dtype, max_batch=max_batch, rows=rows, single=False, ways=made)


def finish(model: StepModel, requests: list[Request]) -> list[Painted]:
    results: dict[int, Painted] = {}
    while left := [one for one in requests if id(one) not in results]:
        for one, result in zip(left, model.run(left), strict=True):
            if result is not UNFINISHED:
                results[id(one)] = result
    return [results[id(one)] for one in requests]


def stock(pipeline: Any, asked: Request) -> np.ndarray:
    """The same request through diffusers' own pipeline."""
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
    return np.asarray(made.images[0])


def png(pixels: np.ndarray) -> int:
    """As a stock server writes it: Pillow's own level. Bytes."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return len(file.getvalue())


# --- rows ---------------------------------------------------------------------------------------------


@contextmanager
def whole_float32() -> Iterator[None]:
    """Convolutions without TF32, torch's default on a GPU: of float32's 23 bits it keeps 10."""
    before, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


@whole_float32()
def correctness(pipeline: Any, dtype: torch.dtype, side: int, steps: int = 4) -> dict[str, Any]:
    """Largest difference to stock in 1/255: each sampler alone, then all of them in one batch."""
    model = engine(pipeline, dtype, 12)
    alone: dict[str, int] = {}
    pictures: dict[str, np.ndarray] = {}
    for name in schedulers.SCHEDULERS:
        asked = request(side, seed=3, steps=steps, scheduler=name)
        pictures[name] = finish(model, [asked])[0].pixels
        alone[name] = int(np.abs(pictures[name].astype(int) - stock(pipeline, asked)).max())
    together = finish(model, [request(side, seed=3, steps=steps, scheduler=name) for name in schedulers.SCHEDULERS])
    apart = {
        name: int(np.abs(one.pixels.astype(int) - pictures[name]).max())
        for name, one in zip(schedulers.SCHEDULERS, together, strict=True)
    }
    return {
        "worst alone, of 255": max(alone.values()),
        "worst in one batch, of 255": max(apart.values()),
        "alone": alone,
        "in one batch": apart,
        "pictures are not flat": bool(pictures["euler"].std() > 1),
    }


def peak(smoke: bool) -> dict[str, Any]:
    """TFLOP/s of a large matrix product in the same run: what this device can do at most."""
    side, dtype, device = (256, torch.float32, "cpu") if smoke else (8192, torch.bfloat16, "cuda")
    one, other = (torch.randn(side, side, dtype=dtype, device=device) for _ in range(2))
    for _ in range(3):
        one @ other
    spent = seconds_of(lambda: [one @ other for _ in range(20)])
    return {"bf16 matmul TFLOP/s": round(20 * 2 * side**3 / spent / 1e12, 3)}


def rival(pipeline: Any, sizes: Sizes) -> dict[str, float]:
    """Stock diffusers, one after another as behind a lock, each with its PNG: the pipeline in `half`, eager."""
    stock(pipeline, request(sizes.side, steps=2))
    pictures: list[np.ndarray] = []
    spent = median(
        seconds_of(lambda: pictures.append(stock(pipeline, request(sizes.side, steps=sizes.steps)))) for _ in range(2)
    )
    encode = seconds_of(lambda: png(pictures[0]))
    return {
        "images/s": round(1 / spent, 4),
        "images/s with PNG": round(1 / (spent + encode), 4),
        "PNG seconds": round(encode, 3),
    }


def throughput(model: StepModel, sizes: Sizes, rival: float, steps: int | None = None) -> dict[str, Any]:
    """The bare engine's images a second at each batch size, guidance on; against stock without PNG, and of the roofline."""
    steps = steps or sizes.steps
    found: dict[str, Any] = {}
    for batch in sizes.batches:
        finish(model, [request(sizes.side, seed=seed, steps=2) for seed in range(batch)])
        spent = seconds_of(lambda n=batch: finish(model, [request(sizes.side, seed=s, steps=steps) for s in range(n)]))
        speed = batch / spent
        found[str(batch)] = {"images/s": round(speed, 3)}
        if rival:
            found[str(batch)]["over stock"] = round(speed / rival, 2)
        if sizes.model in UNET:
            found[str(batch)]["share of 790 TFLOP/s"] = share(sizes.model, speed, steps)
    return found


def alone(model: StepModel, sizes: Sizes) -> dict[str, float]:
    """One picture by itself, which what HTTP adds to an unloaded request is measured against."""
    spent = [seconds_of(lambda s=s: finish(model, [request(sizes.side, seed=s, steps=sizes.steps)])) for s in range(6)]
    return {"seconds": round(median(spent[1:]), 4)}


def share(model: str, images_per_second: float, steps: int) -> float:
    """Of the roofline: what the pictures need at the least, over what the device could do."""
    need = 2 * steps * UNET[model] + DECODE[model] + ENCODE[model]
    return round(images_per_second * need / DENSE, 3)


def few_steps(model: StepModel, sizes: Sizes) -> dict[str, float]:
    """Four steps without guidance against twenty with it (goal 5.5)."""
    spent = []
    for steps, guidance in ((20, 7.5), (4, 1.0)):
        finish(model, [request(sizes.side, seed=s, steps=1, guidance=guidance) for s in range(sizes.largest)])
        asked = [request(sizes.side, seed=s, steps=steps, guidance=guidance) for s in range(sizes.largest)]
        spent.append(seconds_of(lambda asked=asked: finish(model, asked)))
    return {"speed-up": round(spent[0] / spent[1], 2)}


def beside_the_unet(model: StepModel, sizes: Sizes) -> dict[str, float]:
    """A turn's time, and the part of it that is not the UNet's."""
    asked = [request(sizes.side, seed=seed, steps=40) for seed in range(sizes.largest)]
    for _ in range(2):
        model.run(asked)
    unet, inside = model._pipeline.unet, 0.0
    forward = unet.forward

    def timed(*args: Any, **more: Any) -> Any:
        nonlocal inside
        out: list[Any] = []
        inside += seconds_of(lambda: out.append(forward(*args, **more)))
        return out[0]

    unet.forward = timed
    try:
        total = seconds_of(lambda: [model.run(asked) for _ in range(5)])
    finally:
        unet.forward = forward
    return {
        "milliseconds a turn": round(total / 5 * 1e3, 2),
        "of it the UNet": round(inside / total, 3),
        "microseconds a row beside it": round((total - inside) / 5 / sizes.largest * 1e6, 1),
    }


def memory(model: StepModel, sizes: Sizes) -> dict[str, int]:
    """Peak MiB with a full batch, decoding included: a model card states that and a tenth more. What is reserved beyond it the
    allocator keeps for later, and gives up before it fails; it and the device's own libraries serve all models of a process."""
    if not torch.cuda.is_available():
        finish(model, [request(sizes.side, steps=1)])
        return {}
    torch.cuda.reset_peak_memory_stats()
    finish(model, [request(sizes.side, seed=seed, steps=2) for seed in range(sizes.largest)])
    free, total = torch.cuda.mem_get_info()
    return {
        "peak MiB": torch.cuda.max_memory_allocated() >> 20,
        "reserved MiB": torch.cuda.max_memory_reserved() >> 20,
        "device MiB used": (total - free) >> 20,
    }


def poisson(model: StepModel, sizes: Sizes, count: int) -> dict[str, Any]:
    """Real time: jobs of 4, 20 and 30 steps and two sizes come at 0.8 of the capacity; the engine's scheduler against a static
    batcher that groups by key (goals: p95 latency 0.65, p95 slowdown 0.30, throughput 0.98)."""
    shapes = {512: sizes.side, 768: sizes.side * 3 // 4 // 64 * 64 if sizes.side >= 512 else sizes.side + 16}
    alone, full = {}, 0.0
    for side in shapes.values():
        for batch in range(1, sizes.largest + 1):  # each is recorded once: neither side is to pay for the other
            finish(model, [request(side, seed=seed, steps=1) for seed in range(batch)])
        for batch in (1, sizes.largest):
            asked = [request(side, seed=seed, steps=12) for seed in range(batch)]
            spent = seconds_of(lambda asked=asked: finish(model, asked)) / 12
            if batch == 1:
                alone[side] = spent
            else:
                full += spent / batch / len(shapes)
    # The simulated loads are scaled to this device's speed.
    scale = full / (step_seconds(BATCH) / BATCH)
    found = {}
    for name, run in (("engine", _continuous), ("static", _static)):
        jobs = arrivals(0.8, seed=4)[:count]
        for job in jobs:
            job.at, job.size = job.at * scale, shapes[job.size]
        run(model, jobs, sizes.largest)
        slow = sorted(job.latency / (job.steps * alone[job.size]) for job in jobs)
        found[name] = {
            "p95 latency": p95(jobs),
            "p95 slowdown": slow[int(0.95 * len(slow))],
            "seconds": max(job.done for job in jobs),
        }
    ours, theirs = found["engine"], found["static"]
    return {
        "jobs": count,
        "p95 latency": round(ours["p95 latency"] / theirs["p95 latency"], 3),
        "p95 slowdown": round(ours["p95 slowdown"] / theirs["p95 slowdown"], 3),
        "throughput": round(theirs["seconds"] / ours["seconds"], 3),
        "seconds": {name: round(one["p95 latency"], 2) for name, one in found.items()},
    }


def _continuous(model: StepModel, jobs: list[Any], batch: int) -> None:
    scheduler, coming, started = Scheduler(), deque(jobs), perf_counter()
    while coming or len(scheduler):
        while coming and (coming[0].at <= perf_counter() - started or not len(scheduler)):
            job = coming.popleft()
            sleep(max(0.0, job.at - (perf_counter() - started)))
            payload = request(job.size, seed=id(job) % 1000, steps=job.steps)
            scheduler.add(
                Work(job="", library="a", model="m", shape=job.size, payload=(payload, job), turns=job.steps + 1)
            )  # fmt: skip
        taken = scheduler.next(("m",), lambda _: batch)
        before = perf_counter()
        results = model.run([work.payload[0] for work in taken])
        wait()
        for work, result in zip(taken, results, strict=True):
            if result is UNFINISHED:
                scheduler.put_back(work)
            else:
                work.payload[1].done = perf_counter() - started
        scheduler.charge(taken, perf_counter() - before)


def _static(model: StepModel, jobs: list[Any], batch: int) -> None:
    coming, waiting, started = deque(jobs), list[Any](), perf_counter()
    while coming or waiting:
        while coming and (coming[0].at <= perf_counter() - started or not waiting):
            job = coming.popleft()
            sleep(max(0.0, job.at - (perf_counter() - started)))
            waiting.append(job)
        key = (waiting[0].size, waiting[0].steps)
        together = [job for job in waiting if (job.size, job.steps) == key][:batch]
        waiting = [job for job in waiting if job not in together]
        finish(model, [request(job.size, seed=id(job) % 1000, steps=job.steps) for job in together])
        for job in together:
            job.done = perf_counter() - started


def large_expand(model: StepModel, upscaler: Any, sizes: Sizes, factor: int = 4) -> dict[str, Any]:
    """A picture `factor` times the model's own side: painted small and enlarged by the net, against painting it at that size
    (two steps of the UNet are run, the rest is counted) (goal 20)."""
    small, large = sizes.side, sizes.side * factor
    finish(model, [request(small, steps=1)])
    painted: list[Painted] = []
    paint = seconds_of(lambda: painted.extend(finish(model, [request(small, steps=sizes.steps)])))
    tile = min(256, small)
    tiles = [
        np.ascontiguousarray(painted[0].pixels[top : top + tile, left : left + tile])
        for top in range(0, small, tile)
        for left in range(0, small, tile)
    ]
    batch = upscaler.max_batch
    upscaler.run(tiles[:batch])
    enlarge = seconds_of(lambda: [upscaler.run(tiles[i : i + batch]) for i in range(0, len(tiles), batch)])
    with torch.inference_mode():
        step = _guided_step(model, large)
    direct = sizes.steps * step
    return {
        "two stages, seconds": round(paint + enlarge, 3),
        "direct, seconds, without encoding and decoding": round(direct, 2),
        "speed-up": round(direct / (paint + enlarge), 1),
    }


def _guided_step(model: StepModel, side: int) -> float:
    """Seconds of the UNet for one guided request of a size; the autoencoder might not bear it."""
    unet = model._pipeline.unet
    words = model._words.condition("a red cup", "", guided=True)
    like = {"device": unet.device, "dtype": unet.dtype}
    more: dict[str, Any] = {}
    if words.pooled is not None:
        ids = torch.tensor([[side, side, 0, 0, side, side]] * 2, **like)
        more["added_cond_kwargs"] = {"text_embeds": words.pooled, "time_ids": ids}
    sample = torch.randn(2, unet.config.in_channels, side // 8, side // 8, **like)
    moments = torch.full((2,), 500.0, device=unet.device)

    def step() -> None:
        unet(sample, moments, encoder_hidden_states=words.embeds, return_dict=False, **more)

    step()
    return median(seconds_of(step) for _ in range(2))
