"""The dispatcher between a real queue and an engine that is not there when its job comes."""

from __future__ import annotations

import asyncio
from pathlib import Path

from structlog.testing import capture_logs

from pergai.db import migrations, queue
from pergai.db.database import Database
from pergai.db.tables import Generation
from pergai.engine.client import EngineClient
from pergai.engine.wire import Hello, boot_of
from pergai.ids import new_id
from pergai.services.dispatcher import Dispatcher
from pergai.services.events import Events
from pergai.settings import load_settings
from pergai.storage.files import FileStore
from pergai.telemetry.metrics import Metrics


def waiting() -> Generation:
    return Generation(
        library="studio",
        product_id=new_id(),
        kind="remove-bg",
        provider="nano-banana",
        pipeline="cutout",
        seed=7,
        request_id=new_id(),
        source_key="products/sample.png",
        source_sha256="0" * 64,
    )


def test_an_engine_that_dies_while_the_queue_is_read_is_no_mistake_and_the_job_waits(tmp_path: Path) -> None:
    async def scenario() -> None:
        settings = load_settings(home=tmp_path)
        settings.paths.create()
        migrations.upgrade(settings.paths.database)
        database = Database(settings.paths.database)
        dispatcher = Dispatcher(
            database=database, files=FileStore(settings.paths), events=Events(), metrics=Metrics(), jobs=0
        )
        engine = EngineClient(boot_of(settings), dispatcher, start_seconds=60, hang_seconds=60)
        dispatcher.attach(engine)
        async with database.write() as session:
            await queue.enqueue(session, [waiting()])
        engine.hello = Hello(device="CPU", kind="cpu", memory_mib=1, jobs=4, versions={})
        feeding = asyncio.create_task(dispatcher.run())
        await asyncio.sleep(0)  # the queue is being read
        engine.hello = None
        await asyncio.sleep(0.5)
        feeding.cancel()
        async with database.read() as connection:
            assert await queue.depth(connection) == {"nano-banana": 1}
        await database.close()

    with capture_logs() as logs:
        asyncio.run(scenario())
    assert [entry for entry in logs if entry["log_level"] == "error"] == []
