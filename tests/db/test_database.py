"""One writer, durable groups, readers that cannot write."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError
from stories import run

from pergai.db.database import Database
from pergai.db.migrations import current
from pergai.db.refusals import passes
from pergai.db.tables import Collection, now
from pergai.errors import StorageFull

TABLE: Any = Collection.__table__  # type: ignore[attr-defined]


async def add(database: Database, name: str) -> None:
    async with database.write() as session:
        session.add(Collection(library="a", name=name))


async def count(database: Database) -> int:
    async with database.read() as connection:
        return int((await connection.execute(select(func.count()).select_from(TABLE))).scalar_one())


def test_a_new_file_has_the_newest_schema(path: Path) -> None:
    revision, newest = current(path)
    assert revision == newest is not None


def test_what_a_block_wrote_is_there_for_readers_and_after_reopening(path: Path) -> None:
    async def story(database: Database) -> int:
        await add(database, "one")
        return await count(database)

    assert run(path, story) == 1
    assert run(path, count) == 1


def test_a_block_that_raises_leaves_nothing_and_its_neighbours_everything(path: Path) -> None:
    async def fail(database: Database) -> None:
        async with database.write() as session:
            session.add(Collection(library="a", name="bad"))
            await session.flush()
            raise ZeroDivisionError

    async def story(database: Database) -> list[str]:
        blocks: list[Coroutine[Any, Any, None]] = [
            fail(database) if number % 3 == 0 else add(database, str(number)) for number in range(30)
        ]
        results = await asyncio.gather(*blocks, return_exceptions=True)
        assert sum(isinstance(result, ZeroDivisionError) for result in results) == 10
        async with database.read() as connection:
            return sorted((await connection.execute(select(TABLE.c.name))).scalars())

    assert run(path, story) == sorted(str(number) for number in range(30) if number % 3)


def test_a_cancelled_writer_holds_nobody_up(path: Path) -> None:
    async def story(database: Database) -> int:
        waiting = [asyncio.create_task(add(database, str(number))) for number in range(20)]
        await asyncio.sleep(0)
        for task in waiting[::2]:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await add(database, "last")
        return await count(database)

    assert run(path, story) >= 11


def test_writers_that_wait_together_share_a_commit(path: Path) -> None:
    async def story(database: Database) -> int:
        await add(database, "opens the writer")
        statements: list[str] = []
        assert database._writer is not None
        database._writer[1].opened.set_trace_callback(statements.append)
        await asyncio.gather(*(add(database, str(number)) for number in range(100)))
        assert await count(database) == 101
        return statements.count("COMMIT")

    assert 1 <= run(path, story) <= 5


def test_a_reader_cannot_write(path: Path) -> None:
    async def story(database: Database) -> None:
        async with database.read() as connection:
            await connection.execute(text("DELETE FROM collection"))

    with pytest.raises(DBAPIError, match="readonly"):
        run(path, story)


def test_a_checkpoint_empties_the_log(path: Path) -> None:
    async def story(database: Database) -> int:
        await asyncio.gather(*(add(database, str(number)) for number in range(50)), database.checkpoint())
        await database.checkpoint()
        return Path(f"{path}-wal").stat().st_size

    assert run(path, story) == 0


def test_when_sqlite_gives_up_a_transaction_all_who_shared_it_hear_of_it(path: Path) -> None:
    async def ruin(database: Database) -> None:
        async with database.write() as session:
            known = (await session.execute(select(TABLE.c.id))).scalars().first()
            twice = (
                TABLE.insert().prefix_with("OR ROLLBACK").values(id=known, library="a", name="twice", created_at=now())
            )
            await session.execute(twice)

    async def story(database: Database) -> tuple[list[Any], int]:
        await add(database, "safe")
        results = await asyncio.gather(
            add(database, "shares"), ruin(database), add(database, "comes after"), return_exceptions=True
        )
        return results, await count(database)

    results, kept = run(path, story)
    told = [isinstance(result, Exception) for result in results]
    assert told[:2] == [True, True]
    assert kept == 1 + told.count(False)


def test_a_commit_that_the_disk_refuses_is_an_error_and_the_next_one_works(path: Path) -> None:
    async def story(database: Database) -> int:
        await add(database, "safe")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (Path(f"{path}-wal").stat().st_size, hard))
        try:
            with pytest.raises(StorageFull):
                await add(database, "x" * 100_000)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        await add(database, "after")
        return await count(database)

    assert run(path, story) == 2
    assert run(path, count) == 2


def test_a_statement_that_finds_no_room_is_told_to_all_who_shared_its_transaction(path: Path) -> None:
    async def story(database: Database) -> list[Any]:
        await add(database, "safe")
        async with database.write() as session:
            pages = (await session.execute(text("PRAGMA page_count"))).scalar_one()
            await session.execute(text(f"PRAGMA max_page_count={pages}"))
        results = await asyncio.gather(
            add(database, "shares"), add(database, "x" * 100_000), add(database, "comes after"), return_exceptions=True
        )
        assert await count(database) == 1 + results.count(None)
        return results

    results = run(path, story)
    assert isinstance(results[0], StorageFull)
    assert isinstance(results[1], StorageFull)


def test_a_wrong_statement_is_no_matter_of_the_disk_and_does_not_pass(path: Path) -> None:
    async def story(database: Database) -> None:
        async with database.write() as session:
            await session.execute(text("INSERT INTO nowhere VALUES (1)"))

    with pytest.raises(DBAPIError) as caught:
        run(path, story)
    assert not passes(caught.value)
