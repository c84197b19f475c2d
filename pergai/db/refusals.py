"""What SQLite refuses, by what it means: a disk that takes nothing more, or something that is over in a while."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError

from pergai.errors import StorageFull

_DISK = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
_PASSING = _DISK | {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,  # a file system that Linux made read-only after an error
}


class GivenUp(sqlite3.OperationalError):
    """SQLite has rolled a transaction back by itself: it does so when the disk is full or broken."""


@contextmanager
def disk_as_storage_full() -> Iterator[None]:
    """Raises StorageFull for what the disk refuses inside; everything else as it is."""
    try:
        yield
    except (sqlite3.Error, DBAPIError) as error:
        if isinstance(_raw(error), GivenUp) or _code(error) in _DISK:
            raise StorageFull("the disk of the server takes nothing more; try again when there is room") from error
        raise


def passes(error: Exception) -> bool:
    """Whether the same may well work later: a full disk, a locked file. A statement that is wrong stays wrong."""
    return isinstance(error, StorageFull) or _code(error) in _PASSING


def _raw(error: BaseException | None) -> BaseException | None:
    return error.orig if isinstance(error, DBAPIError) else error


def _code(error: BaseException | None) -> int:
    """SQLite's primary code, https://sqlite.org/rescode.html; 0 when the error is none of SQLite's."""
    return int(getattr(_raw(error), "sqlite_errorcode", 0)) & 0xFF
