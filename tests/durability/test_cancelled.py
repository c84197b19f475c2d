"""Orders taken back, and products deleted, the moment they are given: the queue goes on, and no photo is lost."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

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


def outcomes(studio: Studio) -> Counter[str]:
    """How many generations ended how, as the metrics count them."""
    counts: Counter[str] = Counter()
    for family in text_string_to_metric_families(httpx.get(f"{studio.server.url}/metrics").text):
        for sample in family.samples:
            if sample.name == "pergai_generations_total":
                counts[sample.labels["outcome"]] += int(sample.value)
    return counts


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
