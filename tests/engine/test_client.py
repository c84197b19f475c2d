"""The API's handle on an engine process, and the engine process's on the API, at the moment the other one dies."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from PIL import Image

from pergai.engine.client import EngineClient
from pergai.engine.core import Job
from pergai.engine.wire import Beat, FromEngine, Hello, boot_of
from pergai.settings import load_settings


class Ears:
    """Hears of the engine process."""

    def __init__(self) -> None:
        self.is_up = asyncio.Event()
        self.is_down = asyncio.Event()
        self.lost: list[str] = []
        self.longest_call = 0.0

    async def heard(self, message: FromEngine) -> None:
        if isinstance(message, Beat):
            self.longest_call = max(self.longest_call, message.busy_seconds)

    async def up(self, hello: Hello) -> None:
        self.is_up.set()

    async def down(self, jobs: Sequence[str]) -> None:
        self.lost += jobs
        self.is_down.set()


def test_a_job_may_be_cancelled_at_every_moment_of_an_engines_death(tmp_path: Path) -> None:
    job = Job(
        id="job",
        kind="remove-bg",
        library="default",
        pipeline="cutout",
        provider="nano-banana",
        source=str(tmp_path / "source.png"),
        source_sha256="",
        params={},
        target=str(tmp_path / "target.png"),
    )

    async def scenario() -> None:
        settings = load_settings(home=tmp_path)
        settings.paths.create()
        ears = Ears()
        client = EngineClient(boot_of(settings), ears, start_seconds=60, hang_seconds=60)
        life = asyncio.create_task(client.run())
        await asyncio.wait_for(ears.is_up.wait(), 60)
        pid = client.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)  # the job is inside, and stays there
        client.submit(job)
        os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(30):
            while not ears.lost:
                client.cancel(job.id)
                await asyncio.sleep(0)
        assert ears.lost == [job.id]
        await client.stop()
        await life

    asyncio.run(scenario())


def test_an_engine_whose_device_call_does_not_end_is_killed_and_comes_back(
    tmp_path: Path, weights_folder: Path
) -> None:
    """The call is all of a picture through the large upscaler, which takes a CPU half a minute."""
    Image.new("RGB", (400, 400)).save(tmp_path / "source.png")
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "upscale-whole.toml").write_text(
        'title = "Upscale, whole"\nrunner = "upscale"\ntasks = ["upscale"]\n'
        'models = { upscale = "realesrgan-x4plus" }\n[options]\ntile = 512\n'
    )
    job = Job(
        id="job",
        kind="upscale",
        library="default",
        pipeline="upscale-whole",
        provider="nano-banana-pro",
        source=str(tmp_path / "source.png"),
        source_sha256="",
        params={"scale": 4},
        target=str(tmp_path / "target.png"),
    )

    async def scenario() -> None:
        async with engine(tmp_path, hang_seconds=4, weights=weights_folder) as (client, ears):
            first = client.pid
            client.submit(job)
            await asyncio.wait_for(ears.is_down.wait(), 60)
            assert ears.longest_call > 4  # it said so itself, once a second
            assert ears.lost == [job.id]
            ears.is_up.clear()
            await asyncio.wait_for(ears.is_up.wait(), 60)
            assert client.pid != first

    asyncio.run(scenario())


def test_an_engine_that_falls_silent_is_killed_and_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pergai.engine.client.SILENCE_SECONDS", 4.0)

    async def scenario() -> None:
        async with engine(tmp_path, hang_seconds=60) as (client, ears):
            first = client.pid
            assert first is not None
            await asyncio.sleep(6)
            assert client.pid == first
            os.kill(first, signal.SIGSTOP)
            ears.is_up.clear()
            await asyncio.wait_for(ears.is_up.wait(), 60)
            assert client.pid != first

    asyncio.run(scenario())


@asynccontextmanager
async def engine(
    home: Path, *, hang_seconds: float, weights: Path | None = None
) -> AsyncIterator[tuple[EngineClient, Ears]]:
    """A supervised engine process that is up."""
    settings = load_settings(home=home, weights=weights)
    settings.paths.create()
    ears = Ears()
    client = EngineClient(boot_of(settings), ears, start_seconds=60, hang_seconds=hang_seconds)
    life = asyncio.create_task(client.run())
    await asyncio.wait_for(ears.is_up.wait(), 60)
    try:
        yield client, ears
    finally:
        await client.stop()
        await life


def test_an_engine_process_whose_server_dies_while_it_starts_leaves_without_a_word() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        ours.close()
        command = [sys.executable, "-m", "pergai.worker", str(theirs.fileno())]
        ended = subprocess.run(command, pass_fds=[theirs.fileno()], capture_output=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")
