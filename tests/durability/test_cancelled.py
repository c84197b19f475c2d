"""Orders taken back the moment they are given: the queue goes on."""

from __future__ import annotations

import os
import signal

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
    assert {(end["status"], end["error"]["code"]) for end in ends} == {("failed", "product_deleted")}
