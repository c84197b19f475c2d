"""What the engine's own scheduler does for those who wait, in simulated time: against a static batcher, against an oracle, and
for a light tenant beside a heavy one. Nothing here depends on how busy the machine is, but for `scheduler_cost`.

    python -m benchmarks.simulated
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.results_file import percentile, seconds, write
from pergai.engine.scheduler import Scheduler, Work

BATCH = 16
MIX = (4, 20, 30)
JOBS, LOADS = 1500, 12
"""Jobs of one run, and runs: every figure is the median of the runs."""


@dataclass(slots=True, eq=False)
class Job:
    at: float
    steps: int
    size: int
    library: str = "a"
    left: int = 0
    done: float = 0.0

    @property
    def latency(self) -> float:
        return self.done - self.at

    @property
    def slowdown(self) -> float:
        """Over what it would have taken alone."""
        return self.latency / (self.steps * step_seconds(1))


def job(at: float, steps: int, size: int = 512, library: str = "a") -> Job:
    return Job(at, steps, size, library, left=steps)


def step_seconds(count: int) -> float:
    """A step of a batch of one size: part of it is there whatever the batch (as measured on GPUs for SD 1.5)."""
    return 0.012 + 0.008 * count


CAPACITY = BATCH / (step_seconds(BATCH) * sum(MIX) / len(MIX))
"""Jobs a second when every batch is full."""


def arrivals(load: float, seed: int, libraries: int = 1) -> list[Job]:
    """Poisson arrivals at a share of the capacity: steps of MIX, two sizes."""
    rng = random.Random(seed)
    now, jobs = 0.0, []
    for _ in range(JOBS):
        now += rng.expovariate(load * CAPACITY)
        jobs.append(job(now, rng.choice(MIX), rng.choice((512, 768)), f"library {rng.randrange(libraries)}"))
    return jobs


# --- ways to run them ------------------------------------------------------------------------------------


def continuous(jobs: Sequence[Job]) -> None:
    """The engine's own scheduler, a step at a time; who comes during a step can join the next one."""
    scheduler, now = Scheduler(), 0.0
    coming = deque(sorted(jobs, key=lambda job: job.at))
    while coming or len(scheduler):
        if not len(scheduler):
            now = max(now, coming[0].at)
        _arrive(scheduler, coming, now)
        batch = scheduler.next(("m",), lambda _: BATCH)
        spent = step_seconds(len(batch))
        now += spent
        _arrive(scheduler, coming, now)
        for work in batch:
            work.payload.left -= 1
            if work.payload.left:
                scheduler.put_back(work)
            else:
                work.payload.done = now
        scheduler.charge(batch, spent)


def _arrive(scheduler: Scheduler, coming: deque[Job], now: float) -> None:
    while coming and coming[0].at <= now:
        job = coming.popleft()
        scheduler.add(
            Work(job="", library=job.library, model="m", shape=job.size, payload=job, turns=job.steps)
        )  # fmt: skip


def static(jobs: Sequence[Job]) -> None:
    """The fair rival: whenever the device is free, the oldest job and all that wait with its size and steps."""
    now, waiting = 0.0, []
    coming = deque(sorted(jobs, key=lambda job: job.at))
    while coming or waiting:
        now = now if waiting else max(now, coming[0].at)
        while coming and coming[0].at <= now:
            waiting.append(coming.popleft())
        key = (waiting[0].size, waiting[0].steps)
        batch = [job for job in waiting if (job.size, job.steps) == key][:BATCH]
        waiting = [job for job in waiting if job not in batch]
        now += batch[0].steps * step_seconds(len(batch))
        for one in batch:
            one.done = now


Urge = Callable[[Job, float], float]
"""How pressing a job is at a moment."""

ORACLES: tuple[Urge, ...] = (
    *(
        (lambda job, now, a=a, b=b: (now - job.at + 0.2) ** a / job.left**b)  # type: ignore[misc]
        for a in (1, 2, 4)
        for b in (0, 0.5, 1, 2)
    ),
    *((lambda job, now, c=c: now - job.at - c * job.left * step_seconds(BATCH)) for c in (-1, -0.5, 0.5, 1)),  # type: ignore[misc]
)


def clairvoyant(jobs: Sequence[Job], urge: Urge, whole: bool) -> None:
    """Knows how long every job is; the size whose jobs press most together (`whole`), or that of the most pressing job."""
    now, waiting = 0.0, []
    coming = deque(sorted(jobs, key=lambda job: job.at))
    while coming or waiting:
        now = now if waiting else max(now, coming[0].at)
        while coming and coming[0].at <= now:
            waiting.append(coming.popleft())
        urges = {id(job): urge(job, now) for job in waiting}
        choices = []
        for size in {job.size for job in waiting}:
            batch = sorted((job for job in waiting if job.size == size), key=lambda job: -urges[id(job)])[:BATCH]
            pressing = [urges[id(job)] for job in batch]
            choices.append((sum(pressing) if whole else max(pressing), size, batch))
        batch = max(choices)[2]
        now += step_seconds(len(batch))
        for one in batch:
            one.left -= 1
            one.done = now
        waiting = [job for job in waiting if job.left]


# --- figures ----------------------------------------------------------------------------------------------


def p95(jobs: Sequence[Job], of: str = "latency") -> float:
    return percentile([getattr(job, of) for job in jobs], 0.95)


def poisson(libraries: int = 1) -> dict[str, float]:
    """Over a static batcher by key, at 0.8 of the capacity."""
    found: dict[str, list[float]] = {"p95 latency": [], "p95 slowdown": [], "throughput": []}
    for seed in range(LOADS):
        ours, theirs = arrivals(0.8, seed, libraries), arrivals(0.8, seed, libraries)
        continuous(ours)
        static(theirs)
        for of in ("latency", "slowdown"):
            found[f"p95 {of}"].append(p95(ours, of) / p95(theirs, of))
        found["throughput"].append(max(job.done for job in theirs) / max(job.done for job in ours))
    return {name: round(median(values), 3) for name, values in found.items()}


def against_oracle() -> float:
    """p95 latency at 0.8 of the capacity over the best, in hindsight of each load, of the clairvoyant ways."""
    ratios = []
    for seed in range(LOADS // 2):
        ours = arrivals(0.8, seed)
        continuous(ours)
        best = float("inf")
        for urge in ORACLES:
            for whole in (True, False):
                theirs = arrivals(0.8, seed)
                clairvoyant(theirs, urge, whole)
                best = min(best, p95(theirs))
        ratios.append(p95(ours) / best)
    return round(median(ratios), 3)


def share_of_capacity() -> float:
    """Steps a second over those of full batches, with twice as many jobs coming as can be done."""
    jobs = arrivals(2.0, 1)
    continuous(jobs)
    done = sum(job.steps for job in jobs) / max(job.done for job in jobs)
    return round(done / (BATCH / step_seconds(BATCH)), 3)


def fairness() -> dict[str, float]:
    """A light tenant with and without a heavy one; equals among themselves."""

    def light() -> Iterator[Job]:
        return (job(1 + index * 2.0, 20, library="light") for index in range(40))

    alone = list(light())
    continuous(alone)
    found = {}
    for sizes, what in (((512,), "of the same size"), ((512, 768), "of both sizes"), ((768,), "of another size")):
        beside = list(light())
        heavy = [job(0.0, 20, size, "heavy") for _ in range(1000 // len(sizes)) for size in sizes]
        continuous([*beside, *heavy])
        found[f"light tenant's p95 beside 1,000 jobs {what}, over alone (goal 2)"] = round(p95(beside) / p95(alone), 2)
    heavy_alone = [job(0.0, 20, library="heavy") for _ in range(1000)]
    continuous(heavy_alone)
    longer = max(one.done for one in heavy) / max(one.done for one in heavy_alone)
    found["the heavy tenant's last job, later by"] = round(longer, 3)
    equals = [job(0.0, 20, library=str(index % 8)) for index in range(1600)]
    continuous(equals)
    middle = sorted(one.done for one in equals)[800]
    served = [sum(one.done <= middle for one in equals if one.library == str(index)) for index in range(8)]
    jain = sum(served) ** 2 / (8 * sum(count * count for count in served))
    found["Jain's index of 8 equals half way (goal 0.95)"] = round(jain, 4)
    return found


def scheduler_cost() -> dict[str, float]:
    """Microseconds a row a tick: choosing a batch and putting it back. The best of many: the others measure the neighbours."""
    costs = {}
    for waiting in (BATCH, 100, 1000):
        scheduler = Scheduler()
        for index in range(waiting):
            scheduler.add(Work(job="", library=str(index % 8), model="m", shape=512, payload=None, turns=10**6))

        def tick(scheduler: Scheduler = scheduler) -> None:
            batch = scheduler.next(("m",), lambda _: BATCH)
            for work in batch:
                scheduler.put_back(work)
            scheduler.charge(batch, step_seconds(len(batch)))

        costs[f"{waiting} in the queue"] = round(min(seconds(tick, 1) for _ in range(200)) / BATCH * 1e6, 1)
    return costs


def everything() -> dict[str, Any]:
    return {
        "scheduler, microseconds a row a tick (goal 50)": scheduler_cost(),
        "poisson at 0.8 of capacity, steps 4, 20, 30, two sizes, over a static batcher by key": {
            "goals": "p95 latency 0.65, p95 slowdown 0.30, throughput 0.98",
            "one library": poisson(),
            "four libraries": poisson(4),
        },
        "p95 latency over an oracle's (goal 1.10)": against_oracle(),
        "share of capacity when more comes than can be done (goal 0.97)": share_of_capacity(),
        "fairness": fairness(),
    }


def main() -> None:
    write("simulated", everything())


if __name__ == "__main__":
    main()
