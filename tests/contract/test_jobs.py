"""Jobs over HTTP: 202 and Location, Prefer, cancelling, events, variants, seeds, deleted products, webhooks."""

from __future__ import annotations

import http.server
import io
import json
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

import httpx
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from server import Server
from shop import PRODUCT, Shop, made
from standardwebhooks import Webhook

NOW = {"Prefer": "wait=0"}
LATER = {"Prefer": "wait=120"}


def cut_out(shop: Shop, headers: dict[str, str] | None = None, **fields: Any) -> httpx.Response:
    return shop.client.post("/tools/remove-bg", json={"productId": shop.product["id"], **fields}, headers=headers)


def scene(shop: Shop, **fields: Any) -> httpx.Response:
    return shop.client.post("/generations", json={"productId": shop.product["id"], "scene": "studio", **fields})


def events(client: httpx.Client, id: str) -> list[tuple[str, dict[str, Any]]]:
    """All events of a generation until the stream ends."""
    found, name = [], ""
    with client.stream("GET", f"/generations/{id}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        for line in stream.iter_lines():
            field, _, value = line.partition(":")
            if field == "event":
                name = value.strip()
            elif field == "data":
                found.append((name, json.loads(value)))
    return found


def test_a_client_that_does_not_wait_gets_202_and_the_address(shop: Shop) -> None:
    answer = cut_out(shop, NOW, background="#101010")

    assert answer.status_code == 202
    assert answer.json()["status"] in ("pending", "processing")
    assert answer.headers["location"] == f"/api/external/v1/generations/{answer.json()['id']}"
    assert answer.headers["preference-applied"] == "wait=0"


def test_a_client_that_waits_gets_200_and_the_record(shop: Shop) -> None:
    answer = cut_out(shop, LATER, background="#202020")

    assert answer.status_code == 200
    assert answer.json()["status"] == "completed"
    assert answer.headers["preference-applied"] == "wait=120"
    assert answer.headers["location"].endswith(answer.json()["id"])


def test_events_tell_progress_that_never_falls_and_end_with_the_record(shop: Shop) -> None:
    id = scene(shop, aspectRatio="4:3", resolution="320x240").json()["id"]

    told = events(shop.client, id)

    progress = [record["progress"] for _, record in told]
    assert progress == sorted(progress) and progress[-1] == 1
    assert [name for name, _ in told[:-1]] == ["progress"] * (len(told) - 1)
    name, record = told[-1]
    assert name == "completed", record["error"]
    assert record["id"] == id and record["resultImagePath"]
    assert (record["width"], record["height"]) == (320, 240)


def test_events_of_what_has_ended_are_its_record(shop: Shop) -> None:
    told = events(shop.client, shop.generation["id"])

    assert [name for name, _ in told] == ["completed"]
    assert told[0][1]["id"] == shop.generation["id"]


def test_a_cancelled_job_ends_as_failed_and_stays_so(shop: Shop) -> None:
    id = scene(shop).json()["id"]

    cancelled = shop.client.post(f"/generations/{id}/cancel")

    assert cancelled.status_code == 200
    assert (cancelled.json()["status"], cancelled.json()["error"]["code"]) == ("failed", "cancelled")
    assert [name for name, _ in events(shop.client, id)] == ["failed"]
    assert shop.client.post(f"/generations/{id}/cancel").json()["error"]["code"] == "cancelled"
    assert shop.client.get(f"/generations/{id}").json()["resultImagePath"] is None


def test_cancelling_what_is_done_changes_nothing(shop: Shop) -> None:
    answer = shop.client.post(f"/generations/{shop.generation['id']}/cancel")

    assert answer.json()["status"] == "completed"
    assert httpx.get(answer.json()["resultImagePath"]).status_code == 200


def test_variants_differ_in_their_seed_and_share_a_request(shop: Shop) -> None:
    answer = scene(shop, count=3, seed=7, resolution="256x256")

    ids = answer.json()["variants"]
    records = [shop.client.get(f"/generations/{id}").json() for id in ids]
    assert [record["seed"] for record in records] == [7, 8, 9]
    assert {record["requestId"] for record in records} == {answer.json()["requestId"]}
    assert answer.json()["id"] == ids[0]
    for id in ids:
        shop.client.post(f"/generations/{id}/cancel")


def test_the_same_seed_gives_the_same_picture(shop: Shop) -> None:
    pictures = []
    for seed in (11, 11, 12):
        record = events(shop.client, scene(shop, seed=seed, resolution="200x200").json()["id"])[-1][1]
        assert record["status"] == "completed", record["error"]
        pictures.append(pixels(record["resultImagePath"]))

    assert (pictures[0] == pictures[1]).all()
    assert np.abs(pictures[0] - pictures[2]).max() > 1


def pixels(url: str) -> npt.NDArray[np.int16]:
    with Image.open(io.BytesIO(httpx.get(url).content)) as picture:
        return np.asarray(picture.convert("RGB"), np.int16)


def test_waiting_jobs_of_a_deleted_product_fail_and_done_ones_stay(shop: Shop) -> None:
    client = shop.client
    product = made(client.post("/products", json=PRODUCT))["id"]
    done = client.post("/tools/remove-bg", json={"productId": product}, headers=LATER).json()
    body = {"productId": product, "scene": "studio", "count": 8}
    waiting = client.post("/generations", json=body).json()["variants"]

    assert client.delete(f"/products/{product}").status_code == 204

    for id in waiting:
        record = client.get(f"/generations/{id}").json()
        assert (record["status"], record["error"]["code"]) == ("failed", "product_deleted")
    kept = client.get(f"/generations/{done['id']}").json()
    assert kept["status"] == "completed"
    assert httpx.get(kept["resultImagePath"]).status_code == 200
    again = client.post("/tools/remove-bg", json={"productId": product})
    assert (again.status_code, again.json()["code"]) == (404, "product_not_found")


@pytest.mark.parametrize(
    ("format", "magic"),
    [("png", b"\x89PNG"), ("jpeg", b"\xff\xd8\xff"), ("jpg", b"\xff\xd8\xff"), ("webp", b"RIFF"), ("tiff", b"II*")],
)
def test_a_result_has_the_format_that_was_asked_for(format: str, magic: bytes, shop: Shop) -> None:
    record = cut_out(shop, LATER, format=format, background="white").json()

    assert record["status"] == "completed", record["error"]
    assert httpx.get(record["resultImagePath"]).content.startswith(magic)


def test_a_print_says_its_size_and_the_address_its_kind(shop: Shop) -> None:
    record = cut_out(shop, LATER, format="tiff", dpi=300).json()

    assert (record["status"], record["dpi"]) == ("completed", 300), record["error"]
    assert record["fidelity"]["maxDifference"] == 0
    answer = httpx.get(record["resultImagePath"])
    assert answer.headers["content-type"] == "image/tiff"
    from io import BytesIO

    from PIL import Image

    assert Image.open(BytesIO(answer.content)).info["dpi"] == (300, 300)


# --- webhooks ---------------------------------------------------------------------------------------


class Receiver(http.server.BaseHTTPRequestHandler):
    """Keeps what it is sent; refuses the first of all deliveries."""

    received: ClassVar[list[tuple[dict[str, str], bytes]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.received.append((dict(self.headers.items()), body))
        self.send_response(500 if len(self.received) == 1 else 204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Keep the tests' output quiet."""


@pytest.fixture
def receiver() -> Iterator[str]:
    Receiver.received = []
    listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{listener.server_port}/hook"
    listener.shutdown()


@pytest.mark.slow
def test_a_webhook_is_signed_tried_again_and_survives_a_kill(receiver: str) -> None:
    with Server(webhooks__allow_private=True) as server:
        key = server.create_key()
        with server.client(key) as client:
            product = made(client.post("/products", json=PRODUCT))["id"]
            body = {"productId": product, "webhookUrl": receiver}
            record = client.post("/tools/remove-bg", json=body, headers=LATER).json()
        server.wait_until(lambda: len(Receiver.received) == 1, 30, "no webhook")
        server.kill9_api()
        server.restart()
        server.wait_until(lambda: len(Receiver.received) == 2, 60, "no second try")

        secret = secret_of(server)
    first, second = Receiver.received
    assert first[0]["webhook-id"] == second[0]["webhook-id"]
    event = Webhook(secret).verify(second[1], {name.lower(): value for name, value in second[0].items()})
    assert event["type"] == "generation.completed"
    assert (event["data"]["id"], event["data"]["status"]) == (record["id"], "completed")
    assert event["data"]["resultImagePath"].startswith(f"{server.url}/files/")


def secret_of(server: Server) -> str:
    import sqlite3

    with sqlite3.connect(f"file:{server.home / 'pergai.db'}?mode=ro", uri=True) as database:
        return str(database.execute("SELECT webhook_secret FROM library WHERE name = 'default'").fetchone()[0])
