"""A start with many jobs waiting."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from uuid import UUID

from sqlalchemy import select
from studio import Studio

from drills.disturbances import SLOTS
from pergai.db import queue
from pergai.db.database import Database
from pergai.db.tables import Generation, Product
from pergai.ids import new_id


def with_jobs_waiting(studio: Studio, waiting: int) -> tuple[float, float]:
    """Stop, queue so many cut-outs, start: ready, and the oldest job is among the first that are taken. Gives the seconds until
    ready, and until the first job had ended."""
    studio.server.sigterm()
    first = asyncio.run(_queue(studio.server.home / "pergai.db", studio.product, waiting))
    started = time.monotonic()
    studio.server.restart()
    ready = time.monotonic() - started
    studio.wait_for_ended(1)
    ended = time.monotonic() - started
    assert studio.count_generations() == waiting
    with studio.client() as client:
        # The engine takes several at once, and any of them may end first.
        assert client.get(f"/generations/{first}").json()["status"] in ("processing", "completed")
        studio.wait_for_ended(2 * SLOTS)
        assert client.get(f"/generations/{first}").json()["status"] == "completed"
    return ready, ended


async def _queue(path: Path, product: str, count: int) -> str:
    """Gives the id of the first one."""
    database = Database(path)
    try:
        async with database.write() as session:
            row = (await session.execute(select(Product).where(Product.id == UUID(product)))).scalars().one()  # type: ignore[arg-type]
            rows = [
                Generation(
                    library=row.library,
                    product_id=row.id,
                    kind="remove-bg",
                    provider="nano-banana",
                    pipeline="cutout",
                    seed=number,
                    request_id=new_id(),
                    source_key=row.image_key,
                    source_sha256=row.image_sha256,
                )
                for number in range(count)
            ]
            await queue.enqueue(session, rows)
    finally:
        await database.close()
    return str(rows[0].id)
