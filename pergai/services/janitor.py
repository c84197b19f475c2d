"""Tidies up while the server runs: unfinished files, expired idempotency keys, delivered webhooks, the database's log."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import delete

from pergai.db import queue
from pergai.db.database import Database
from pergai.db.tables import IdempotencyKey, WebhookDelivery, now
from pergai.settings import StorageSettings
from pergai.storage.files import FileStore
from pergai.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

_K: Any = IdempotencyKey.__table__  # type: ignore[attr-defined]
_W: Any = WebhookDelivery.__table__  # type: ignore[attr-defined]
ROUND_SECONDS = 600
KEEP_DELIVERIES = timedelta(days=7)


class Janitor:
    """`run()` until cancelled."""

    def __init__(self, *, database: Database, files: FileStore, metrics: Metrics, settings: StorageSettings) -> None:
        self._database = database
        self._files = files
        self._metrics = metrics
        self._settings = settings

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._measure_queue())
            tasks.create_task(self._tidy_for_ever())

    async def _tidy_for_ever(self) -> None:
        while True:
            try:
                await self.tidy()
            except Exception:
                log.exception("tidying up failed; trying again later")
            await asyncio.sleep(ROUND_SECONDS)

    async def tidy(self) -> None:
        """One round."""
        swept = await asyncio.to_thread(self._files.sweep_temp, self._settings.temp_hours * 3600)
        expired = now() - timedelta(hours=self._settings.idempotency_hours)
        async with self._database.write() as session:
            await session.execute(delete(IdempotencyKey).where(_K.c.created_at < expired))
            await session.execute(
                delete(WebhookDelivery).where(_W.c.next_at.is_(None), _W.c.created_at < now() - KEEP_DELIVERIES)
            )
        await self._database.checkpoint()
        self._metrics.stored(await asyncio.to_thread(self._files.sizes))
        log.debug("tidied", temp_files=swept)

    async def _measure_queue(self) -> None:
        while True:
            try:
                async with self._database.read() as connection:
                    self._metrics.queued(await queue.depth(connection))
            except Exception:
                log.exception("the queue could not be measured; trying again")
            await asyncio.sleep(5)
