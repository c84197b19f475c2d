"""Jobs in the engine: each has one end, and its listener hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pergai.cards.catalogue import load_catalogue
from pergai.engine.core import Desk, Job, Outcome, Progress, Result
from pergai.engine.device import DeviceLoop
from pergai.engine.engine import Engine


class Ears:
    """Hears of jobs and of the device."""

    def __init__(self) -> None:
        self.ends: list[tuple[str, str]] = []

    def moved(self, progress: Progress) -> None: ...
    def ran(self, model: str, size: int, seconds: float) -> None: ...
    def loaded(self, model: str, mib: int, seconds: float) -> None: ...
    def unloaded(self, model: str) -> None: ...

    def ended(self, result: Result) -> None:
        self.ends.append((result.job, result.error))


class Endless:
    """A runner that works until it is stopped."""

    async def run(self, job: Job, desk: Desk) -> Outcome:
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")


@asynccontextmanager
async def engine(folder: Path) -> AsyncIterator[tuple[Engine, Ears]]:
    ears = Ears()

    def load(name: str) -> tuple[Any, int]:
        raise AssertionError(f"nobody asked for {name}")

    device = DeviceLoop(load=load, stated_mib=lambda _: 1, release=lambda: None, budget_mib=1, watcher=ears, host_mib=0)
    made = Engine(
        catalogue=load_catalogue(),
        runners=lambda _: Endless(),
        device=device,
        listener=ears,
        cache=folder,
        cpu_workers=1,
        job_seconds=60,
    )
    device.start()
    try:
        yield made, ears
    finally:
        await made.close()


def jobs(folder: Path, ids: str) -> Sequence[Job]:
    return [
        Job(
            id=id,
            kind="remove-bg",
            library="default",
            pipeline="cutout",
            provider="nano-banana",
            source=str(folder / "source.png"),
            source_sha256="",
            params={},
            target=str(folder / f"{id}.png"),
        )
        for id in ids
    ]


@pytest.mark.parametrize("steps", [0, 1, 5])
def test_a_cancelled_job_ends_as_cancelled_also_before_its_first_step(steps: int, tmp_path: Path) -> None:
    """`steps`: turns of the event loop between the order and its cancellation; 0 when both come in one message."""

    async def night() -> list[tuple[str, str]]:
        async with engine(tmp_path) as (running, ears):
            for job in jobs(tmp_path, "ab"):
                running.submit(job)
            for _ in range(steps):
                await asyncio.sleep(0)
            running.cancel("a")
            for _ in range(5):
                await asyncio.sleep(0)
            return list(ears.ends)

    assert asyncio.run(night()) == [("a", "cancelled")]


def test_an_engine_that_closes_says_nothing_of_its_jobs_so_that_they_go_back_to_the_queue(tmp_path: Path) -> None:
    async def night() -> Ears:
        async with engine(tmp_path) as (running, ears):
            for job in jobs(tmp_path, "abc"):
                running.submit(job)
            await asyncio.sleep(0)
            running.submit(jobs(tmp_path, "d")[0])
        return ears

    assert asyncio.run(night()).ends == []
