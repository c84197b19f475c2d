"""A data folder whose files and rows do not fit: what is found, and what is mended."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pergai.db import migrations
from pergai.db.database import Database
from pergai.db.tables import Generation, Image, Product, Status, now
from pergai.ids import new_id
from pergai.paths import Home
from pergai.services.orphans import Orphans, find_orphans, repair
from pergai.storage.files import FileStore

LIBRARY = "studio"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path)
    made.create()
    migrations.upgrade(made.database)
    return made


@asynccontextmanager
async def opened(home: Home) -> AsyncIterator[tuple[Database, FileStore]]:
    database = Database(home.database)
    try:
        yield database, FileStore(home)
    finally:
        await database.close()


def image(key: str) -> Image:
    return Image(library=LIBRARY, key=key, sha256="0" * 64, media_type="image/png", bytes=1, width=1, height=1)


def product(key: str) -> Product:
    return Product(
        library=LIBRARY, name="Cup", category="home", image_key=key, image_sha256="0" * 64, width=1, height=1
    )


def completed(key: str) -> Generation:
    return Generation(
        library=LIBRARY,
        product_id=new_id(),
        kind="scene",
        status=Status.COMPLETED,
        provider="nano-banana",
        pipeline="render",
        seed=7,
        request_id=new_id(),
        source_key="products/sample.png",
        source_sha256="0" * 64,
        result_key=key,
        started_at=now(),
        completed_at=now(),
    )


async def add(database: Database, *rows: Any) -> None:
    async with database.write() as session:
        session.add_all(rows)


def put(files: FileStore, key: str, *, hours_old: float = 0) -> None:
    files.write(LIBRARY, key, b"x")
    then = time.time() - hours_old * 3600
    os.utime(files.local_path(LIBRARY, key), (then, then))


def test_a_folder_in_order_has_no_orphans(home: Home) -> None:
    async def scenario() -> None:
        async with opened(home) as (database, files):
            for key in ("uploads/a.png", "generations/b.png"):
                put(files, key, hours_old=48)
                await add(database, image(key))
            put(files, "products/by-hand.png", hours_old=48)  # laid there by the studio
            await add(database, product("uploads/a.png"), completed("generations/b.png"))
            assert (await find_orphans(database, files)).count == 0

    asyncio.run(scenario())


def test_an_old_file_without_a_row_is_removed_and_a_young_one_is_left_alone(home: Home) -> None:
    async def scenario() -> None:
        async with opened(home) as (database, files):
            put(files, "generations/old.png", hours_old=2)
            put(files, "generations/young.png")
            found = await find_orphans(database, files)
            assert list(found.files) == [(LIBRARY, "generations/old.png")]
            assert await repair(database, files, found) == Orphans(
                files=[], results=[], products=[], uploads=[], mended=1
            )
            assert not files.exists(LIBRARY, "generations/old.png")
            assert files.exists(LIBRARY, "generations/young.png")

    asyncio.run(scenario())


def test_a_completed_generation_whose_picture_is_gone_is_made_again(home: Home) -> None:
    async def scenario() -> None:
        async with opened(home) as (database, files):
            generation = completed("generations/b.png")
            id = generation.id
            await add(database, generation, image("generations/b.png"))
            found = await find_orphans(database, files)
            assert list(found.results) == [(LIBRARY, "generations/b.png")]
            assert (await repair(database, files, found)).count == 0
            async with database.write() as session:
                row = await session.get(Generation, id)
                assert row is not None
                assert (row.status, row.result_key, row.completed_at, row.seed) == (Status.PENDING, None, None, 7)

    asyncio.run(scenario())


def test_an_unused_upload_whose_file_is_gone_is_forgotten_and_a_products_picture_is_only_reported(home: Home) -> None:
    async def scenario() -> None:
        async with opened(home) as (database, files):
            await add(database, image("uploads/a.png"), image("uploads/used.png"), product("uploads/used.png"))
            found = await find_orphans(database, files)
            assert list(found.uploads) == [(LIBRARY, "uploads/a.png")]
            assert list(found.products) == [(LIBRARY, "uploads/used.png")]
            left = await repair(database, files, found)
            assert (left.mended, left.uploads) == (1, [])
            assert list(left.products) == [(LIBRARY, "uploads/used.png")]

    asyncio.run(scenario())
