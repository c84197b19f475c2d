"""What a test does with an open database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias

from pergai.db.database import Database

Story: TypeAlias = Callable[[Database], Awaitable[Any]]


def run(path: Path, story: Story) -> Any:
    """What the story answers; the database is opened for it and closed after it."""

    async def with_database() -> Any:
        database = Database(path)
        try:
            return await story(database)
        finally:
            await database.close()

    return asyncio.run(with_database())
