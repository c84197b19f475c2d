"""The queue's order, and that its statements read what is queued and nothing else."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from stories import run

from pergai.db import queue
from pergai.db.database import Database
from pergai.db.tables import Generation
from pergai.ids import new_id


def job(library: str = "a", **columns: Any) -> Generation:
    return Generation(
        library=library,
        product_id=new_id(),
        kind="scene",
        provider="nano-banana",
        pipeline="render",
        seed=1,
        request_id=new_id(),
        source_key="x.png",
        source_sha256="0",
        **columns,
    )


async def put(database: Database, *jobs: Generation) -> None:
    async with database.write() as session:
        await queue.enqueue(session, jobs)


async def take(database: Database, limit: int = 1, *, suspects: bool = False, library: str = "a") -> list[Any]:
    async with database.write() as session:
        return [row.id for row in await queue.claim(session, library, limit, suspects=suspects)]


async def recover(database: Database) -> None:
    async with database.write() as session:
        await queue.recover(session)


def test_who_is_waited_for_comes_first_then_the_oldest(path: Path) -> None:
    async def story(database: Database) -> None:
        patient, later, urgent = job(), job(), job(priority=0)
        await put(database, patient, later, urgent)
        assert await take(database, 2) == [urgent.id, patient.id]
        assert await take(database, 2) == [later.id]
        assert await take(database, 2) == []

    run(path, story)


def test_a_suspect_of_a_crash_is_passed_over_and_taken_alone(path: Path) -> None:
    async def story(database: Database) -> None:
        crashed, innocent = job(crashes=1), job()
        await put(database, crashed, innocent, job(crashes=2))
        assert await take(database, 5) == [innocent.id]
        assert await take(database, 5, suspects=True) == [crashed.id]

    run(path, story)


def test_ten_claimers_at_once_take_no_job_twice(path: Path) -> None:
    async def story(database: Database) -> None:
        await put(database, *(job() for _ in range(200)))
        taken = await asyncio.gather(*(take(database, 7) for _ in range(40)))
        ids = [id for some in taken for id in some]
        assert len(ids) == len(set(ids)) == 200

    run(path, story)


def test_a_claim_carries_what_a_job_is_made_from(path: Path) -> None:
    async def story(database: Database) -> None:
        asked = job(params={"scene": "marble"}, priority=0)
        await put(database, asked)
        async with database.write() as session:
            (row,) = await queue.claim(session, "a", 1, suspects=False)
        assert (row.id, row.params, row.priority, row.seed) == (asked.id, {"scene": "marble"}, 0, 1)
        assert row.started_at >= row.created_at

    run(path, story)


@pytest.mark.parametrize(
    ("index", "ask"),
    [
        ("ix_generation_pending", take),
        ("ix_generation_suspect", lambda database: take(database, suspects=True)),
        ("ix_generation_processing", recover),
    ],
)
def test_a_statement_reads_what_is_queued_not_what_ever_was(
    index: str, ask: Callable[[Database], Awaitable[Any]], path: Path
) -> None:
    async def story(database: Database) -> list[str]:
        await put(database, job())
        statements: list[str] = []
        assert database._writer is not None
        database._writer[1].opened.set_trace_callback(statements.append)
        await ask(database)
        return [statement for statement in statements if statement.startswith("UPDATE")]

    (statement,) = run(path, story)
    with sqlite3.connect(path) as connection:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
    assert any(index in step for step in plan), plan
    assert not any(step.startswith("SCAN") and index not in step for step in plan), plan
