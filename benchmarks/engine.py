"""The diffusion engine on a CPU, with a small UNet: what it costs beside the net, what batching brings, and, in simulated time,
what its scheduling does for those who wait.

    python -m benchmarks.engine
"""

from __future__ import annotations

import heapq
import random
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

from benchmarks.random_models import build
from benchmarks.results_file import percentile, seconds, write
from pergai.cards.structs import HubSource, ModelCard
from pergai.engine.core import UNFINISHED
from pergai.engine.device import DeviceLoop
from pergai.engine.scheduler import Scheduler, Work
from pergai.runners.diffusion.model import StepModel, load
from pergai.runners.diffusion.request import Request

SIDE, STEPS, BATCH = 64, 12, 16


def request(seed: int, scheduler: str = "euler", steps: int = STEPS, side: int = SIDE) -> Request:
    random_pixels = np.random.default_rng(seed).integers(0, 255, (side, side, 3), np.uint8)
    mask = np.full((side, side), 255, np.uint8)
    mask[: side // 2] = 0
    return Request(image=random_pixels, mask=mask, prompt="a cup", seed=seed, steps=steps, scheduler=scheduler)


def small_model(folder: Path) -> StepModel:
    build("small").save_pretrained(folder)
    source = HubSource(repository="none", revision="none")
    card = ModelCard(
        id="small", title="small", family="diffusers", licence="MIT", source=source, memory_mib=1,
        options={"max_batch": BATCH},
    )  # fmt: skip
    model = load(card, folder, "cpu")
    if not isinstance(model, StepModel):
        raise TypeError("the small model is not one the step engine takes")
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
        model = small_model(Path(folder))
    bare_loop(model, BATCH)
    # Side by side, in turn, so that a busy machine is busy for all of them.
    bare, engine, alone = [], [], []
    for _ in range(3):
        bare.append(seconds(lambda: bare_loop(model, BATCH), 1))
        engine.append(through_the_device_thread(model, [request(seed) for seed in range(BATCH)]))
        alone.append(seconds(lambda: [turns(model, [request(seed)]) for seed in range(BATCH)] and None, 1))
    middle = {name: sorted(times)[1] for name, times in (("bare", bare), ("engine", engine), ("alone", alone))}
    return {
        "what": f"{BATCH} requests of {STEPS} steps with guidance at {SIDE}×{SIDE}, a UNet of 4 M parameters, one thread",
        "engine over the bare loop, speed (goal 0.95)": round(middle["bare"] / middle["engine"], 3),
        "engine over one after another, speed": round(middle["alone"] / middle["engine"], 2),
        "seconds": {name: round(value, 2) for name, value in middle.items()},
        "microseconds a row a tick": overhead(model),
    }


# --- the scheduler alone, in simulated time -------------------------------------------------------------


@dataclass(slots=True, eq=False)
class Job:
    at: float
    steps: int
    size: int
    library: str = "a"
    left: int = 0
    done: float = 0.0


def step_seconds(count: int) -> float:
    """A step of a batch of one size: part of it is there whatever the batch (as measured on GPUs for SD 1.5)."""
    return 0.012 + 0.008 * count


def arrivals(load: float, count: int, seed: int) -> list[Job]:
    rng = random.Random(seed)
    mix = (4, 20, 30)
    capacity = BATCH / (step_seconds(BATCH) * sum(mix) / len(mix))
    now, jobs = 0.0, []
    for _ in range(count):
        now += rng.expovariate(load * capacity)
        steps = rng.choice(mix)
        jobs.append(Job(at=now, steps=steps, size=rng.choice((512, 768)), left=steps))
    return jobs


def continuous(jobs: list[Job]) -> None:
    """The engine's own scheduler."""
    scheduler, now = Scheduler(), 0.0
    coming = deque(sorted(jobs, key=lambda job: job.at))
    while coming or len(scheduler):
        if not len(scheduler):
            now = max(now, coming[0].at)
        while coming and coming[0].at <= now:
            job = coming.popleft()
            scheduler.add(Work(job=str(id(job)), library=job.library, model="m", shape=job.size, payload=job))
        batch = scheduler.next(("m",), lambda _: BATCH)
        spent = step_seconds(len(batch))
        now += spent
        for work in batch:
            work.payload.left -= 1
            if work.payload.left:
                scheduler.put_back(work)
            else:
                work.payload.done = now
        scheduler.charge(batch, spent)


def static(jobs: list[Job]) -> None:
    """The fair rival: whenever the device is free, the oldest job and all that wait with its size and steps."""
    now, waiting = 0.0, []
    coming = deque(sorted(jobs, key=lambda job: job.at))
    while coming or waiting:
        if not waiting:
            now = max(now, coming[0].at)
        while coming and coming[0].at <= now:
            heapq.heappush(waiting, (coming[0].at, id(coming[0]), coming.popleft()))
        key = (waiting[0][2].size, waiting[0][2].steps)
        batch = [job for _, _, job in sorted(waiting) if (job.size, job.steps) == key][:BATCH]
        waiting = [entry for entry in waiting if entry[2] not in batch]
        heapq.heapify(waiting)
        now += batch[0].steps * step_seconds(len(batch))
        for job in batch:
            job.done = now


def poisson() -> dict[str, Any]:
    found: dict[str, list[float]] = {"p95 latency": [], "p95 slowdown": [], "throughput": []}
    for seed in range(5):
        ours, theirs = arrivals(0.8, 1500, seed), arrivals(0.8, 1500, seed)
        continuous(ours)
        static(theirs)

        def latencies(jobs: list[Job]) -> list[float]:
            return [job.done - job.at for job in jobs]

        def slowdowns(jobs: list[Job]) -> list[float]:
            return [(job.done - job.at) / (job.steps * step_seconds(1)) for job in jobs]

        for name, measure in (("p95 latency", latencies), ("p95 slowdown", slowdowns)):
            found[name].append(percentile(measure(ours), 0.95) / percentile(measure(theirs), 0.95))
        found["throughput"].append(max(job.done for job in theirs) / max(job.done for job in ours))
    middle = {name: round(sorted(values)[2], 3) for name, values in found.items()}
    return {
        "what": "Poisson arrivals at 0.8 of capacity, steps 4, 20, 30, two sizes; over a static batcher by key",
        "p95 latency (goal 0.65)": middle["p95 latency"],
        "p95 slowdown (goal 0.30)": middle["p95 slowdown"],
        "throughput (goal 0.98)": middle["throughput"],
    }


def fairness() -> dict[str, float]:
    """A light tenant with and without a heavy one; equals among themselves."""

    def light() -> Iterator[Job]:
        for index in range(40):
            yield Job(at=1 + index * 2.0, steps=20, size=512, library="light", left=20)

    alone, beside = list(light()), list(light())
    continuous(alone)
    heavy = [Job(at=0.0, steps=20, size=512, library="heavy", left=20) for _ in range(1000)]
    continuous([*beside, *heavy])
    p95 = [percentile([job.done - job.at for job in jobs], 0.95) for jobs in (beside, alone)]
    shared = 20 * step_seconds(BATCH)
    equals = [Job(at=0.0, steps=20, size=512, library=str(i % 8), left=20) for i in range(1600)]
    continuous(equals)
    middle = sorted(job.done for job in equals)[800]
    served = [sum(job.done <= middle for job in equals if job.library == str(i)) for i in range(8)]
    return {
        "light tenant's p95 beside 1,000 jobs, over alone (goal 2)": round(p95[0] / p95[1], 2),
        "the same over a job's time in full batches, the least that sharing steps allows": round(p95[0] / shared, 2),
        "Jain's index of 8 equals half way (goal 0.95)": round(sum(served) ** 2 / (8 * sum(n * n for n in served)), 4),
    }


def scheduler_cost() -> dict[str, float]:
    """Microseconds a row a tick: choosing a batch and putting it back."""
    costs = {}
    for waiting in (BATCH, 100, 1000):
        scheduler = Scheduler()
        for index in range(waiting):
            scheduler.add(Work(job=str(index), library=str(index % 8), model="m", shape=512, payload=None))

        def tick(scheduler: Scheduler = scheduler) -> None:
            batch = scheduler.next(("m",), lambda _: BATCH)
            for work in batch:
                scheduler.put_back(work)
            scheduler.charge(batch, 0.01)

        costs[f"{waiting} in the queue"] = round(seconds(tick, 200) / BATCH * 1e6, 1)
    return costs


def main() -> None:
    torch.set_num_threads(1)  # a second one waits in loops for the first and measures the neighbours
    write(
        "engine",
        {
            "model": models(),
            "scheduler, microseconds a row a tick (goal 50)": scheduler_cost(),
            "poisson": poisson(),
            "fairness": fairness(),
        },
        ("torch", "diffusers"),
    )


if __name__ == "__main__":
    main()
