"""The admin door: how `pergai keys` and `pergai doctor` reach the database while a server owns it.

Only one process may write to a data folder. So the server listens on a unix socket in it, which only the folder's owner can
open, and answers a few requests, each a line of JSON: `{"method": "keys.list", "params": {}}` is answered by `{"result": …}` or
`{"error": {"code": …, "detail": …}}`. When no server runs, `administer` does the same work itself, under the folder's lock.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import structlog

from pergai.db import migrations
from pergai.db.database import Database
from pergai.errors import HomeLocked, InvalidRequest, NotFound, PergaiError, error_codes
from pergai.ids import parse_id
from pergai.paths import Home
from pergai.services.keys import DEFAULT_LIBRARY, Keys
from pergai.services.orphans import Orphans, find_orphans, repair
from pergai.storage.files import FileStore
from pergai.storage.lock import lock_home

log = structlog.get_logger(__name__)

T = TypeVar("T")
Duty = Callable[..., Awaitable[Any]]

MAX_LINE = 64 * 1024 * 1024
STARTING_SECONDS = 15.0
"""So long a server may hold the lock before its door is open."""
_SHORT_PATH = 100
"""The address of a unix socket holds 107 bytes on Linux, 103 elsewhere."""


def duties(database: Database, keys: Keys, files: FileStore) -> dict[str, Duty]:
    """What can be asked for, by name."""

    async def create(name: str, library: str = DEFAULT_LIBRARY, read_only: bool = False) -> Any:
        return await keys.create(name, library, read_only=read_only)

    async def revoke(id: str) -> Any:
        return await keys.revoke(parse_id(id))

    async def orphans(fix: bool = False) -> Orphans:
        found = await find_orphans(database, files)
        return await repair(database, files, found) if fix else found

    return {"keys.create": create, "keys.list": keys.list, "keys.revoke": revoke, "storage.orphans": orphans}


# --- the server's side -----------------------------------------------------------------------------


@asynccontextmanager
async def admin_door(home: Home, duties: Mapping[str, Duty]) -> AsyncIterator[None]:
    """Answer requests while the block runs. The caller holds the lock of the data folder."""
    home.admin_socket.unlink(missing_ok=True)  # of a server that was killed
    door = socket.socket(socket.AF_UNIX)
    with _address(home.admin_socket) as address:
        door.bind(address)
    home.admin_socket.chmod(0o600)

    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(await _answer(duties, line) + b"\n")
                await writer.drain()
        except (OSError, ValueError) as error:  # gone in the middle, or a line without an end
            log.debug("an admin request ended early", error=repr(error))
        finally:
            writer.close()

    server = await asyncio.start_unix_server(visit, sock=door)
    try:
        yield
    finally:
        server.close()
        home.admin_socket.unlink(missing_ok=True)


async def _answer(duties: Mapping[str, Duty], line: bytes) -> bytes:
    try:
        return msgspec.json.encode({"result": await _do(duties, line)})
    except PergaiError as error:
        return msgspec.json.encode({"error": {"code": error.code, "detail": error.detail}})
    except Exception:
        log.exception("an admin request failed")
        return msgspec.json.encode({"error": {"code": PergaiError.code, "detail": "see the server's log"}})


async def _do(duties: Mapping[str, Duty], line: bytes) -> Any:
    try:
        request = msgspec.json.decode(line, type=_Request)
    except msgspec.DecodeError as error:
        raise InvalidRequest(str(error)) from error
    duty = duties.get(request.method)
    if duty is None:
        raise NotFound(f"there is no method {request.method!r}; there are {', '.join(duties)}")
    return await duty(**request.params)


class _Request(msgspec.Struct):
    method: str
    params: dict[str, Any] = {}


class _Answer(msgspec.Struct):
    result: Any = None
    error: dict[str, str] | None = None


# --- the command line's side -----------------------------------------------------------------------


async def administer(home: Home, method: str, kind: type[T], **params: Any) -> T:
    """Do a duty through the door of the running server, or here when none runs.

    Raises what the duty raises, and HomeLocked when a server owns the folder and does not answer.
    """
    deadline = time.monotonic() + STARTING_SECONDS
    while True:
        try:
            return await ask(home, method, kind, **params)
        except (FileNotFoundError, ConnectionRefusedError):
            home.create()
            try:
                with lock_home(home):
                    result: T = await _do_here(home, method, params)
                    return result
            except HomeLocked:
                if time.monotonic() > deadline:
                    raise
        await asyncio.sleep(0.2)


async def ask(home: Home, method: str, kind: type[T], **params: Any) -> T:
    """One request through the door. Raises FileNotFoundError or ConnectionRefusedError when no server runs."""
    with _address(home.admin_socket) as address:
        reader, writer = await asyncio.open_unix_connection(address, limit=MAX_LINE)
    try:
        writer.write(msgspec.json.encode({"method": method, "params": params}) + b"\n")
        line = await reader.readline()
    finally:
        writer.close()
    if not line:
        raise ConnectionRefusedError("the server went away")
    answer = msgspec.json.decode(line, type=_Answer)
    if answer.error is not None:
        raise error_codes().get(answer.error["code"], PergaiError)(answer.error["detail"])
    return msgspec.convert(answer.result, kind)


async def _do_here(home: Home, method: str, params: Mapping[str, Any]) -> Any:
    await asyncio.to_thread(migrations.upgrade, home.database)
    database = Database(home.database)
    try:
        return await duties(database, Keys(database), FileStore(home))[method](**params)
    finally:
        await database.close()


@contextmanager
def _address(path: Path) -> Iterator[str]:
    """What to bind or connect to; a path that is too long is named through its folder's descriptor (Linux)."""
    if len(os.fsencode(path)) <= _SHORT_PATH:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
