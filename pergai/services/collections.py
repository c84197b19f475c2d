"""Collections of generations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, delete, func, select

from pergai.db.database import Database
from pergai.db.tables import Collection, CollectionItem, Generation, now
from pergai.errors import CollectionNotFound, GenerationNotFound
from pergai.ids import new_id

_C: Any = Collection.__table__  # type: ignore[attr-defined]
_N: Any = CollectionItem.__table__  # type: ignore[attr-defined]
_G: Any = Generation.__table__  # type: ignore[attr-defined]
COLLECTION_ID = _C.c.id
PREVIEW_ITEMS = 4


@dataclass(frozen=True, slots=True)
class Item:
    id: UUID
    generation_id: UUID
    created_at: Any
    generation: Row[Any]


@dataclass(frozen=True, slots=True)
class Album:
    """A collection with (some of) its items, the newest first."""

    collection: Any
    count: int
    items: Sequence[Item]


class Collections:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, library: str, name: str) -> Album:
        collection = Collection(library=library, name=name)
        async with self._database.write() as session:
            session.add(collection)
        return Album(collection, 0, ())

    def query(self, library: str) -> Select[Any]:
        """The list, to be read in pages and completed by `previews`."""
        return select(_C).where(_C.c.library == library)

    async def previews(self, rows: Sequence[Row[Any]]) -> list[Album]:
        """Each collection with its count and its newest items: two statements for the whole page."""
        ids = [row.id for row in rows]
        rank = func.row_number().over(partition_by=_N.c.collection_id, order_by=_N.c.id.desc()).label("rank")
        ranked = select(_N, rank).where(_N.c.collection_id.in_(ids)).subquery()
        newest = select(ranked.c.id).where(ranked.c.rank <= PREVIEW_ITEMS)
        counts = (
            select(_N.c.collection_id, func.count()).where(_N.c.collection_id.in_(ids)).group_by(_N.c.collection_id)
        )
        async with self._database.read() as connection:
            count = {id: int(number) for id, number in (await connection.execute(counts)).all()}
            items = (await connection.execute(_items().where(_N.c.id.in_(newest)).order_by(_N.c.id.desc()))).all()
        by_collection: dict[UUID, list[Item]] = {}
        for row in items:
            by_collection.setdefault(row.item_collection_id, []).append(_item(row))
        return [Album(row, count.get(row.id, 0), by_collection.get(row.id, [])) for row in rows]

    async def get(self, library: str, id: UUID | None) -> Album:
        """With all its items. Raises CollectionNotFound."""
        collection = await self._find(library, id)
        async with self._database.read() as connection:
            rows = (
                await connection.execute(_items().where(_N.c.collection_id == collection.id).order_by(_N.c.id.desc()))
            ).all()
        return Album(collection, len(rows), [_item(row) for row in rows])

    async def delete(self, library: str, id: UUID | None) -> None:
        """Its images stay. Raises CollectionNotFound."""
        collection = await self._find(library, id)
        async with self._database.write() as session:
            await session.execute(delete(CollectionItem).where(_N.c.collection_id == collection.id))
            await session.execute(delete(Collection).where(_C.c.id == collection.id))

    async def add(self, library: str, id: UUID | None, generation_id: UUID | None) -> tuple[Item, bool]:
        """The item, and whether it is new; the same generation again gives the same item.

        Raises CollectionNotFound, GenerationNotFound.
        """
        async with self._database.write() as session:
            if (
                id is None
                or await session.scalar(select(_C.c.id).where(_C.c.id == id, _C.c.library == library)) is None
            ):
                raise CollectionNotFound("there is no collection with this id in the library of this key")
            generation = (
                await session.execute(select(_G).where(_G.c.id == generation_id, _G.c.library == library))
            ).one_or_none()
            if generation is None:
                raise GenerationNotFound("there is no generation with this id in the library of this key")
            known = select(_N).where(_N.c.collection_id == id, _N.c.generation_id == generation_id)
            row = (await session.execute(known)).one_or_none()
            if row is not None:
                return Item(row.id, row.generation_id, row.created_at, generation), False
            item = CollectionItem(id=new_id(), collection_id=id, generation_id=generation.id, created_at=now())
            session.add(item)
        return Item(item.id, item.generation_id, item.created_at, generation), True

    async def remove(self, library: str, id: UUID | None, item_id: UUID | None) -> None:
        """Take one item out. Raises CollectionNotFound, GenerationNotFound."""
        collection = await self._find(library, id)
        async with self._database.write() as session:
            gone = await session.execute(
                delete(CollectionItem).where(_N.c.collection_id == collection.id, _N.c.id == item_id).returning(_N.c.id)
            )
            if not gone.all():
                raise GenerationNotFound("there is no item with this id in the collection")

    async def _find(self, library: str, id: UUID | None) -> Row[Any]:
        async with self._database.read() as connection:
            row = (await connection.execute(select(_C).where(_C.c.id == id, _C.c.library == library))).one_or_none()
        if row is None:
            raise CollectionNotFound("there is no collection with this id in the library of this key")
        return row


def _items() -> Select[Any]:
    return select(
        _N.c.id.label("item_id"),
        _N.c.collection_id.label("item_collection_id"),
        _N.c.created_at.label("item_created_at"),
        _G,
    ).join(_G, _G.c.id == _N.c.generation_id)


def _item(row: Row[Any]) -> Item:
    return Item(row.item_id, row.id, row.item_created_at, row)
