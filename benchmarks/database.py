"""The queue and the lists at size: claims with 100,000 rows waiting, pages of 1,000,000 rows, signed URLs, all on real SQLite.

python -m benchmarks.database [--rows 1000000]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sqlite3
import tempfile
from http.client import HTTPConnection
from pathlib import Path
from time import perf_counter, process_time
from typing import Any
from uuid import UUID

from sqlalchemy import text

from benchmarks.polling import BASE, Server
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
MEMORY = Path("/dev/shm")
FIRST_ID = "0197f5a04c8e"
TABLE: Any = Generation.__table__  # type: ignore[attr-defined]


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
    """Copies of one row with ids that ascend, written by SQLite itself."""
    names = ", ".join(name for name in TABLE.c.keys() if name != "id")  # noqa: SIM118
    async with database.write() as session:
        await session.execute(TABLE.insert(), generation(status=status))
        numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :rows)"
        copies = f"SELECT printf('{FIRST_ID}%020x', i), {names} FROM n, (SELECT * FROM generation LIMIT 1)"
        insert = text(f"{numbers} INSERT INTO generation (id, {names}) {copies}")
        await session.execute(insert, {"rows": rows - 1})


async def claims(folder: Path) -> dict[str, Any]:
    """Claims and enqueues, each against the bare statement on the same file, in turns."""
    path = folder / "queue.db"
    upgrade(path)
    database = Database(path)
    await fill(database, WAITING, "pending")
    bare = sqlite3.connect(path, isolation_level=None)
    bare.executescript("PRAGMA synchronous=FULL")
    ours, rivals, cpu = [], [], 0.0
    for _ in range(500):
        started, started_cpu = perf_counter(), process_time()
        async with database.write() as session:
            claimed = await queue.claim(session, "default", 4, suspects=False)
        ours.append(perf_counter() - started)
        cpu += process_time() - started_cpu
        assert len(claimed) == 4
        rivals.append(seconds(lambda: _bare_claim(bare), 1))
    bare.close()

    async def enqueue(row: Generation) -> None:
        async with database.write() as session:
            await queue.enqueue(session, [row])

    rows = [Generation(**generation()) for _ in range(4000)]
    started = perf_counter()
    for row in rows[:400]:
        await enqueue(row)
    one_by_one = (perf_counter() - started) / 400
    started, started_cpu = perf_counter(), process_time()
    for first in range(400, 4000, 40):
        await asyncio.gather(*map(enqueue, rows[first : first + 40]))
    together, together_cpu = (perf_counter() - started) / 3600, (process_time() - started_cpu) / 3600
    await database.close()
    return {
        "rows_waiting": WAITING,
        "claim_ms_median": round(percentile(ours, 0.5) * 1000, 3),
        "claim_ms_p99": round(percentile(ours, 0.99) * 1000, 3),
        "claim_ms_cpu": round(cpu / 500 * 1000, 3),
        "bare_statement_ms_median": round(percentile(rivals, 0.5) * 1000, 3),
        "bare_statement_ms_p99": round(percentile(rivals, 0.99) * 1000, 3),
        "claim_over_bare_statement": round(percentile(ours, 0.5) / percentile(rivals, 0.5), 2),
        "durable_enqueues_per_second_one_by_one": round(1 / one_by_one),
        "durable_enqueues_per_second_forty_at_once": round(1 / together),
        "enqueue_ms_cpu_forty_at_once": round(together_cpu * 1000, 3),
    }


def _bare_claim(connection: sqlite3.Connection) -> None:
    """The rival: without SQLAlchemy, sessions and threads."""
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(
        "UPDATE generation SET status='processing' WHERE id IN (SELECT id FROM generation WHERE status='pending' "
        "AND library='default' AND crashes=0 ORDER BY priority, id LIMIT 4) RETURNING id"
    ).fetchall()
    connection.execute("COMMIT")


async def pages(folder: Path, rows: int) -> dict[str, Any]:
    path = folder / "lists.db"
    upgrade(path)
    database = Database(path)
    await fill(database, rows, "completed")
    query = TABLE.select().where(TABLE.c.library == "default")
    chosen = [UUID(f"{FIRST_ID}{number:020x}") for number in random.Random(1).sample(range(1, rows), 300)]
    times = []
    for before in chosen:
        started = perf_counter()
        await fetch(database, query, TABLE.c.id, Page(50, before))
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
    bare.close()
    median = percentile(times, 0.5)
    return {
        "rows": rows,
        "page_of_50_ms_median": round(median * 1000, 3),
        "page_of_50_ms_p99": round(percentile(times, 0.99) * 1000, 3),
        "offset_pages_are_slower_by": round(by_offset / median, 1),
        "over_http": pages_over_http(path, chosen),
    }


def pages_over_http(database: Path, chosen: list[UUID]) -> dict[str, Any]:
    """The same pages from a running server, one client, one connection."""
    server = Server(inside=False, database=database)
    try:
        connection = HTTPConnection("127.0.0.1", server.port)
        times = []
        for before in chosen:
            started = perf_counter()
            connection.request("GET", f"{BASE}/generations?limit=50&cursor={before}", headers=server.headers)
            answer = connection.getresponse()
            answer.read()
            times.append(perf_counter() - started)
            assert answer.status == 200
    finally:
        server.close()
    return {
        "page_of_50_ms_median": round(percentile(times, 0.5) * 1000, 3),
        "page_of_50_ms_p99": round(percentile(times, 0.99) * 1000, 3),
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
    results: dict[str, Any] = {"load_average_at_start": round(os.getloadavg()[0], 1)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        results["queue"] = await claims(folder)
        results["lists"] = await pages(folder, arguments.rows)
        results["signing"] = signatures(folder)
    if MEMORY.is_dir():  # what is ours, without the disk that all share
        with tempfile.TemporaryDirectory(dir=MEMORY) as name:
            results["queue_in_memory"] = await claims(Path(name))
    results["load_average_at_end"] = round(os.getloadavg()[0], 1)
    write("database", results, ("sqlalchemy", "sqlmodel", "aiosqlite"))


if __name__ == "__main__":
    asyncio.run(main())
