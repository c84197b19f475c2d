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
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine

from pergai.db.driver import Connection
from pergai.db.refusals import disk_as_storage_full

READERS = 4


class Database:
    """The open database of one server."""

    def __init__(self, path: Path) -> None:
        self._writers = _engine(path, _WRITER_PRAGMAS, writer=True)
        self._readers = _engine(path, _READER_PRAGMAS, writer=False)
        self._turn = asyncio.Lock()  # first come, first served
        self._writer: tuple[AsyncConnection, Connection] | None = None
        self._group: asyncio.Future[None] | None = None
        """Done when the open transaction is on the disk."""
        self._committers: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """One durable transaction: on the disk when the block has ended; nothing of it when it raises, among others StorageFull
        when the disk refuses it."""
        with disk_as_storage_full():
            async with self._turn:
                connection, driver = await self._open_writer()
                group = self._group or await self._begin(driver)
                try:
                    with driver.block():
                        async with AsyncSession(connection, expire_on_commit=False, autoflush=False) as session:
                            yield session
                            await session.flush()
                finally:
                    if not driver.in_group:  # SQLite has given it up: those who shared it must hear of it
                        await self._commit()
            await asyncio.shield(group)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A read-only connection for Core statements: several times cheaper than an ORM session. Each statement sees
        what is committed when it runs."""
        async with self._readers.connect() as connection:
            yield connection

    async def checkpoint(self) -> None:
        """Move the log into the database file."""
        async with self._turn:
            await self._commit()
            _, driver = await self._open_writer()
            await driver.aside(lambda sqlite: sqlite.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())

    async def close(self) -> None:
        await self._readers.dispose()
        async with self._turn:
            await self._commit()
            if self._writer is not None:
                await self._writer[0].close()
            await self._writers.dispose()

    async def _open_writer(self) -> tuple[AsyncConnection, Connection]:
        """SQLAlchemy's connection and the driver's below it: groups are begun and ended there, statements go through SQLAlchemy,
        which takes it for one that commits by itself."""
        if self._writer is None:
            connection = await self._writers.connect()
            raw: Any = await connection.get_raw_connection()
            self._writer = connection, raw.driver_connection
        return self._writer

    async def _begin(self, driver: Connection) -> asyncio.Future[None]:
        """Open a transaction, and queue its commit behind all who wait for their turn by now: they share it."""
        try:
            await driver.begin_group()
        except asyncio.CancelledError:
            await driver.roll_back_group()  # it may have begun
            raise
        self._group = asyncio.get_running_loop().create_future()
        self._group.add_done_callback(lambda future: future.exception())  # nobody may be left to be told
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
        if group is not None:
            ending = asyncio.create_task(self._end(group))
            self._committers.add(ending)
            ending.add_done_callback(self._committers.discard)
            await asyncio.shield(ending)  # who is cancelled meanwhile leaves the others waiting for no answer

    async def _end(self, group: asyncio.Future[None]) -> None:
        _, driver = await self._open_writer()
        try:
            await driver.commit_group()
        except Exception as error:
            group.set_exception(error)
            await driver.roll_back_group()
        else:
            group.set_result(None)


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


def _engine(path: Path, pragmas: tuple[str, ...], *, writer: bool) -> AsyncEngine:
    async def connect(*_: Any, **__: Any) -> Connection:
        return Connection(path, writer=writer)

    engine = create_async_engine(
        f"sqlite+aiosqlite:///{path}",
        async_creator=connect,
        pool_size=1 if writer else READERS,
        max_overflow=0,
        pool_timeout=60,
    )

    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: Any, _: Any) -> None:
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(pragma)
        cursor.close()

    return engine
