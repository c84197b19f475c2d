"""Files without a row and rows without a file: how a data folder is checked, and mended.

A crash leaves only files without a row (files come before rows, and go after them); restored backups and busy hands make
both.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import delete, select, update

from pergai.db.database import Database
from pergai.db.tables import Generation, Image, Product, Status
from pergai.errors import NotFound
from pergai.storage.files import FileStore

_I: Any = Image.__table__  # type: ignore[attr-defined]
_G: Any = Generation.__table__  # type: ignore[attr-defined]
_P: Any = Product.__table__  # type: ignore[attr-defined]

YOUNG_SECONDS = 3600.0
"""A file without a row that is younger may be one whose row is about to be written; it is left alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphans:
    """Each entry is (library, key)."""

    files: Sequence[tuple[str, str]] = ()
    """Files without a row, older than YOUNG_SECONDS. `repair` removes them."""
    uploads: Sequence[tuple[str, str]] = ()
    """Rows of uploads that nothing uses and whose file is gone. `repair` removes them."""
    results: Sequence[tuple[str, str]] = ()
    """Completed generations whose picture is gone. `repair` queues them again: the same seed gives the same picture."""
    products: Sequence[tuple[str, str]] = ()
    """Pictures of products that are gone. Only a backup, or deleting the product, can mend them."""
    mended: int = 0
    """How many of an earlier finding `repair` put right."""

    @property
    def count(self) -> int:
        return len(self.files) + len(self.uploads) + len(self.results) + len(self.products)


async def find_orphans(database: Database, files: FileStore) -> Orphans:
    """Compare every row with the disk."""
    on_disk = await asyncio.to_thread(_own_files, files)
    async with database.read() as connection:
        images = {(library, key) for library, key in await connection.execute(select(_I.c.library, _I.c.key))}
        made = select(_G.c.library, _G.c.result_key).where(_G.c.status == Status.COMPLETED)
        results = {(library, key) for library, key in await connection.execute(made)}
        products = {(library, key) for library, key in await connection.execute(select(_P.c.library, _P.c.image_key))}
    lost = {pair for pair in images | results | products if not files.exists(*pair)}
    return Orphans(
        files=sorted(pair for pair in on_disk - images if _age(files, *pair) > YOUNG_SECONDS),
        results=sorted(lost & results),
        products=sorted(lost & products),
        uploads=sorted(lost - results - products),
    )


async def repair(database: Database, files: FileStore, found: Orphans) -> Orphans:
    """Put right what can be put right; what is still wrong after that."""
    for library, key in found.files:
        await asyncio.to_thread(files.remove, library, key)
    async with database.write() as session:
        for library, key in (*found.uploads, *found.results):
            await session.execute(delete(Image).where(_I.c.library == library, _I.c.key == key))
        for library, key in found.results:
            again = update(Generation).where(_G.c.library == library, _G.c.result_key == key)
            await session.execute(
                again.values(status=Status.PENDING, result_key=None, report=None, started_at=None, completed_at=None)
            )
    left = await find_orphans(database, files)
    return replace(left, mended=found.count - left.count)


def _own_files(files: FileStore) -> set[tuple[str, str]]:
    """Files that only the server writes. What a studio laid into a library by hand has no row until it is used."""
    return {(library, key) for library, key, _ in files.walk() if key.startswith(("uploads/", "generations/"))}


def _age(files: FileStore, library: str, key: str) -> float:
    try:
        return time.time() - files.local_path(library, key).stat().st_mtime
    except (FileNotFoundError, NotFound):  # removed meanwhile
        return 0.0
