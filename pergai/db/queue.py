"""The queue: the only SQL about the order and the state of jobs.

A generation row is pending, processing, completed or failed. Only the server that holds the data folder's lock claims rows,
so a row found processing at start belongs to a dead process and goes back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, bindparam, func, insert, literal_column, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from pergai.db.tables import Generation, Status, now

_G: Any = Generation.__table__  # type: ignore[attr-defined]
_COLUMNS = tuple(column.name for column in _G.c)

# Written out, not bound: SQLite takes a partial index only for a condition that it can read.
_PENDING = _G.c.status == literal_column("'pending'")
_PROCESSING = _G.c.status == literal_column("'processing'")
_SUSPECT = _G.c.crashes > literal_column("0")
_FRESH = _G.c.crashes == literal_column("0")


def _claim(of: Any) -> Any:
    wanted = (
        select(_G.c.id)
        .where(_PENDING, of, _G.c.library == bindparam("of_library"))
        .order_by(_G.c.priority, _G.c.id)
        .limit(bindparam("most"))
    )
    claimed = (
        _G.c[name]
        for name in (
            *(
                "id",
                "library",
                "kind",
                "pipeline",
                "provider",
                "source_key",
                "source_sha256",
                "params",
                "seed",
                "format",
            ),
            *("priority", "rerun_of", "crashes", "lone_crashes", "created_at", "started_at"),
        )
    )
    return (
        update(_G)
        .where(_G.c.id.in_(wanted))
        .values(status=Status.PROCESSING, started_at=bindparam("at"))
        .returning(*claimed)
    )


# Built once: SQLAlchemy takes longer to build one than SQLite to run it.
_CLAIM_FRESH = _claim(_FRESH)
_CLAIM_SUSPECT = _claim(_SUSPECT)
_SUSPECT_LIBRARIES = select(_G.c.library).where(_PENDING, _SUSPECT).distinct()
_NEXT_LIBRARY = select(func.min(_G.c.library)).where(_PENDING, _G.c.library > bindparam("after"))


async def enqueue(session: AsyncSession, rows: Sequence[Generation]) -> None:
    """New pending jobs. Core: the ORM takes five times as long for them."""
    columns = [{name: getattr(row, name) for name in _COLUMNS} for row in rows]
    await session.execute(insert(_G), columns if len(columns) > 1 else columns[0])


async def waiting_libraries(connection: AsyncConnection) -> list[str]:
    """Libraries that have pending jobs, found by skipping through the index, not by reading every row."""
    found: list[str] = []
    last = ""
    while (name := (await connection.execute(_NEXT_LIBRARY, {"after": last})).scalar()) is not None:
        found.append(last := name)
    return found


async def claim(session: AsyncSession, library: str, limit: int, *, suspects: bool) -> Sequence[Row[Any]]:
    """Take the next pending jobs of a library: those with a waiting client first, then the oldest. They are processing
    when the transaction commits. The rows hold what a Job is made from.

    `suspects` takes one job that was in the engine when it crashed; without it those are passed over: they run alone.
    """
    statement = _CLAIM_SUSPECT if suspects else _CLAIM_FRESH
    given = {"of_library": library, "most": 1 if suspects else limit, "at": now()}
    rows = (await session.execute(statement, given)).all()
    return sorted(rows, key=lambda row: (row.priority, row.id))


async def suspect_libraries(connection: AsyncConnection) -> list[str]:
    """Libraries with a pending job that was in the engine when it crashed."""
    return list((await connection.execute(_SUSPECT_LIBRARIES)).scalars())


async def release(session: AsyncSession, ids: Sequence[UUID]) -> int:
    """Processing jobs go back to pending, without blame."""
    statement = update(_G).where(_PROCESSING, _G.c.id.in_(ids))
    statement = statement.values(status=Status.PENDING, started_at=None).returning(_G.c.id)
    return len((await session.execute(statement)).all())


async def recover(session: AsyncSession) -> int:
    """After a crash of the whole server: every processing job goes back to pending, as a suspect, for one of them may
    have been what killed it."""
    statement = update(_G).where(_PROCESSING)
    values = {"status": Status.PENDING, "started_at": None, "crashes": _G.c.crashes + 1}
    return len((await session.execute(statement.values(values).returning(_G.c.id))).all())


async def blame(session: AsyncSession, ids: Sequence[UUID], *, lone: bool) -> None:
    """The engine died with these jobs in it: back to pending, as suspects."""
    await session.execute(
        update(_G)
        .where(_G.c.id.in_(ids), _PROCESSING)
        .values(
            status=Status.PENDING,
            started_at=None,
            crashes=_G.c.crashes + 1,
            lone_crashes=_G.c.lone_crashes + (1 if lone else 0),
        )
    )


_ENDED = (_G.c.id, _G.c.library, _G.c.kind, _G.c.provider, _G.c.status, _G.c.webhook_url)


async def finish(
    session: AsyncSession, id: UUID, *, since: Sequence[Status] = (Status.PENDING, Status.PROCESSING), **values: Any
) -> Row[Any] | None:
    """End a job as completed or failed. None when it has ended already: the first word stands.
    The row holds id, library, kind, provider, status and webhook_url."""
    statement = update(_G).where(_G.c.id == id, _G.c.status.in_(since)).values(completed_at=now(), **values)
    return (await session.execute(statement.returning(*_ENDED))).one_or_none()


async def fail_waiting(
    session: AsyncSession, library: str, product_id: UUID, *, code: str, detail: str
) -> Sequence[Row[Any]]:
    """Fail all pending and processing jobs of a product that is going away. The rows are as `finish` gives them."""
    statement = (
        update(_G)
        .where(
            _G.c.library == library, _G.c.product_id == product_id, _G.c.status.in_((Status.PENDING, Status.PROCESSING))
        )
        .values(status=Status.FAILED, error_code=code, error_detail=detail, completed_at=now())
    )
    return (await session.execute(statement.returning(*_ENDED))).all()


async def depth(connection: AsyncConnection) -> dict[str, int]:
    """Jobs waiting, by provider."""
    query = select(_G.c.provider, func.count()).where(_PENDING).group_by(_G.c.provider)
    return {str(name): int(count) for name, count in (await connection.execute(query)).all()}


async def waiting(connection: AsyncConnection) -> dict[str, int]:
    """Jobs waiting, by library."""
    query = select(_G.c.library, func.count()).where(_PENDING).group_by(_G.c.library)
    return {str(name): int(count) for name, count in (await connection.execute(query)).all()}
