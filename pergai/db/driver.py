"""A SQLite connection for SQLAlchemy's aiosqlite dialect that leaves the event loop only where it would wait.

aiosqlite crosses to its thread four times a statement (cursor, statement, rows, end), and each crossing waits for the scheduler:
on a box whose cores are busy with models, that is nearly all of what a query costs. What waits differs: the writer
waits for the lock and the disk (BEGIN IMMEDIATE, COMMIT), while its statements take microseconds; a reader waits for its rows. So
a transaction crosses twice, however many statements and blocks are in it, and a read once.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

from pergai.db.refusals import GivenUp

T = TypeVar("T")


class Connection:
    """One connection and its thread."""

    def __init__(self, path: Path, *, writer: bool) -> None:
        self._writer = writer
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite")
        self._connection: sqlite3.Connection | None = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, cached_statements=256
        )

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """A statement: a reader's on the thread, the writer's at once."""
        return work(self.opened) if self._writer else await self.aside(work)

    async def aside(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` on the connection's thread, after what was asked before."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, self.opened)

    # --- the writer's transactions -----------------------------------------------------------------

    async def begin_group(self) -> None:
        await self.aside(lambda connection: connection.execute("BEGIN IMMEDIATE"))

    async def commit_group(self) -> None:
        """Raises GivenUp when SQLite has rolled the transaction back by itself (a full disk)."""
        self._require_group()
        await self.aside(lambda connection: connection.execute("COMMIT"))

    async def roll_back_group(self) -> None:
        await self.aside(sqlite3.Connection.rollback)

    @contextmanager
    def block(self) -> Iterator[None]:
        """A savepoint. Raises what is raised inside, and GivenUp when SQLite has rolled back the whole transaction."""
        self._require_group()
        self.opened.execute("SAVEPOINT block")
        try:
            yield
        except BaseException:
            if self.in_group:
                self.opened.execute("ROLLBACK TO block")
                self.opened.execute("RELEASE block")
            raise
        self._require_group()
        self.opened.execute("RELEASE block")

    def _require_group(self) -> None:
        if not self.in_group:
            raise GivenUp("SQLite has rolled the transaction back")

    @property
    def in_group(self) -> bool:
        """Whether a transaction is open. SQLite ends one by itself when the disk is full or broken."""
        return self.opened.in_transaction

    # --- what SQLAlchemy asks ----------------------------------------------------------------------

    def cursor(self) -> Cursor:
        return Cursor(self)

    async def commit(self) -> None:
        """Nothing: a reader has nothing to commit, and the writer's groups are ended above."""

    async def rollback(self) -> None:
        if not self._writer:
            self.opened.rollback()

    async def close(self) -> None:
        if self._connection is not None:
            await self.aside(sqlite3.Connection.close)
            self._connection = None
            self._thread.shutdown(wait=False)

    def stop(self) -> None:
        """Close when what was asked before is over, and wait for nothing."""
        if self._connection is not None:
            self._thread.submit(self._connection.close)
            self._connection = None
            self._thread.shutdown(wait=False)

    async def create_function(self, *args: Any, **options: Any) -> None:
        """SQLAlchemy brings its REGEXP."""
        self.opened.create_function(*args, **options)

    @property
    def opened(self) -> sqlite3.Connection:
        """Raises ValueError, as aiosqlite does, when it is closed."""
        if self._connection is None:
            raise ValueError("no active connection")
        return self._connection


class Cursor:
    """The outcome of one statement, all its rows read."""

    arraysize = 1

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rows: Sequence[Any] = ()
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid = 0

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, operation: str, parameters: Sequence[Any] = ()) -> None:
        def work(connection: sqlite3.Connection) -> tuple[sqlite3.Cursor, list[Any]]:
            cursor = connection.execute(operation, parameters)
            return cursor, cursor.fetchall()

        self._keep(*await self._connection.run(work))

    async def executemany(self, operation: str, parameters: Sequence[Sequence[Any]]) -> None:
        self._keep(await self._connection.aside(lambda connection: connection.executemany(operation, parameters)), ())

    async def fetchall(self) -> Sequence[Any]:
        return self._rows

    async def close(self) -> None:
        self._rows = ()

    def _keep(self, cursor: sqlite3.Cursor, rows: Sequence[Any]) -> None:
        self._rows = rows
        self.description = cursor.description
        self.rowcount = cursor.rowcount
        self.lastrowid = cursor.lastrowid or 0
