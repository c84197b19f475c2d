"""SQLite, with one connection that does all the writing and checkpointing.

Before SQLite 3.51.3 two connections that write or checkpoint can corrupt a WAL database (the WAL-reset race), and Python
often links an older one. So there is one writer, used by one transaction at a time; the readers are `query_only` and never
checkpoint.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

READERS = 4


class Database:
    """The open database of one server. Make it with `open_database`."""

    def __init__(self, path: Path) -> None:
        self._write_lock = asyncio.Lock()
        self._writer = _engine(path, 1, _WRITER_PRAGMAS)
        self._readers = _engine(path, READERS, _READER_PRAGMAS)
        self._sessions = async_sessionmaker(self._writer, expire_on_commit=False)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """One durable transaction: committed (with fsync) when the block ends, rolled back when it raises."""
        async with self._write_lock, self._sessions() as session, session.begin():
            yield session

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A read-only connection for Core statements: several times cheaper than an ORM session."""
        async with self._readers.connect() as connection:
            yield connection

    async def checkpoint(self) -> None:
        """Move the log into the database file."""
        async with self._write_lock, self._writer.connect() as connection:
            raw = await connection.get_raw_connection()  # below SQLAlchemy: a checkpoint must be in no transaction
            await raw.driver_connection.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")  # type: ignore[union-attr]

    async def close(self) -> None:
        await self._readers.dispose()
        async with self._write_lock:
            await self._writer.dispose()


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
