"""Generations: made durable before they are answered, found, waited for, cancelled. The row is the job."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal
from uuid import UUID

import msgspec
from sqlalchemy import Select, bindparam, select

from pergai.cards.catalogue import Catalogue
from pergai.cards.structs import PipelineCard, Task
from pergai.db import queue
from pergai.db.database import Database
from pergai.db.tables import BrandKit, Generation, IdempotencyKey, Product, Status
from pergai.errors import (
    Cancelled,
    GenerationNotFound,
    IdempotencyMismatch,
    NotCompleted,
    ProductNotFound,
    ShuttingDown,
    StillRunning,
)
from pergai.ids import new_id
from pergai.services import brand, requests, webhooks
from pergai.services.backlog import Backlog
from pergai.services.brand import Brands
from pergai.services.dispatcher import Dispatcher
from pergai.services.events import Event, Events, until_ended
from pergai.services.images import Images
from pergai.services.providers import Providers
from pergai.settings import Settings

_G: Any = Generation.__table__  # type: ignore[attr-defined]
_K: Any = IdempotencyKey.__table__  # type: ignore[attr-defined]
_P: Any = Product.__table__  # type: ignore[attr-defined]
GENERATION_ID = _G.c.id
SEEDS = 2**31


def _own(table: Any) -> Select[Any]:
    """A library's record by its id. Built once: SQLAlchemy takes longer to build one than SQLite to run it."""
    return select(table).where(table.c.id == bindparam("of_id"), table.c.library == bindparam("of_library"))


_GENERATION, _PRODUCT = _own(_G), _own(_P)


class Generations:
    def __init__(
        self,
        *,
        database: Database,
        brands: Brands,
        catalogue: Catalogue,
        providers: Providers,
        images: Images,
        events: Events,
        dispatcher: Dispatcher,
        settings: Settings,
    ) -> None:
        self._database = database
        self._brands = brands
        self._catalogue = catalogue
        self._providers = providers
        self._images = images
        self._events = events
        self._dispatcher = dispatcher
        self._settings = settings
        self._backlog = Backlog(database, settings.limits)
        self._answering: set[tuple[str, str]] = set()

    # --- making ------------------------------------------------------------------------------------

    async def create(
        self,
        library: str,
        kind: Task,
        asked: Mapping[str, Any],
        *,
        idempotency_key: str | None,
        waited_for: bool,
        base_url: str,
    ) -> tuple[list[Any], bool]:
        """Insert the pending rows of one request, durable when this returns; the second value says whether the request had
        been answered before (Idempotency-Key).

        `asked` holds the fields of the request by their Python names; `base_url` is the address it came to, for the webhook's
        links when `server.public_url` is empty. Raises ProductNotFound, InvalidRequest and its kin,
        QueueFull, QuotaExceeded, StorageFull, ShuttingDown, IdempotencyMismatch.
        """
        self._require_open()
        fingerprint = _fingerprint(kind, asked)
        if idempotency_key and (known := await self._answered(library, idempotency_key, fingerprint)):
            return known, True
        self._images.require_room()
        product = await self._product(library, asked["product_id"])
        provider, pipeline = self._providers.resolve(asked.get("provider"), kind)
        further = [await self._product(library, id) for id in asked.get("further_ids", ())]
        kit = await self._brands.get(library) if kind == "scene" else BrandKit(library=library)
        rows = self._rows(library, kind, asked, product, further, kit, provider, pipeline, waited_for)
        return await self._keep(library, rows, idempotency_key, fingerprint, base_url)

    async def rerun(
        self, library: str, id: UUID | None, *, idempotency_key: str | None, waited_for: bool, base_url: str
    ) -> tuple[list[Any], bool]:
        """Insert the pending row of a generation that repeats an ended one: the same source, seed, pipeline and settings.
        Answers like `create`.

        Raises GenerationNotFound, NotCompleted while the first one is waiting or running, ProductNotFound when its product
        is gone, PipelineUnavailable, UnknownScene or InvalidRequest when it could not be made here any more.
        """
        self._require_open()
        fingerprint = _fingerprint("rerun", {"id": id})
        if idempotency_key and (known := await self._answered(library, idempotency_key, fingerprint)):
            return known, True
        first = await self.get(library, id)
        if first.status not in (Status.COMPLETED, Status.FAILED):
            raise NotCompleted(f"this generation is still {first.status}; run it again when it has ended")
        self._images.require_room()
        for product in (first.product_id, *(UUID(one["product"]) for one in first.params.get("further") or ())):
            await self._product(library, product)
        pipeline = self._providers.pipeline(first.pipeline, first.kind)
        columns = requests.again(first, self._catalogue.scenes, pipeline, self._settings.limits.result_megapixels)
        if first.webhook_url:
            webhooks.require_allowed(first.webhook_url, self._settings.webhooks)
        row = Generation(
            **columns, priority=0 if waited_for else 1, request_id=new_id(), rerun_of=first.rerun_of or first.id
        )
        return await self._keep(library, [row], idempotency_key, fingerprint, base_url)

    def _require_open(self) -> None:
        if self._dispatcher.draining:
            raise ShuttingDown("the server is shutting down; try again in a moment", headers={"Retry-After": "10"})

    async def _keep(
        self, library: str, rows: list[Generation], idempotency_key: str | None, fingerprint: str, base_url: str
    ) -> tuple[list[Any], bool]:
        """One transaction: the rows of a request, all of one product, and the key they will be known by."""
        await self._backlog.admit(library, len(rows))
        await self._images.require_quota(library)
        for row in rows:
            row.base_url = base_url if row.webhook_url else None
        async with self._database.write() as session:
            if idempotency_key and (remembered := await session.get(IdempotencyKey, (library, idempotency_key))):
                return await self._replay(session, remembered, fingerprint), True
            if await session.get(Product, rows[0].product_id) is None:
                raise ProductNotFound("there is no product with this id in the library of this key")
            await queue.enqueue(session, rows)
            if idempotency_key:
                ids = [str(row.id) for row in rows]
                session.add(
                    IdempotencyKey(library=library, key=idempotency_key, request_sha256=fingerprint, generation_ids=ids)
                )
        self._dispatcher.wake()
        return list(rows), False

    @asynccontextmanager
    async def answering(self, library: str, idempotency_key: str | None) -> AsyncIterator[None]:
        """Held while the first request with this key is being answered: the same key again meanwhile is StillRunning. What
        repeats an answered one holds nothing, however long it waits for the job."""
        mark = (library, idempotency_key or "")
        self._require_answered(mark)
        if not idempotency_key or await self._is_known(library, idempotency_key):
            yield
            return
        self._require_answered(mark)  # again: another may have come first meanwhile
        self._answering.add(mark)
        try:
            yield
        finally:
            self._answering.discard(mark)

    def _require_answered(self, mark: tuple[str, str]) -> None:
        if mark in self._answering:
            raise StillRunning(
                "the first request with this Idempotency-Key is still being answered", headers={"Retry-After": "2"}
            )

    def _rows(
        self,
        library: str,
        kind: Task,
        asked: Mapping[str, Any],
        product: Any,
        further: Sequence[Any],
        kit: BrandKit,
        provider: str,
        pipeline: PipelineCard,
        waited_for: bool,
    ) -> list[Generation]:
        most = self._settings.limits.result_megapixels
        preset = requests.preset(asked, self._catalogue.presets)

        def columns(variant: int) -> dict[str, Any]:
            match kind:
                case "scene":
                    wanted = {**brand.defaults(asked, kit, variant), "variant": variant}
                    return requests.scene(wanted, self._catalogue.scenes, preset, pipeline, most, further)
                case "remove-bg":
                    return requests.remove_bg(asked, product, preset, pipeline, most)
                case "upscale":
                    return requests.upscale(asked, product, pipeline, most)
                case "expand":
                    return requests.expand(asked, product, pipeline, most)

        webhook_url = asked.get("webhook_url")
        if webhook_url:
            webhooks.require_allowed(webhook_url, self._settings.webhooks)
        seed = asked.get("seed")
        if seed is None:
            seed = 0 if asked.get("lock_camera") else secrets.randbelow(SEEDS)
        count = asked.get("count") or 1
        if count > self._settings.limits.count:
            raise requests.wrong("/count", f"count must be 1 to {self._settings.limits.count}")
        request_id = new_id()
        return [
            Generation(
                library=library,
                product_id=product.id,
                kind=kind,
                priority=0 if waited_for else 1,
                provider=provider,
                pipeline=pipeline.id,
                seed=seed + variant,
                variant=variant,
                request_id=request_id,
                format=asked.get("format") or (preset.format if preset else "png"),
                source_key=product.image_key,
                source_sha256=product.image_sha256,
                webhook_url=webhook_url,
                **columns(variant),
            )
            for variant in range(count)
        ]

    async def _product(self, library: str, id: UUID | None) -> Any:
        async with self._database.read() as connection:
            row = (await connection.execute(_PRODUCT, {"of_id": id, "of_library": library})).one_or_none()
        if row is None:
            raise ProductNotFound("there is no product with this id in the library of this key")
        return row

    async def _answered(self, library: str, key: str, fingerprint: str) -> list[Any]:
        """What this key was answered with before any limits are looked at again; empty when it is new."""
        async with self._database.read() as connection:
            row = (await connection.execute(_remembered(library, key))).one_or_none()
            if row is None:
                return []
            return await self._replay(connection, row, fingerprint)

    async def _is_known(self, library: str, key: str) -> bool:
        async with self._database.read() as connection:
            return (await connection.execute(_remembered(library, key))).one_or_none() is not None

    async def _replay(self, connection: Any, remembered: Any, fingerprint: str) -> list[Any]:
        if remembered.request_sha256 != fingerprint:
            raise IdempotencyMismatch("this Idempotency-Key was used with another request in the last 24 hours")
        ids = [UUID(id) for id in remembered.generation_ids]
        rows = (await connection.execute(select(_G).where(_G.c.id.in_(ids)).order_by(_G.c.id))).all()
        return list(rows)

    # --- reading -----------------------------------------------------------------------------------

    async def get(self, library: str, id: UUID | None) -> Any:
        """The row. Raises GenerationNotFound, also for another library's."""
        async with self._database.read() as connection:
            row = (await connection.execute(_GENERATION, {"of_id": id, "of_library": library})).one_or_none()
        if row is None:
            raise GenerationNotFound("there is no generation with this id in the library of this key")
        return row

    def query(
        self,
        library: str,
        *,
        status: str | None = None,
        product_id: UUID | None = None,
        kind: str | None = None,
        request_id: UUID | None = None,
    ) -> Select[Any]:
        """The list, to be read in pages."""
        query = select(_G).where(_G.c.library == library)
        for column, value in (
            ("status", status),
            ("product_id", product_id),
            ("kind", kind),
            ("request_id", request_id),
        ):
            if value is not None:
                query = query.where(_G.c[column] == value)
        return query

    def live(self, id: UUID) -> Event | None:
        """Its progress, while it is in the engine."""
        return self._events.latest(id)

    async def wait(self, library: str, id: UUID, seconds: float) -> Any:
        """The row, as soon as it has ended, the time is over or the server shuts down."""
        with self._events.listen(id) as events:
            row = await self.get(library, id)
            if row.status not in (Status.COMPLETED, Status.FAILED) and seconds > 0:
                with suppress(TimeoutError):
                    await asyncio.wait_for(until_ended(events), seconds)
                row = await self.get(library, id)
        return row

    # --- ending ------------------------------------------------------------------------------------

    async def cancel(self, library: str, id: UUID | None) -> Any:
        """End it as failed with `cancelled`. One that has ended stays as it is. Raises GenerationNotFound."""
        row = await self.get(library, id)
        reason = Cancelled("cancelled on request")
        async with self._database.write() as session:
            ended = await queue.finish(
                session, row.id, status=Status.FAILED, error_code=reason.code, error_detail=reason.detail
            )
            if ended is not None:
                webhooks.enqueue(session, ended)
        if ended is not None:
            self._dispatcher.forget(ended, reason.code)
        return await self.get(library, row.id)


def _remembered(library: str, key: str) -> Select[Any]:
    return select(IdempotencyKey).where(_K.c.library == library, _K.c.key == key)


def _fingerprint(kind: Task | Literal["rerun"], asked: Mapping[str, Any]) -> str:
    return hashlib.sha256(msgspec.json.encode([kind, dict(asked)], order="sorted")).hexdigest()
