"""The product library."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, func, select

from pergai.cards.structs import Category
from pergai.db import queue
from pergai.db.database import Database
from pergai.db.tables import Image, Product
from pergai.errors import FieldError, ProductDeleted, ProductNotFound, QuotaExceeded, UnknownCategory
from pergai.services import webhooks
from pergai.services.dispatcher import Dispatcher
from pergai.services.images import SAMPLE_KEY, Images
from pergai.settings import Settings
from pergai.storage.files import FileStore

_P: Any = Product.__table__  # type: ignore[attr-defined]
_I: Any = Image.__table__  # type: ignore[attr-defined]
PRODUCT_ID = _P.c.id


class Products:
    def __init__(
        self,
        *,
        database: Database,
        files: FileStore,
        images: Images,
        dispatcher: Dispatcher,
        categories: Iterable[Category],
        settings: Settings,
    ) -> None:
        self._database = database
        self._files = files
        self._images = images
        self._dispatcher = dispatcher
        self._settings = settings
        self.categories = tuple(categories)

    def require_category(self, category: str, pointer: str) -> None:
        """Raises UnknownCategory naming the choices."""
        known = [choice.id for choice in self.categories]
        if category not in known:
            detail = f"{category[:100]!r} is not a category; choose one of {', '.join(known)}"
            raise UnknownCategory(detail, errors=[FieldError(pointer, detail)])

    async def create(self, library: str, *, name: str, category: str, image_path: str) -> Product:
        """Raises UnknownCategory, InvalidRequest (no such image), UnreadableImage, QuotaExceeded."""
        self.require_category(category, "/category")
        image = await self._images.find(library, image_path)
        product = Product(
            library=library,
            name=name,
            category=category,
            image_key=image.key,
            image_sha256=image.sha256,
            width=image.width,
            height=image.height,
        )
        quota = self._settings.limits.products_per_library
        async with self._database.write() as session:
            if quota:
                count = (await session.execute(select(func.count()).where(_P.c.library == library))).scalar_one()
                if count >= quota:
                    raise QuotaExceeded(f"this library may keep {quota} products")
            await self._images.require(session, library, image.key)
            session.add(product)
        return product

    async def get(self, library: str, id: UUID | None) -> Any:
        """The row. Raises ProductNotFound, also for another library's."""
        async with self._database.read() as connection:
            row = (await connection.execute(select(_P).where(_P.c.id == id, _P.c.library == library))).one_or_none()
        if row is None:
            raise ProductNotFound("there is no product with this id in the library of this key")
        return row

    def query(self, library: str, category: str | None = None) -> Select[Any]:
        """The list, to be read in pages. Raises UnknownCategory."""
        query = select(_P).where(_P.c.library == library)
        if category is not None:
            self.require_category(category, "category")
            query = query.where(_P.c.category == category)
        return query

    async def delete(self, library: str, id: UUID | None) -> list[Row[Any]]:
        """Remove the product and, when no other product uses it, its image. Its generations stay; those still waiting fail.

        Returns the generations that failed by it. Raises ProductNotFound.
        """
        product = await self.get(library, id)
        gone = ProductDeleted("the product was deleted before the job ran")
        async with self._images.leaving:
            async with self._database.write() as session:
                row = await session.get(Product, product.id)
                if row is None:
                    raise ProductNotFound("there is no product with this id in the library of this key")
                await session.delete(row)
                failed = list(
                    await queue.fail_waiting(session, library, product.id, code=gone.code, detail=gone.detail)
                )
                for generation in failed:
                    webhooks.enqueue(session, generation)
                users = select(func.count()).where(
                    _P.c.library == library, _P.c.image_key == product.image_key, _P.c.id != product.id
                )
                orphaned = product.image_key != SAMPLE_KEY and not (await session.execute(users)).scalar_one()
                if orphaned:
                    image = select(Image).where(_I.c.library == library, _I.c.key == product.image_key)
                    if (found := await session.scalar(image)) is not None:
                        await session.delete(found)
            if orphaned:
                await asyncio.to_thread(self._files.remove, library, product.image_key)
        for generation in failed:
            self._dispatcher.forget(generation, gone.code)
        return failed
