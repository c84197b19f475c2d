"""What is happening right now: live progress and endings of generations, in memory, for waiting requests and event streams.

The rows are the truth; an event is published only after its row is written. Everything here is on one event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Event:
    generation: UUID
    status: str
    progress: float
    phase: str

    @property
    def ended(self) -> bool:
        return self.status in ("completed", "failed")


class Events:
    """The hub of one server."""

    def __init__(self) -> None:
        self._latest: dict[UUID, Event] = {}
        self._listeners: dict[UUID, set[asyncio.Queue[Event | None]]] = {}
        self._closed = False

    def publish(self, event: Event) -> None:
        if event.ended:
            self._latest.pop(event.generation, None)
        else:
            self._latest[event.generation] = event
        for queue in self._listeners.get(event.generation, ()):
            queue.put_nowait(event)

    def latest(self, generation: UUID) -> Event | None:
        """Progress of a generation that is in the engine; None for all others."""
        return self._latest.get(generation)

    def forget(self, generation: UUID) -> None:
        """A generation went back to the queue."""
        self._latest.pop(generation, None)

    def close(self) -> None:
        """The server is shutting down: everybody who waits stops waiting."""
        self._closed = True
        for queues in self._listeners.values():
            for queue in queues:
                queue.put_nowait(None)

    @contextmanager
    def listen(self, generation: UUID) -> Iterator[asyncio.Queue[Event | None]]:
        """A queue of the events from now on; None in it means that no more will come."""
        queue: asyncio.Queue[Event | None] = asyncio.Queue()
        self._listeners.setdefault(generation, set()).add(queue)
        if self._closed:
            queue.put_nowait(None)
        try:
            yield queue
        finally:
            self._listeners[generation].discard(queue)
            if not self._listeners[generation]:
                del self._listeners[generation]


async def until_ended(queue: asyncio.Queue[Event | None]) -> None:
    """Return when the generation of this queue has ended, or the server shuts down."""
    async for event in stream(queue):
        if event.ended:
            return


async def stream(queue: asyncio.Queue[Event | None]) -> AsyncIterator[Event]:
    while (event := await queue.get()) is not None:
        yield event


async def next_event(queue: asyncio.Queue[Event | None], seconds: float) -> Event | Literal["silence", "closed"]:
    """The next event; "silence" when none comes in time, "closed" when the server shuts down. Of several progress events that
    wait already, only the newest counts."""
    try:
        event = await asyncio.wait_for(queue.get(), seconds)
    except TimeoutError:
        return "silence"
    while event is not None and not event.ended and not queue.empty():
        event = queue.get_nowait()
    return event if event is not None else "closed"
