"""How much may wait: a bound on the queue, in all and for each library.

Counting 100,000 rows for every request would cost more than the request. The counts are read again once a second, and what
was admitted since is added: the bound is kept to within what ended in that second.
"""

from __future__ import annotations

import time

from pergai.db import queue
from pergai.db.database import Database
from pergai.errors import QueueFull
from pergai.settings import LimitSettings

FRESH_SECONDS = 1.0


class Backlog:
    def __init__(self, database: Database, limits: LimitSettings) -> None:
        self._database = database
        self._limits = limits
        self._read_at = float("-inf")
        self._waiting: dict[str, int] = {}

    async def admit(self, library: str, count: int) -> None:
        """Count `count` more jobs of a library in. Raises QueueFull."""
        if time.monotonic() - self._read_at > FRESH_SECONDS:
            self._read_at = time.monotonic()
            async with self._database.read() as connection:
                self._waiting = await queue.waiting(connection)
        own, total = self._waiting.get(library, 0), sum(self._waiting.values())
        if total + count > self._limits.queue or own + count > self._limits.queue_per_library:
            raise QueueFull(
                f"{own} jobs of this library are waiting ({total} in all); try again when some are done",
                headers={"Retry-After": "30"},
            )
        self._waiting[library] = own + count
