"""SQLite, with one connection that does all the writing and checkpointing, and commits in groups.

Before SQLite 3.51.3 two connections that write or checkpoint can corrupt a WAL database (the WAL-reset race), and Python
often links an older one. So there is one writer; the readers are `query_only` and never checkpoint.

Durability costs an fsync. Writers that wait at the same time share one: each block is a savepoint in the open transaction, and a
block is over only when that transaction is on the disk.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine

READERS = 4


@dataclass(eq=False, slots=True)
class _Group:
    """Blocks that share a transaction."""

    connection: AsyncConnection
    committed: asyncio.Future[None]


class Database:
    """The open database of one server."""

    def __init__(self, path: Path) -> None:
        self._writer = _engine(path, 1, _WRITER_PRAGMAS)
        self._readers = _engine(path, READERS, _READER_PRAGMAS)
        self._turn = asyncio.Lock()  # first come, first served
        self._group: _Group | None = None
        self._committers: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """One durable transaction: on the disk when the block has ended; nothing of it when it raises."""
        async with self._turn:
            group = self._group or await self._begin()
            session = AsyncSession(
                group.connection, join_transaction_mode="create_savepoint", expire_on_commit=False, autoflush=False
            )
            async with session, session.begin():
                yield session
        await asyncio.shield(group.committed)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A read-only connection for Core statements: several times cheaper than an ORM session."""
        async with self._readers.connect() as connection:
            yield connection

    async def checkpoint(self) -> None:
        """Move the log into the database file."""
        async with self._turn:
            await self._commit()
            async with self._writer.connect() as connection:
                raw = await connection.get_raw_connection()  # below SQLAlchemy: a checkpoint must be in no transaction
                await raw.driver_connection.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")  # type: ignore[union-attr]

    async def close(self) -> None:
        await self._readers.dispose()
        async with self._turn:
            await self._commit()
            await self._writer.dispose()

    async def _begin(self) -> _Group:
        """Open a transaction, and queue its commit behind all who wait for their turn by now: they share it."""
        connection = await self._writer.connect()
        await connection.begin()
        self._group = _Group(connection, asyncio.get_running_loop().create_future())
        self._group.committed.add_done_callback(lambda future: future.exception())  # nobody may be left to be told
        committer = asyncio.create_task(self._commit_in_turn())
        self._committers.add(committer)
        committer.add_done_callback(self._committers.discard)
        return self._group

    async def _commit_in_turn(self) -> None:
        async with self._turn:
            await self._commit()

    async def _commit(self) -> None:
        """The caller has the turn."""
        group, self._group = self._group, None
        if group is None:
            return
        try:
            await group.connection.commit()
        except Exception as error:
            group.committed.set_exception(error)
        else:
            group.committed.set_result(None)
        finally:
            await group.connection.close()


def sqlite_version() -> tuple[int, int, int]:
    return sqlite3.sqlite_version_info


_WRITER_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA busy_timeout=10000",
    "PRAGMA journal_size_limit=67108864",
    "PRAGMA cache_size=-32768",
)
_READER_PRAGMAS = (
    "PRAGMA query_only=ON",
    "PRAGMA busy_timeout=10000",
    "PRAGMA wal_autocheckpoint=0",
    "PRAGMA cache_size=-16384",
)


def _engine(path: Path, size: int, pragmas: tuple[str, ...]) -> AsyncEngine:
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}", pool_size=size, max_overflow=0, pool_timeout=60)

    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(pragma)
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if size == 1 else "BEGIN")

    return engine
