"""Keyset pages over ids, newest first: a cursor is the last id seen, so a page costs the same wherever it lies."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import Row, Select

from pergai.db.database import Database
from pergai.errors import FieldError, InvalidRequest
from pergai.ids import parse_id

MAX_PAGE = 500

Query: TypeAlias = Select[Any]
Rows: TypeAlias = Sequence[Row[Any]]


@dataclass(frozen=True, slots=True)
class Page:
    """What part of a list is wanted."""

    limit: int
    """1 to MAX_PAGE."""
    before: UUID | None = None


def parse_page(limit: int | None, cursor: str | None) -> Page | None:
    """None when neither is given: the client wants all rows. Raises InvalidRequest."""
    if limit is None and cursor is None:
        return None
    if limit is not None and not 1 <= limit <= MAX_PAGE:
        detail = f"limit must be 1 to {MAX_PAGE}"
        raise InvalidRequest(detail, errors=[FieldError("limit", detail)])
    before = parse_id(cursor) if cursor else None
    if cursor and before is None:
        detail = "cursor must be one that a Link header of this list gave"
        raise InvalidRequest(detail, errors=[FieldError("cursor", detail)])
    return Page(limit or 100, before)


async def fetch(
    database: Database, query: Select[Any], id_column: Any, page: Page
) -> tuple[Sequence[Row[Any]], UUID | None]:
    """One page, and the cursor of the next one (None on the last)."""
    if page.before is not None:
        query = query.where(id_column < page.before)
    query = query.order_by(id_column.desc()).limit(page.limit + 1)
    async with database.read() as connection:
        rows = (await connection.execute(query)).all()
    more = len(rows) > page.limit
    rows = rows[: page.limit]
    return rows, rows[-1].id if more and rows else None


async def everything(database: Database, query: Select[Any], id_column: Any) -> AsyncIterator[Sequence[Row[Any]]]:
    """All rows in pages, so that a list of any length streams in constant memory and holds no read transaction open."""
    page = Page(MAX_PAGE)
    while True:
        rows, cursor = await fetch(database, query, id_column, page)
        if rows:
            yield rows
        if cursor is None:
            return
        page = Page(MAX_PAGE, cursor)
