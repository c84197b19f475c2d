"""Orders taken back, and products deleted, the moment they are given: the queue goes on, and no photo is lost."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import httpx
from prometheus_client.parser import text_string_to_metric_families
from studio import Studio, small_photo


def test_the_queue_goes_on_when_orders_are_taken_back_on_their_way_to_the_engine(studio: Studio) -> None:
    """The engine stands still meanwhile: it finds the order and its cancellation in one piece."""
    engine = studio.server.engine_pid()
    assert engine is not None
    with studio.client() as client:
        path = client.post("/uploads", files={"file": ("x.png", small_photo())}).json()["imagePath"]
        body = {"name": "Passing", "category": "home", "imagePath": path}
        product = client.post("/products", json=body).json()["id"]
        order = {"productId": product, "scene": "studio", "count": 8, "resolution": "64x64"}
        os.kill(engine, signal.SIGSTOP)
        made = client.post("/generations", json=order, headers={"Prefer": "wait=0"}).json()["variants"]
        studio.server.wait_until(
            lambda: len(client.get("/generations?status=processing").json()) >= 4, 5, "nothing was sent"
        )
        assert client.delete(f"/products/{product}").status_code == 204
        os.kill(engine, signal.SIGCONT)
        body = {"productId": studio.product, "background": "#123456"}
        last = client.post("/tools/remove-bg", json=body, headers={"Prefer": "wait=30"}).json()
        ends = [client.get(f"/generations/{id}").json() for id in made]

    assert last["status"] == "completed", last
    assert outcomes(studio) == {"product_deleted": 8, "completed": 1}
    assert {(end["status"], end["error"]["code"]) for end in ends} == {("failed", "product_deleted")}


def test_an_order_taken_back_while_the_one_before_it_cannot_be_sent_is_not_worked_on(studio: Studio) -> None:
    """Both are claimed at once, from a database that is busy; a link lies where the photo of the first was."""
    server = studio.server
    cut_out = {"json": {"productId": studio.product}, "headers": {"Prefer": "wait=60"}}
    with studio.client() as client, ThreadPoolExecutor(1) as pool:
        assert client.post("/tools/remove-bg", **cut_out).json()["status"] == "completed"
        photos = [client.post("/uploads", files={"file": ("x.png", small_photo(width))}).json() for width in (60, 90)]
        bodies = [{"name": "Cup", "category": "home", "imagePath": photo["imagePath"]} for photo in photos]
        products = [client.post("/products", json=body).json() for body in bodies]
        lost = server.home / httpx.URL(products[0]["imagePath"]).path.lstrip("/")
        lost.unlink()
        lost.symlink_to("/dev/null")
        seen = pictures_seen_by_models(studio)
        died = server.kill9_engine()
        server.wait_until(lambda: server.engine_pid() not in (None, died), 30, "no engine was started")
        engine = server.engine_pid()
        assert engine is not None
        os.kill(engine, signal.SIGSTOP)  # nothing is claimed before it is up
        first, second = (studio.order(number, product["id"]) for number, product in enumerate(products))
        with closing(sqlite3.connect(server.home / "pergai.db")) as busy:
            busy.execute("BEGIN IMMEDIATE")
            os.kill(engine, signal.SIGCONT)
            server.wait_ready()
            time.sleep(0.5)  # the claim waits for the database
            taken_back = pool.submit(studio.cancel, second)
            time.sleep(0.5)  # and the cancellation behind it
            busy.rollback()
        assert taken_back.result() == "cancelled"
        server.wait_until(lambda: studio.ended() == 3, 30, "the first has not ended")
        assert client.get(f"/generations/{first}").json()["error"]["code"] == "source_unreadable"
        assert client.post("/tools/remove-bg", **cut_out).json()["status"] == "completed"
    server.wait_until(lambda: httpx.get(f"{server.url}/readyz").json()["inside"] == 0, 30, "something still runs")

    assert pictures_seen_by_models(studio) == seen


def outcomes(studio: Studio) -> Counter[str]:
    """How many generations ended how, as the metrics count them."""
    counts: Counter[str] = Counter()
    for family in text_string_to_metric_families(httpx.get(f"{studio.server.url}/metrics").text):
        for sample in family.samples:
            if sample.name == "pergai_generations_total":
                counts[sample.labels["outcome"]] += int(sample.value)
    return counts


def pictures_seen_by_models(studio: Studio) -> int:
    families = text_string_to_metric_families(httpx.get(f"{studio.server.url}/metrics").text)
    samples = [sample for family in families for sample in family.samples]
    return sum(int(sample.value) for sample in samples if sample.name == "pergai_batch_size_sum")


def test_a_product_made_while_the_last_one_with_its_photo_is_deleted_has_its_photo_or_is_refused(
    studio: Studio,
) -> None:
    chance = random.Random(20261129)
    with studio.client() as client, studio.client() as other, ThreadPoolExecutor(1) as pool:

        def delete(id: str, seconds: float) -> int:
            time.sleep(seconds)
            return other.delete(f"/products/{id}").status_code

        for _ in range(60):
            path = client.post("/uploads", files={"file": ("x.png", small_photo())}).json()["imagePath"]
            body = {"name": "Cup", "category": "home", "imagePath": path}
            last = client.post("/products", json=body).json()["id"]
            deleted = pool.submit(delete, last, chance.uniform(0, 0.006))
            time.sleep(0.002)
            made = client.post("/products", json=body)
            assert deleted.result() == 204
            if made.status_code == 201:
                assert client.get(made.json()["imagePath"]).content == small_photo()
            else:
                assert made.status_code == 422, made.text
                assert made.json()["errors"][0]["pointer"] == "/imagePath"
