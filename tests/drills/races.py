"""One Idempotency-Key, sent by many clients at once."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import httpx
from server import API
from studio import Studio

from drills import Done, nobody


def send_at_once(studio: Studio, bodies: list[dict[str, object]], key: str) -> list[httpx.Response]:
    """The answers of as many clients, each of which comes back when the first request is still being answered."""
    headers = {"Authorization": f"Bearer {studio.key}", "Idempotency-Key": key, "Prefer": "wait=0"}
    base = studio.server.url + API

    async def persist(body: dict[str, object]) -> httpx.Response:
        # A client each: one pool of a hundred connections looks at all of them for every request (httpcore). Most of a race's
        # time went there, and the requests trickled in.
        async with httpx.AsyncClient(base_url=base, headers=headers, verify=False, timeout=60) as client:
            pause = 0.05
            while (answer := await client.post("/tools/remove-bg", json=body)).status_code == 409:
                assert answer.json()["code"] == "idempotency_in_progress"
                assert int(answer.headers["retry-after"]) > 0
                await asyncio.sleep(pause)
                pause = min(2 * pause, 0.5)
            return answer

    async def race() -> list[httpx.Response]:
        return await asyncio.gather(*map(persist, bodies))

    return asyncio.run(race())


def equal_requests(studio: Studio, races: int, ways: int = 100, done: Done = nobody) -> None:
    """`ways` equal requests at once make one generation."""
    for _ in range(races):
        before = studio.count_generations()
        answers = send_at_once(studio, [{"productId": studio.product}] * ways, str(uuid4()))
        assert {answer.status_code for answer in answers} <= {200, 202}
        assert len({answer.json()["id"] for answer in answers}) == 1
        assert studio.count_generations() == before + 1
        done()


def different_requests(studio: Studio, races: int, ways: int = 40, done: Done = nobody) -> None:
    """Of two different requests with one key only one is done; the other hears 422."""
    for _ in range(races):
        before = studio.count_generations()
        bodies = [{"productId": studio.product, "background": colour} for colour in ("white", "black") * (ways // 2)]
        answers = send_at_once(studio, bodies, str(uuid4()))
        assert {answer.status_code for answer in answers} <= {200, 202, 422}
        kept = {body["background"] for body, answer in zip(bodies, answers, strict=True) if answer.is_success}
        assert len(kept) == 1
        assert studio.count_generations() == before + 1
        done()
