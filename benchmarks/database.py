"""The queue and the lists at size: claims with 100,000 rows waiting, pages of 1,000,000 rows, signed URLs, all on real SQLite.

python -m benchmarks.database [--rows 1000000]
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sqlite3
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.results_file import percentile, seconds, write
from pergai.db import queue
from pergai.db.database import Database
from pergai.db.migrations import upgrade
from pergai.db.tables import Generation
from pergai.ids import new_id
from pergai.paths import Home
from pergai.services.pages import Page, fetch
from pergai.storage.signing import Signer

WAITING = 100_000


def generation(**columns: Any) -> dict[str, Any]:
    row = Generation(
        library="default",
        product_id=new_id(),
        kind="scene",
        provider="nano-banana",
        pipeline="render",
        seed=1,
        request_id=new_id(),
        source_key="products/sample.png",
        source_sha256="0" * 64,
        params={"scene": "studio"},
    )
    return {**row.model_dump(), **columns}


async def fill(database: Database, rows: int, status: str) -> None:
    table: Any = Generation.__table__  # type: ignore[attr-defined]
    for start in range(0, rows, 5000):
        async with database.write() as session:
            batch = [generation(status=status) for _ in range(min(5000, rows - start))]
            await session.execute(table.insert(), batch)


async def claims(folder: Path) -> dict[str, Any]:
    path = folder / "queue.db"
    upgrade(path)
    database = Database(path)
    await fill(database, WAITING, "pending")
    times = []
    for _ in range(500):
        started = perf_counter()
        async with database.write() as session:
            claimed = await queue.claim(session, "default", 4, suspects=False)
        times.append(perf_counter() - started)
        assert len(claimed) == 4
    started = perf_counter()
    for _ in range(500):
        async with database.write() as session:
            session.add(Generation(**generation()))
    enqueue = (perf_counter() - started) / 500
    started = perf_counter()
    for _ in range(500):
        async with database.write() as session:
            session.add_all([Generation(**generation()) for _ in range(8)])
    variants = (perf_counter() - started) / 4000
    # The rival: the bare statement on the same file, without SQLAlchemy and without our session.
    bare = sqlite3.connect(path, isolation_level=None)
    bare.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL")
    statement = (
        "UPDATE generation SET status='processing' WHERE id IN (SELECT id FROM generation WHERE status='pending' "
        "AND library='default' AND crashes=0 ORDER BY priority, id LIMIT 4) RETURNING id"
    )

    def bare_claim() -> None:
        bare.execute("BEGIN IMMEDIATE")
        bare.execute(statement).fetchall()
        bare.execute("COMMIT")

    rival = seconds(bare_claim, 200)
    await database.close()
    median = percentile(times, 0.5)
    return {
        "rows_waiting": WAITING,
        "claim_ms_median": round(median * 1000, 3),
        "claim_ms_p99": round(percentile(times, 0.99) * 1000, 3),
        "claim_over_bare_statement": round(median / rival, 2),
        "durable_enqueues_per_second": round(1 / enqueue),
        "durable_enqueues_per_second_by_eight": round(1 / variants),
    }


async def pages(folder: Path, rows: int) -> dict[str, Any]:
    path = folder / "lists.db"
    upgrade(path)
    database = Database(path)
    await fill(database, rows, "completed")
    table: Any = Generation.__table__  # type: ignore[attr-defined]
    query = table.select().where(table.c.library == "default")
    async with database.read() as connection:
        ids = [row.id for row in (await connection.execute(table.select().with_only_columns(table.c.id))).all()]
    chosen = random.Random(1).sample(ids, 300)
    times = []
    for before in chosen:
        started = perf_counter()
        await fetch(database, query, table.c.id, Page(50, before))
        times.append(perf_counter() - started)
    bare = sqlite3.connect(path)
    offsets = [random.Random(2).randrange(rows) for _ in range(5)]
    by_offset = seconds(
        lambda: [
            bare.execute(
                "SELECT * FROM generation WHERE library='default' ORDER BY id DESC LIMIT 50 OFFSET ?", (offset,)
            ).fetchall()
            for offset in offsets
        ],
        3,
    ) / len(offsets)
    await database.close()
    median = percentile(times, 0.5)
    return {
        "rows": rows,
        "page_of_50_ms_median": round(median * 1000, 3),
        "page_of_50_ms_p99": round(percentile(times, 0.99) * 1000, 3),
        "offset_pages_are_slower_by": round(by_offset / median, 1),
    }


def signatures(folder: Path) -> dict[str, Any]:
    home = Home(folder)
    home.create()
    signer = Signer(home)
    address = signer.sign("default", "generations/0197f5a0.png")
    path, _, text = address.partition("?")
    good = dict(pair.split("=", 1) for pair in text.split("&"))
    count = 20_000

    def check() -> None:
        for _ in range(count):
            signer.verify("GET", path, good)

    return {"signed_urls_checked_per_second": round(count / seconds(check, 3))}


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        results = {
            "queue": await claims(folder),
            "lists": await pages(folder, arguments.rows),
            "signing": signatures(folder),
        }
    write("database", results, ("sqlalchemy", "sqlmodel", "aiosqlite"))


if __name__ == "__main__":
    asyncio.run(main())
