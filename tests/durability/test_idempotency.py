"""One Idempotency-Key, one generation, however often and however fast it is sent. `PERGAI_TEST_RACES` runs more races."""

from __future__ import annotations

import asyncio
import os
from uuid import uuid4

import httpx
import pytest
from server import API, Server
from studio import Studio, open_studio

RACES = int(os.environ.get("PERGAI_TEST_RACES", "5"))


@pytest.fixture(scope="module")
def shared() -> object:
    with Server() as server:
        yield open_studio(server)


def send_at_once(studio: Studio, bodies: list[dict[str, object]], key: str) -> list[httpx.Response]:
    """The answers of as many clients, each of which comes back when the first request is still being answered."""

    async def persist(client: httpx.AsyncClient, body: dict[str, object]) -> httpx.Response:
        while (answer := await client.post("/tools/remove-bg", json=body)).status_code == 409:
            assert answer.json()["code"] == "idempotency_in_progress"
            assert int(answer.headers["retry-after"]) > 0
            await asyncio.sleep(0.05)
        return answer

    async def race() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=len(bodies))
        headers = {"Authorization": f"Bearer {studio.key}", "Idempotency-Key": key, "Prefer": "wait=0"}
        base = studio.server.url + API
        async with httpx.AsyncClient(base_url=base, headers=headers, limits=limits, timeout=60) as client:
            return await asyncio.gather(*(persist(client, body) for body in bodies))

    return asyncio.run(race())


def count(studio: Studio) -> int:
    return len(studio.records())


@pytest.mark.slow
def test_a_hundred_equal_requests_at_once_make_one_generation(shared: Studio) -> None:
    for _ in range(RACES):
        before = count(shared)
        answers = send_at_once(shared, [{"productId": shared.product}] * 100, str(uuid4()))

        assert {answer.status_code for answer in answers} <= {200, 202}
        assert len({answer.json()["id"] for answer in answers}) == 1
        assert count(shared) == before + 1


@pytest.mark.slow
def test_of_two_different_requests_with_one_key_only_one_is_done(shared: Studio) -> None:
    for _ in range(RACES):
        before = count(shared)
        bodies = [{"productId": shared.product, "background": colour} for colour in ("white", "black") * 20]
        answers = send_at_once(shared, bodies, str(uuid4()))

        assert {answer.status_code for answer in answers} <= {200, 202, 422}
        done = {body["background"] for body, answer in zip(bodies, answers, strict=True) if answer.is_success}
        assert len(done) == 1
        assert count(shared) == before + 1


def test_the_same_key_again_gives_the_same_generation(shared: Studio) -> None:
    headers = {"Idempotency-Key": str(uuid4())}
    with shared.client() as client:
        first = client.post("/tools/remove-bg", json={"productId": shared.product}, headers=headers)
        again = client.post("/tools/remove-bg", json={"productId": shared.product}, headers=headers)

    assert first.json()["id"] == again.json()["id"]
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers


def test_the_same_key_with_another_body_is_refused(shared: Studio) -> None:
    headers = {"Idempotency-Key": str(uuid4())}
    with shared.client() as client:
        client.post("/tools/remove-bg", json={"productId": shared.product}, headers=headers)
        other = client.post("/tools/remove-bg", json={"productId": shared.product, "maskOnly": True}, headers=headers)

    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")


def test_another_library_may_use_the_same_key(shared: Studio) -> None:
    headers = {"Idempotency-Key": str(uuid4()), "Prefer": "wait=0"}
    other_key = shared.server.create_key(library="other")
    with shared.client() as client, shared.server.client(other_key) as other:
        body = {"name": "Cup", "category": "home", "imagePath": "products/sample.png"}
        product = other.post("/products", json=body).json()["id"]
        mine = client.post("/tools/remove-bg", json={"productId": shared.product}, headers=headers)
        theirs = other.post("/tools/remove-bg", json={"productId": product}, headers=headers)

    assert mine.json()["id"] != theirs.json()["id"]


def test_a_key_outlives_a_kill(studio: Studio) -> None:
    headers = {"Idempotency-Key": str(uuid4()), "Prefer": "wait=0"}
    body = {"productId": studio.product}
    first = studio.persist(lambda client: client.post("/tools/remove-bg", json=body, headers=headers))
    studio.server.kill9_api()
    studio.server.restart()
    again = studio.persist(lambda client: client.post("/tools/remove-bg", json=body, headers=headers))

    assert first.json()["id"] == again.json()["id"]
