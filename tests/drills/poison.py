"""Batches of eight with one poisoned job, through the real Engine and its device thread, with a model that takes no time."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from structlog.testing import capture_logs

from drills import Done, nobody
from pergai.cards.catalogue import Catalogue
from pergai.cards.structs import PipelineCard
from pergai.engine.core import Desk, Job, Model, Outcome, Progress, Result
from pergai.engine.device import DeviceLoop
from pergai.engine.engine import Engine
from pergai.errors import UnreadableImage

BATCH = 8
POISONS = {
    "a batch that raises": "job_failed",
    "no memory": "out_of_memory",
    "an unreadable source": "source_unreadable",
    "a runner that raises": "job_failed",
    "no end": "timed_out",
}
"""What is wrong with a job → how it has to end."""


class Brush:
    """A model: paints a shade, whole batches at once; a poisoned payload spoils its batch."""

    max_batch = BATCH

    def run(self, payloads: Sequence[Any]) -> Sequence[Any]:
        if "a batch that raises" in payloads:
            raise ValueError("cannot digest this batch")
        if "no memory" in payloads:
            raise MemoryError("not even for one")
        return [np.full((8, 8, 3), shade, np.uint8) for shade in payloads]


class Painter:
    """A runner: one call of the model."""

    async def run(self, job: Job, desk: Desk) -> Outcome:
        match job.params["poison"]:
            case "an unreadable source":
                raise UnreadableImage("no picture")
            case "a runner that raises":
                raise KeyError("brush")
            case "no end":
                await asyncio.sleep(3600)
        return Outcome(pixels=await desk.device("brush", job.params["poison"] or job.seed, shape=8), model="brush")


class Ends:
    """The engine's listener and the device's watcher."""

    def __init__(self) -> None:
        self.results: dict[str, Result] = {}
        self.sizes: list[int] = []
        self.changed = asyncio.Event()

    def moved(self, progress: Progress) -> None: ...
    def loaded(self, model: str, mib: int, seconds: float) -> None: ...
    def unloaded(self, model: str) -> None: ...

    def ran(self, model: str, size: int, seconds: float) -> None:
        self.sizes.append(size)

    def ended(self, result: Result) -> None:
        assert result.job not in self.results, f"{result.job} ended twice"
        self.results[result.job] = result
        self.changed.set()


def fail_alone(batches: int, chance: random.Random, done: Done = nobody) -> None:
    """In each batch the poisoned job ends as it must, and the other seven with their own pictures."""
    with tempfile.TemporaryDirectory() as folder, capture_logs():  # each poison is logged with its traceback
        asyncio.run(_fail_alone(Path(folder), batches, chance, done))


async def _fail_alone(folder: Path, batches: int, chance: random.Random, done: Done) -> None:
    ends = Ends()
    brush: Model = Brush()
    device = DeviceLoop(
        load=lambda _: (brush, 1), stated_mib=lambda _: 1, release=lambda: None, budget_mib=10, watcher=ends
    )
    device.start()
    card = PipelineCard(id="paint", title="Paint", runner="painter", tasks=("scene",), models={"brush": "brush"})
    engine = Engine(
        catalogue=Catalogue(models={}, pipelines={"paint": card}, scenes={}, presets={}, categories={}),
        runners=lambda _: Painter(),
        device=device,
        listener=ends,
        cache=folder,
        cpu_workers=2,
        job_seconds=5.0,
    )
    try:
        for number in range(batches):
            await _one_batch(engine, ends, folder, number, chance)
            done()
    finally:
        await engine.close()
    assert max(ends.sizes) > 1, "nothing ever shared a batch"


async def _one_batch(engine: Engine, ends: Ends, folder: Path, number: int, chance: random.Random) -> None:
    poison = "no end" if number % 200 == 0 else chance.choice(list(POISONS)[:-1])  # for its end one has to wait
    place = chance.randrange(BATCH)
    jobs = [_job(folder, f"{number}-{at}", chance.randrange(256), poison if at == place else "") for at in range(BATCH)]
    for job in jobs:
        engine.submit(job)
    while len(ends.results) < BATCH:
        ends.changed.clear()
        await asyncio.wait_for(ends.changed.wait(), 60)
    for job in jobs:
        result, file = ends.results[job.id], Path(job.target)
        if job.params["poison"]:
            assert result.error == POISONS[poison], (poison, result)
            assert not file.exists()
            continue
        assert result.error == "", result
        with Image.open(file) as picture:
            assert set(picture.convert("L").get_flattened_data()) == {job.seed}, f"{job.id} has another's picture"
        file.unlink()
    ends.results.clear()


def _job(folder: Path, id: str, seed: int, poison: str) -> Job:
    return Job(
        id=id,
        kind="scene",
        library="default",
        pipeline="paint",
        provider="test",
        source="",
        source_sha256="",
        params={"poison": poison},
        seed=seed,
        format="png",
        target=str(folder / f"{id}.png"),
    )
