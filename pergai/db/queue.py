"""The queue: the only SQL about the order and the state of jobs.

A generation row is pending, processing, completed or failed. Only the server that holds the data folder's lock claims rows,
so a row found processing at start belongs to a dead process and goes back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from pergai.db.tables import Generation, Status, now

_G: Any = Generation.__table__  # type: ignore[attr-defined]


async def waiting_libraries(connection: AsyncConnection) -> list[str]:
    """Libraries that have pending jobs, found by skipping through the index, not by reading every row."""
    found: list[str] = []
    last = ""
    while True:
        query = select(func.min(_G.c.library)).where(_G.c.status == Status.PENDING, _G.c.library > last)
        name = (await connection.execute(query)).scalar()
        if name is None:
            return found
        found.append(name)
        last = name


async def claim(session: AsyncSession, library: str, limit: int, *, suspects: bool) -> Sequence[Generation]:
    """Take the next pending jobs of a library: those with a waiting client first, then the oldest. They are processing
    when the transaction commits.

    `suspects` takes one job that was in the engine when it crashed; without it those are passed over: they run alone.
    """
    wanted = (
        select(_G.c.id)
        .where(_G.c.status == Status.PENDING, _G.c.library == library)
        .where(_G.c.crashes > 0 if suspects else _G.c.crashes == 0)
        .order_by(_G.c.priority, _G.c.id)
        .limit(1 if suspects else limit)
    )
    statement = (
        update(Generation)
        .where(_G.c.id.in_(wanted))
        .values(status=Status.PROCESSING, started_at=now())
        .returning(Generation)
    )
    rows = (await session.execute(statement)).scalars().all()
    return sorted(rows, key=lambda row: (row.priority, row.id))


async def suspect_libraries(connection: AsyncConnection) -> list[str]:
    """Libraries with a pending job that was in the engine when it crashed."""
    query = select(_G.c.library).where(_G.c.status == Status.PENDING, _G.c.crashes > 0).distinct()
    return list((await connection.execute(query)).scalars())


async def release(session: AsyncSession, ids: Sequence[UUID]) -> int:
    """Processing jobs go back to pending, without blame."""
    statement = update(Generation).where(_G.c.status == Status.PROCESSING, _G.c.id.in_(ids))
    statement = statement.values(status=Status.PENDING, started_at=None).returning(_G.c.id)
    return len((await session.execute(statement)).all())


async def recover(session: AsyncSession) -> int:
    """After a crash of the whole server: every processing job goes back to pending, as a suspect, for one of them may
    have been what killed it."""
    statement = update(Generation).where(_G.c.status == Status.PROCESSING)
    values = {"status": Status.PENDING, "started_at": None, "crashes": _G.c.crashes + 1}
    return len((await session.execute(statement.values(values).returning(_G.c.id))).all())


async def blame(session: AsyncSession, ids: Sequence[UUID], *, lone: bool) -> None:
    """The engine died with these jobs in it: back to pending, as suspects."""
    await session.execute(
        update(Generation)
        .where(_G.c.id.in_(ids), _G.c.status == Status.PROCESSING)
        .values(
            status=Status.PENDING,
            started_at=None,
            crashes=_G.c.crashes + 1,
            lone_crashes=_G.c.lone_crashes + (1 if lone else 0),
        )
    )


async def finish(
    session: AsyncSession, id: UUID, *, since: Sequence[Status] = (Status.PENDING, Status.PROCESSING), **values: Any
) -> Generation | None:
    """End a job as completed or failed. None when it has ended already: the first word stands."""
    statement = (
        update(Generation)
        .where(_G.c.id == id, _G.c.status.in_(since))
        .values(completed_at=now(), **values)
        .returning(Generation)
    )
    return (await session.execute(statement)).scalars().one_or_none()


async def fail_waiting(session: AsyncSession, product_id: UUID, *, code: str, detail: str) -> Sequence[Generation]:
    """Fail all pending and processing jobs of a product that is going away."""
    statement = (
        update(Generation)
        .where(_G.c.product_id == product_id, _G.c.status.in_((Status.PENDING, Status.PROCESSING)))
        .values(status=Status.FAILED, error_code=code, error_detail=detail, completed_at=now())
        .returning(Generation)
    )
    return (await session.execute(statement)).scalars().all()


async def depth(connection: AsyncConnection) -> dict[str, int]:
    """Jobs waiting, by provider."""
    query = select(_G.c.provider, func.count()).where(_G.c.status == Status.PENDING).group_by(_G.c.provider)
    return {str(name): int(count) for name, count in (await connection.execute(query)).all()}


async def waiting(connection: AsyncConnection) -> dict[str, int]:
    """Jobs waiting, by library."""
    query = select(_G.c.library, func.count()).where(_G.c.status == Status.PENDING).group_by(_G.c.library)
    return {str(name): int(count) for name, count in (await connection.execute(query)).all()}
