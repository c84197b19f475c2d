"""A library with a small photo, clients that do not give up, and the check that nothing was lost and nothing came twice."""

from __future__ import annotations

import io
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import skimage.data
from PIL import Image
from server import Server

PATIENCE_SECONDS = 120


def small_photo() -> bytes:
    """A cup of coffee, 150x100."""
    file = io.BytesIO()
    Image.fromarray(skimage.data.coffee()).resize((150, 100)).save(file, "PNG")
    return file.getvalue()


@dataclass
class Studio:
    """One library of a server, and what it was promised."""

    server: Server
    key: str
    product: str
    promised: set[str] = field(default_factory=set)
    """Ids of generations that were answered 2xx."""
    patience_seconds: float = PATIENCE_SECONDS

    def client(self) -> httpx.Client:
        return self.server.client(self.key)

    def order(self, number: int) -> None:
        """Ask for one cut-out, again and again with the same Idempotency-Key, until the server promises it."""
        colour = f"#{number * 65_793 % 2**24:06x}"
        ask = {
            "json": {"productId": self.product, "background": colour},
            "headers": {"Idempotency-Key": str(uuid4()), "Prefer": "wait=0"},
        }
        answer = self.persist(lambda client: client.post("/tools/remove-bg", **ask))
        self.promised.add(answer.json()["id"])

    def persist(self, ask: Callable[[httpx.Client], httpx.Response]) -> httpx.Response:
        """The first answer that is no "come back later"."""
        deadline = time.monotonic() + self.patience_seconds
        while time.monotonic() < deadline:
            try:
                with self.client() as client:
                    answer = ask(client)
            except httpx.TransportError:
                time.sleep(0.1)
                continue
            if answer.status_code in (409, 429, 503):
                assert "retry-after" in answer.headers, answer.text
                time.sleep(0.1)
                continue
            assert answer.is_success, answer.text
            return answer
        raise AssertionError(f"the server did not answer:\n{self.server.log_end()}")

    def records(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.persist(lambda client: client.get("/generations")).json()
        return found

    def count_generations(self) -> int:
        return self._count("SELECT count(*) FROM generation")

    def ended(self) -> int:
        """How many have ended, read from the database itself: it answers also while the server is down."""
        return self._count("SELECT count(*) FROM generation WHERE status IN ('completed', 'failed')")

    def wait_for_ended(self, count: int) -> None:
        deadline = time.monotonic() + self.patience_seconds
        while (ended := self.ended()) < count:
            assert time.monotonic() < deadline, f"{ended} of {count} ended:\n{self.server.log_end()}"
            time.sleep(0.05)

    def check_nothing_lost_and_nothing_twice(self) -> None:
        """Every promise is kept: one row, completed, with its own whole file; and there are no others."""
        self.wait_for_ended(len(self.promised))
        records = self.records()
        assert sorted(record["id"] for record in records) == sorted(self.promised)
        for record in records:
            assert record["status"] == "completed", record["error"]
            data = httpx.get(record["resultImagePath"]).content
            with Image.open(io.BytesIO(data)) as picture:
                picture.load()
                assert picture.size == (150, 100)
        on_disk = [path.stem for path in (self.server.home / "files").rglob("generations/*")]
        assert sorted(on_disk) == sorted(self.promised)
        assert self._count("SELECT count(*) FROM image WHERE key LIKE 'generations/%'") == len(self.promised)
        assert self._count("SELECT count(DISTINCT result_key) FROM generation") == len(self.promised)

    def _count(self, query: str) -> int:
        with sqlite3.connect(f"file:{self.server.home / 'pergai.db'}?mode=ro", uri=True, timeout=30) as database:
            return int(database.execute(query).fetchone()[0])


def open_studio(server: Server) -> Studio:
    key = server.create_key()
    with server.client(key) as client:
        uploaded = client.post("/uploads", files={"file": ("cup.png", small_photo(), "image/png")})
        assert uploaded.status_code == 201, uploaded.text
        body = {"name": "Cup", "category": "home", "imagePath": uploaded.json()["imagePath"]}
        product = client.post("/products", json=body)
        assert product.status_code == 201, product.text
    return Studio(server, key, product.json()["id"])


class Orders(threading.Thread):
    """Orders so many cut-outs at once, from several clients, in the background."""

    def __init__(self, studio: Studio, count: int, clients: int = 5) -> None:
        super().__init__(daemon=True)
        self._studio = studio
        self._numbers = iter(range(count))
        self._lock = threading.Lock()
        self._clients = clients
        self._failures: list[BaseException] = []

    def run(self) -> None:
        workers = [threading.Thread(target=self._order_some, daemon=True) for _ in range(self._clients)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    def finish(self) -> None:
        """Wait until all are promised. Raises what a client met."""
        self.join(2 * self._studio.patience_seconds)
        assert not self.is_alive()
        if self._failures:
            raise self._failures[0]

    def _order_some(self) -> None:
        try:
            while (number := self._next()) is not None:
                self._studio.order(number)
        except BaseException as error:
            self._failures.append(error)

    def _next(self) -> int | None:
        with self._lock:
            return next(self._numbers, None)
