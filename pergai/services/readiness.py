"""Can this server do its work right now, and if not, why."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text

from pergai.db.database import Database
from pergai.engine.client import EngineClient
from pergai.services.dispatcher import Dispatcher
from pergai.services.images import Images
from pergai.services.providers import Providers


@dataclass(frozen=True, slots=True)
class State:
    reasons: tuple[str, ...]
    """Empty when ready."""
    engine_pid: int | None
    device: str | None
    inside: int


class Readiness:
    def __init__(
        self,
        *,
        database: Database,
        images: Images,
        providers: Providers,
        engine: EngineClient,
        dispatcher: Dispatcher,
    ) -> None:
        self._database = database
        self._images = images
        self._providers = providers
        self._engine = engine
        self._dispatcher = dispatcher

    async def check(self) -> State:
        reasons = []
        if self._dispatcher.draining:
            reasons.append("the server is shutting down")
        if not self._engine.ready:
            reasons.append("the engine process is starting")
        try:
            async with self._database.read() as connection:
                await connection.execute(text("SELECT 1"))
        except Exception as error:
            reasons.append(f"the database cannot be read: {error}")
        try:
            self._images.require_room()
        except Exception as error:
            reasons.append(str(error))
        if not any(not offer.unavailable for name in self._providers.names for offer in self._providers.offers(name)):
            reasons.append("no pipeline of the profile is available; run `pergai doctor`")
        hello = self._engine.hello
        return State(
            reasons=tuple(reasons),
            engine_pid=self._engine.pid,
            device=hello.device if hello else None,
            inside=len(self._engine.inside),
        )
