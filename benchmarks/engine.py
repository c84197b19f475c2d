"""The diffusion engine on a CPU, with a small UNet: what it costs beside the net, what batching brings, and what HTTP costs.

python -m benchmarks.engine
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import psutil
import torch

from benchmarks.random_models import Size, build
from benchmarks.results_file import seconds, write
from benchmarks.served import Painter, Served
from pergai.cards.structs import HubSource, ModelCard
from pergai.engine.core import UNFINISHED
from pergai.engine.device import DeviceLoop
from pergai.engine.scheduler import Work
from pergai.runners.diffusion.model import StepModel, load
from pergai.runners.diffusion.request import Request
from pergai.worker import NICENESS

SIDE, STEPS, BATCH = 64, 12, 16


def request(seed: int, scheduler: str = "euler", steps: int = STEPS, side: int = SIDE) -> Request:
    random_pixels = np.random.default_rng(seed).integers(0, 255, (side, side, 3), np.uint8)
    mask = np.full((side, side), 255, np.uint8)
    mask[: side // 2] = 0
    return Request(image=random_pixels, mask=mask, prompt="a cup", seed=seed, steps=steps, scheduler=scheduler)


def model_of(size: Size, folder: Path) -> StepModel:
    build(size).save_pretrained(folder)
    source = HubSource(repository="none", revision="none")
    card = ModelCard(
        id=size, title=size, family="diffusers", licence="MIT", source=source, memory_mib=1,
        options={"max_batch": BATCH},
    )  # fmt: skip
    model = load(card, folder, "cpu")
    if not isinstance(model, StepModel):
        raise TypeError(f"the {size} model is not one the step engine takes")
    return model


# --- the model ---------------------------------------------------------------------------------------


def turns(model: StepModel, requests: list[Request]) -> None:
    while requests:
        results = model.run(requests)
        requests = [one for one, result in zip(requests, results, strict=True) if result is UNFINISHED]


def through_the_device_thread(model: StepModel, requests: list[Request]) -> float:
    """Seconds."""

    class Nobody:
        def ran(self, model: str, size: int, seconds: float) -> None: ...
        def loaded(self, model: str, mib: int, seconds: float) -> None: ...
        def unloaded(self, model: str) -> None: ...

    loop = DeviceLoop(
        load=lambda _: (model, 1), stated_mib=lambda _: 1, release=lambda: None, budget_mib=9, watcher=Nobody()
    )
    loop.start()
    loop.submit(Work(job="first", library="a", model="m", shape=None, payload=request(0, steps=1))).result()  # loads it
    started = perf_counter()
    futures = [
        loop.submit(Work(job=str(i), library="a", model="m", shape=one.shape, payload=one))
        for i, one in enumerate(requests)
    ]
    for future in futures:
        future.result()
    spent = perf_counter() - started
    loop.stop()
    loop.join()
    return spent


def overhead(model: StepModel) -> dict[str, float]:
    """Microseconds a row a tick with a UNet that takes no time: all of a turn, and all but the samplers' own. The best of
    many turns, for on a busy machine the others measure the neighbours."""
    requests = [request(seed, steps=200) for seed in range(BATCH)]
    model.run(requests)
    unet = model._pipeline.unet
    answer = torch.zeros(2 * BATCH, 4, SIDE // 8, SIDE // 8)
    forward, unet.forward = unet.forward, lambda *_, **__: (answer,)
    whole = min(seconds(lambda: model.run(requests), 1) for _ in range(80))
    spent = 0.0

    def timed(call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **more: Any) -> Any:
            nonlocal spent
            started = perf_counter()
            result = call(*args, **more)
            spent += perf_counter() - started
            return result

        return run

    for one in requests:
        if one.state is not None:
            one.state.scheduler.step = timed(one.state.scheduler.step)
            one.state.scheduler.scale_model_input = timed(one.state.scheduler.scale_model_input)
    samplers = float("inf")
    for _ in range(80):
        spent = 0.0
        model.run(requests)
        samplers = min(samplers, spent)
    unet.forward = forward
    return {
        "beside the UNet": round(whole / BATCH * 1e6, 1),
        "of it diffusers' samplers": round(samplers / BATCH * 1e6, 1),
        "pergai's own (goal 50)": round((whole - samplers) / BATCH * 1e6, 1),
    }


def bare_loop(model: StepModel, count: int) -> None:
    """Stock diffusers, one batch of equal requests with one scheduler: the fastest way to do them together."""
    asked = [request(seed) for seed in range(count)]
    to_pil = model._pipeline.image_processor.numpy_to_pil
    model._pipeline(
        prompt=["a cup"] * count,
        image=[to_pil(one.image[None] / 255.0)[0] for one in asked],
        mask_image=[to_pil(np.repeat(one.mask[None, ..., None], 3, -1) / 255.0)[0] for one in asked],
        height=SIDE,
        width=SIDE,
        num_inference_steps=STEPS,
        generator=[torch.Generator().manual_seed(one.seed) for one in asked],
    )


def models() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        model = model_of("small", Path(folder))
    bare_loop(model, BATCH)
    # Side by side, in turn, so that a busy machine is busy for all of them.
    bare, engine, alone = [], [], []
    for _ in range(5):
        bare.append(seconds(lambda: bare_loop(model, BATCH), 1))
        engine.append(through_the_device_thread(model, [request(seed) for seed in range(BATCH)]))
        alone.append(seconds(lambda: [turns(model, [request(seed)]) for seed in range(BATCH)] and None, 1))
    middle = {name: median(times) for name, times in (("bare", bare), ("engine", engine), ("alone", alone))}
    return {
        "what": f"{BATCH} requests of {STEPS} steps with guidance at {SIDE}×{SIDE}, a UNet of 4 M parameters, one thread",
        "engine over the bare loop, speed (goal 0.95)": round(
            median(one / other for one, other in zip(bare, engine, strict=True)), 3
        ),
        "engine over one after another, speed": round(
            median(one / other for one, other in zip(alone, engine, strict=True)), 2
        ),
        "seconds": {name: round(value, 2) for name, value in middle.items()},
        "microseconds a row a tick": overhead(model),
    }


# --- HTTP ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A net, and how often it is asked."""

    size: Size
    steps: int
    rounds: int
    """Bursts of 16, each beside a batch of 16."""
    each: int
    """Requests of each client, one after another."""


LOADS = {
    "tiny net": Load(size="small", steps=STEPS, rounds=5, each=8),
    "net of a second a picture": Load(size="medium", steps=30, rounds=2, each=2),
}
"""The first spends on the device what the codecs and the rows cost, on the same two cores; a real net spends many times that, on
a device of its own."""


def over_http(load: Load) -> dict[str, Any]:
    """16 clients of a real server, each waiting for its picture, against 16 requests as one batch in this process; in turn, so
    that a busy machine is busy for both. All at once, when nothing can be done beside anything else at the start and at the
    end; and one after another each, when pictures are prepared and written while others are painted.

    In a process of its own, for it lowers its priority."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = model_of(load.size, folder)
        painter = Painter("net", folder, SIDE, load.steps, options={"max_batch": BATCH})

        def batch() -> float:
            return seconds(lambda: turns(model, [request(seed, steps=load.steps) for seed in range(BATCH)]), 1)

        with Served([painter], jobs=BATCH, device="cpu") as server:
            os.nice(NICENESS)  # as the server's engine does on a CPU

            def paint(first: int, count: int) -> float:
                return server.together(BATCH, count, lambda seed: server.scene("net", 256, first + seed))[0]

            paint(0, 4)
            bursts: list[tuple[float, float]] = []
            for number in range(1, load.rounds + 1):
                bursts.append((paint(100 * number, BATCH), batch()))
            alone = batch()
            before = cpu_seconds(server.pid)
            steady = paint(10_000, BATCH * load.each) / load.each
            work = {
                name: round((spent - before[name]) / BATCH / load.each, 4)
                for name, spent in cpu_seconds(server.pid).items()
            }
            alone = (alone + batch()) / 2
    return {
        "what": f"{load.steps} steps at {SIDE}×{SIDE}, 256×256 results in PNG, {BATCH} clients",
        "all at once: HTTP over one batch in process, speed": round(median(bare / http for http, bare in bursts), 3),
        "steady: HTTP over batches in process, speed (goal 0.9)": round(alone / steady, 3),
        "seconds of 16": {
            "all at once": round(median(http for http, _ in bursts), 2),
            "steady": round(steady, 2),
            "one batch": round(alone, 2),
        },
        "CPU seconds a picture, steady": work,
        "what HTTP adds": "decoding, placing, compositing, a PNG with its receipt and fsync, rows in SQLite; the clients",
    }


def cpu_seconds(pid: int) -> dict[str, float]:
    """CPU seconds so far of the server's two processes, and of this one, which is its clients."""

    def spent(process: psutil.Process) -> float:
        times = process.cpu_times()
        return float(times.user + times.system)

    api = psutil.Process(pid)
    engine = next(child for child in api.children() if "pergai.worker" in child.cmdline())
    return {"engine": spent(engine), "API": spent(api), "clients": spent(psutil.Process())}


def main() -> None:
    torch.set_num_threads(1)  # a second one waits in loops for the first and measures the neighbours
    os.environ["OMP_NUM_THREADS"] = "1"  # of the server's engine, as here
    found: dict[str, Any] = {"model": models()}
    found["http"] = {}
    for name, asked in LOADS.items():
        with ProcessPoolExecutor(1, get_context("spawn")) as process:
            found["http"][name] = process.submit(over_http, asked).result()
    write("engine", found, ("torch", "diffusers"))


if __name__ == "__main__":
    main()
