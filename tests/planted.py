"""Bugs to plant into a server, each of a kind that has cost somebody their data. The tests must find every one of them.

`Server(planted="skipped_library_check")` starts `pergai serve` after calling the function of that name in its process; what is
`in_the_engine` is called in the engine process that it starts.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any


def in_the_engine(bug: Callable[[], None]) -> Callable[[], None]:
    """Plants a bug into `python -m pergai.worker …`, whenever the API process starts one."""

    @wraps(bug)
    def plant() -> None:
        import asyncio

        start = asyncio.create_subprocess_exec
        program = f"import planted; planted.{bug.__name__}.__wrapped__(); from pergai.worker import main; main()"

        async def start_with_it(python: str, option: str, name: str, *arguments: str, **options: Any) -> Any:
            assert (option, name) == ("-m", "pergai.worker")
            return await start(python, "-c", program, *arguments, **options)

        asyncio.create_subprocess_exec = start_with_it

    return plant


def skipped_library_check() -> None:
    """A query that forgets the library."""
    from sqlalchemy import select

    from pergai.services import products

    async def get(self: Any, library: str, id: Any) -> Any:
        async with self._database.read() as connection:
            row = (await connection.execute(select(products._P).where(products._P.c.id == id))).one_or_none()
        if row is None:
            raise products.ProductNotFound("there is no product with this id")
        return row

    products.Products.get = get  # type: ignore[method-assign]


def unlimited_list() -> None:
    """A list that shows everybody's rows."""
    from sqlalchemy import select

    from pergai.services import generations

    generations.Generations.query = lambda self, library, **filters: select(generations._G)  # type: ignore[method-assign]


def writing_reader() -> None:
    """A read-only key that may write."""
    from pergai.api import auth

    auth.SAFE_METHODS = ("GET", "HEAD", "OPTIONS", "POST", "DELETE")  # type: ignore[assignment]


def unsigned_files() -> None:
    """A signature that is not looked at."""
    from pergai.storage.signing import Signer

    def verify(self: Any, method: str, path: str, query: Any, now: Any = None) -> tuple[str, str]:
        library, _, key = path.removeprefix("/files/").partition("/")
        return library, key

    Signer.verify = verify  # type: ignore[method-assign]


def lost_lease() -> None:
    """What a dead process was working on stays with it."""
    from pergai.db import queue

    async def recover(session: Any) -> int:
        return 0

    queue.recover = recover


def forgotten_jobs() -> None:
    """The engine died, and nobody asks what was in it."""
    from pergai.db import queue

    async def blame(session: Any, ids: Any, *, lone: bool) -> None:
        return None

    queue.blame = blame


def row_before_file() -> None:
    """The row is completed first, and the file follows a moment later."""
    from pergai.storage.files import FileStore

    place = FileStore.place

    def late(self: FileStore, temp: Path, library: str, key: str) -> None:
        if not key.startswith("generations/"):
            return place(self, temp, library, key)

        def follow() -> None:
            time.sleep(1)
            place(self, temp, library, key)

        threading.Thread(target=follow, daemon=True).start()
        return None

    FileStore.place = late  # type: ignore[method-assign]


def deaf_to_idempotency() -> None:
    """The key is read, and forgotten."""
    from pergai.services.generations import Generations

    create = Generations.create

    async def forgetful(self: Generations, *given: Any, idempotency_key: str | None, **rest: Any) -> Any:
        return await create(self, *given, idempotency_key=None, **rest)

    Generations.create = forgetful  # type: ignore[method-assign]


def careless_commits() -> None:
    """Commits that do not wait for the disk."""
    from pergai.db import database

    database._WRITER_PRAGMAS = tuple(pragma.replace("FULL", "NORMAL") for pragma in database._WRITER_PRAGMAS)


def dropped_fsync() -> None:
    """A file is moved into its folder, and the folder is not synced."""
    import os
    from types import SimpleNamespace

    from pergai.storage import files

    files.os = SimpleNamespace(**{**vars(os), "fsync": lambda fd: None})  # type: ignore[attr-defined]


def early_answer() -> None:
    """A request is answered when its row is written, not when it is on the disk."""
    import asyncio

    from pergai.db.database import Database

    begin, end = Database._begin, Database._end

    async def end_late(self: Database, group: Any) -> None:
        await asyncio.sleep(0.03)  # a disk that takes its time: on a quick one nobody could be faster
        await end(self, group)

    async def begin_hastily(self: Database, driver: Any) -> Any:
        await begin(self, driver)
        answered = asyncio.get_running_loop().create_future()
        answered.set_result(None)
        return answered

    Database._begin, Database._end = begin_hastily, end_late  # type: ignore[method-assign]


def event_before_row() -> None:
    """Who waits is told before the row is written."""
    import asyncio

    from pergai.services.dispatcher import Dispatcher

    completed = Dispatcher._completed

    async def late(self: Dispatcher, row: Any, *given: Any) -> str:
        self._ended(row, "completed")
        await asyncio.sleep(0.5)
        return await completed(self, row, *given)

    Dispatcher._completed = late  # type: ignore[method-assign]


def given_up_result() -> None:
    """What cannot be written at once is not tried again."""
    from contextlib import suppress

    from pergai.services.dispatcher import Dispatcher

    async def once(self: Dispatcher, write: Any) -> Any:
        with suppress(Exception):
            return await write()
        return "dropped"

    Dispatcher._keep_trying = once  # type: ignore[method-assign]


def unwritable_result() -> None:
    """A mistake in writing a result down, the same at every attempt."""
    from pergai.services.dispatcher import Dispatcher

    async def completed(self: Dispatcher, *given: Any) -> str:
        raise ZeroDivisionError("planted")

    Dispatcher._completed = completed  # type: ignore[method-assign]


@in_the_engine
def silent_cancellation() -> None:
    """A job that is cancelled before its first step says nothing of its end, and keeps its place."""
    from pergai.engine.engine import Engine

    def over(self: Engine, job: Any, task: Any) -> None:
        self._tasks.pop(job.id, None)

    Engine._over = over  # type: ignore[method-assign]
