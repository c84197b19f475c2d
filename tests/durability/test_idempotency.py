"""One Idempotency-Key, one generation, however often and however fast it is sent. `PERGAI_TEST_RACES` runs more races."""

from __future__ import annotations

import os
import threading
import time
from uuid import uuid4

import pytest
from drills.disturbances import engine_standing_still
from drills.races import different_requests, equal_requests
from server import Server
from studio import Studio, open_studio

RACES = int(os.environ.get("PERGAI_TEST_RACES", "40"))


@pytest.fixture(scope="module")
def shared() -> object:
    with Server() as server:
        yield open_studio(server)


@pytest.mark.slow
def test_a_hundred_equal_requests_at_once_make_one_generation(shared: Studio) -> None:
    equal_requests(shared, RACES)


@pytest.mark.slow
def test_of_two_different_requests_with_one_key_only_one_is_done(shared: Studio) -> None:
    different_requests(shared, RACES)


def test_the_same_key_again_gives_the_same_generation(shared: Studio) -> None:
    headers = {"Idempotency-Key": str(uuid4())}
    with shared.client() as client:
        first = client.post("/tools/remove-bg", json={"productId": shared.product}, headers=headers)
        again = client.post("/tools/remove-bg", json={"productId": shared.product}, headers=headers)

    assert first.json()["id"] == again.json()["id"]
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers


def test_a_repetition_that_waits_for_the_job_does_not_hold_up_the_next(shared: Studio) -> None:
    ask = {"json": {"productId": shared.product, "background": "#010203"}}
    headers = {"Idempotency-Key": str(uuid4())}
    ended = []

    def wait_long() -> None:
        with shared.client() as client:
            ended.append(client.post("/tools/remove-bg", **ask, headers=headers | {"Prefer": "wait=60"}).json())

    waiting = threading.Thread(target=wait_long, daemon=True)
    with shared.client() as client, engine_standing_still(shared):
        answers = [client.post("/tools/remove-bg", **ask, headers=headers | {"Prefer": "wait=0"})]
        waiting.start()
        for _ in range(10):
            time.sleep(0.1)
            answers.append(client.post("/tools/remove-bg", **ask, headers=headers | {"Prefer": "wait=0"}))
    waiting.join(60)

    assert [answer.status_code for answer in answers] == [202] * 11, [answer.text for answer in answers]
    assert [record["status"] for record in ended] == ["completed"]


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
