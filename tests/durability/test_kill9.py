"""kill -9 of the API process, of the engine process and of both, at random moments: every 202 ends completed with its file, none
twice, unless a client cancelled it or deleted its product meanwhile. `PERGAI_TEST_KILLS` kills more often."""

from __future__ import annotations

import os
import random
import time

import pytest
from drills.kills import keep_promises_through_kills
from studio import Orders, Studio

KILLS = int(os.environ.get("PERGAI_TEST_KILLS", "40"))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_promise_is_kept_through_kills_at_random_moments(studio: Studio) -> None:
    met = keep_promises_through_kills(studio, kills=KILLS, chance=random.Random())
    assert met["kills with jobs inside"] >= KILLS / 2


@pytest.mark.slow
def test_a_kill_while_starting_loses_nothing(studio: Studio) -> None:
    Orders(studio, 6).run()
    for seconds in (0.2, 0.8, 1.4, 2.0):
        studio.server.kill9_api()
        studio.server.start()
        time.sleep(seconds)
    studio.server.kill9_api()
    studio.server.restart()

    studio.check_nothing_lost_and_nothing_twice()


@pytest.mark.slow
def test_uploads_and_products_answered_before_a_kill_are_there_after_it(studio: Studio) -> None:
    from studio import small_photo

    made = []
    with studio.client() as client:
        for number in range(5):
            path = client.post("/uploads", files={"file": ("x.png", small_photo())}).json()["imagePath"]
            body = {"name": f"Cup {number}", "category": "home", "imagePath": path}
            made.append(client.post("/products", json=body).json()["id"])
    studio.server.kill9_api()
    studio.server.restart()

    listed = studio.persist(lambda client: client.get("/products")).json()
    assert {product["id"] for product in listed} == {*made, studio.product}
    for product in listed:
        assert studio.persist(lambda client, url=product["imagePath"]: client.get(url)).content == small_photo()
