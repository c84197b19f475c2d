"""Lists: plain JSON arrays, newest first. Without `limit` all rows stream; with it, pages with `Link: rel="next"` (RFC 8288)."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

import msgspec
from litestar import Request, Response
from litestar.response import Stream

from pergai.db.database import Database
from pergai.services.pages import Query, Rows, everything, fetch, parse_page

View = Callable[[Rows], Awaitable[list[Any]]]
"""Turns a page of rows into what goes out."""


async def list_response(
    request: Request[Any, Any, Any],
    database: Database,
    query: Query,
    id_column: Any,
    view: View,
    *,
    limit: int | None,
    cursor: str | None,
) -> Response[Any]:
    page = parse_page(limit, cursor)
    if page is None:
        return Stream(_array(everything(database, query, id_column), view), media_type="application/json")
    rows, following = await fetch(database, query, id_column, page)
    headers = {}
    if following is not None:
        kept = [(name, value) for name, value in request.query_params.multi_items() if name not in ("limit", "cursor")]
        parameters = urlencode([*kept, ("limit", page.limit), ("cursor", str(following))])
        headers["Link"] = f'<{request.url.path}?{parameters}>; rel="next"'
    return Response(await view(rows), headers=headers, media_type="application/json")


async def _array(pages: AsyncIterator[Rows], view: View) -> AsyncIterator[bytes]:
    separator = b"["
    async for rows in pages:
        body = msgspec.json.encode(await view(rows))
        yield separator + body[1:-1]
        separator = b","
    yield b"[]" if separator == b"[" else b"]"
