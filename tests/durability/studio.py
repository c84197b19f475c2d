"""A library with a small photo, clients that do not give up, and the check that nothing was lost and nothing came twice.

Clients may also change their minds: what they cancelled, and the jobs of a product they deleted, may end as failed with that
reason, and nothing else may.
"""

from __future__ import annotations

import io
import itertools
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
FEW = 12
"""Orders: three times what an engine on a CPU holds at once."""


def small_photo(width: int = 150) -> bytes:
    """A cup of coffee, two thirds as high as wide."""
    file = io.BytesIO()
    Image.fromarray(skimage.data.coffee()).resize((width, width * 2 // 3)).save(file, "PNG")
    return file.getvalue()


@dataclass
class Studio:
    """One library of a server, and what it was promised."""

    server: Server
    key: str
    image_path: str
    """Of the photo that `product` is made from."""
    product: str
    """Never deleted."""
    passing: list[str] = field(default_factory=list)
    """Products that may be deleted while orders for them are under way."""
    promised: set[str] = field(default_factory=set)
    """Ids of generations that were answered 2xx."""
    cancelled: set[str] = field(default_factory=set)
    """Ids of generations that somebody tried to cancel."""
    deleted: set[str] = field(default_factory=set)
    """Ids of products that somebody tried to delete."""
    ends: dict[str, str] = field(default_factory=dict)
    """How each generation was first seen to have ended: "completed", or its error's code."""
    patience_seconds: float = PATIENCE_SECONDS

    def client(self) -> httpx.Client:
        return self.server.client(self.key)

    # --- what clients do ---------------------------------------------------------------------------

    def order(self, number: int, product: str = "") -> str:
        """Ask for one cut-out, again and again with the same Idempotency-Key, until the server promises it; its id. Without a
        `product`, every third is for a passing one, if there is any."""
        colour = f"#{number * 65_793 % 2**24:06x}"
        choice = [*self.passing] if number % 3 == 2 else []
        product = product or (choice[number % len(choice)] if choice else self.product)
        return self._promise("/tools/remove-bg", productId=product, background=colour) or self.order(number)

    def rerun(self, record: dict[str, Any]) -> str:
        """Ask for an ended generation once more; the new one's id, "" when its product is deleted."""
        return self._promise(f"/generations/{record['id']}/rerun", productId=record["productId"])

    def cancel(self, id: str) -> str:
        """How it has ended by the time the cancellation is answered: for good."""
        self.cancelled.add(id)
        record = self.persist(lambda client: client.post(f"/generations/{id}/cancel")).json()
        assert self.note(record), record
        return self.ends[id]

    def add_product(self, *, own_photo: bool) -> None:
        """A passing product, with a photo of its own or the one of `product`."""
        path = self.image_path
        if own_photo:
            files = {"file": ("cup.png", small_photo(), "image/png")}
            path = self.persist(lambda client: client.post("/uploads", files=files)).json()["imagePath"]
        body = {"name": "Passing", "category": "home", "imagePath": path}
        self.passing.append(self.persist(lambda client: client.post("/products", json=body)).json()["id"])

    def delete_product(self, id: str) -> int:
        """How many jobs failed by it. When the answer is there, none of its jobs is waiting or running any more."""
        self.passing.remove(id)
        self.deleted.add(id)
        attempts = 0

        def ask(client: httpx.Client) -> httpx.Response:
            nonlocal attempts
            attempts += 1
            return client.delete(f"/products/{id}")

        answer = self.persist(ask, or_refused="product_not_found")
        assert answer.is_success or attempts > 1, answer.text
        records = self.records(productId=id)
        assert all(map(self.note, records)), records
        return sum(self.ends[record["id"]] == "product_deleted" for record in records)

    def persist(self, ask: Callable[[httpx.Client], httpx.Response], *, or_refused: str = "") -> httpx.Response:
        """The first answer that is no "come back later": a success, or a refusal with the code `or_refused`."""
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
            assert answer.is_success or answer.json()["code"] == or_refused, answer.text
            return answer
        raise AssertionError(f"the server did not answer:\n{self.server.log_end()}")

    def _promise(self, path: str, **body: str) -> str:
        """The id of the generation that a request makes; "" when its product is one that somebody deleted."""
        headers = {"Idempotency-Key": str(uuid4()), "Prefer": "wait=0"}
        answer = self.persist(
            lambda client: client.post(path, json=body, headers=headers), or_refused="product_not_found"
        )
        if answer.is_success:
            id = str(answer.json()["id"])
            self.promised.add(id)
            return id
        assert body["productId"] in self.deleted, answer.text
        return ""

    # --- what they see -----------------------------------------------------------------------------

    def records(self, **filters: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.persist(lambda client: client.get("/generations", params=filters)).json()
        return found

    def note(self, record: dict[str, Any]) -> bool:
        """Whether it has ended. Raises AssertionError when it had ended otherwise before, or for a reason nobody gave."""
        if record["status"] not in ("completed", "failed"):
            assert record["id"] not in self.ends, (self.ends[record["id"]], record)
            return False
        end = record["error"]["code"] if record["status"] == "failed" else "completed"
        assert self.ends.setdefault(record["id"], end) == end, (self.ends[record["id"]], record)
        assert (
            end == "completed"
            or (end == "cancelled" and record["id"] in self.cancelled)
            or (end == "product_deleted" and record["productId"] in self.deleted)
        ), record["error"]
        return True

    def count_generations(self) -> int:
        return self._count("SELECT count(*) FROM generation")

    def ended(self) -> int:
        """How many have ended, read from the database itself: it answers also while the server is down."""
        return self._count("SELECT count(*) FROM generation WHERE status IN ('completed', 'failed')")

    def completed(self) -> int:
        return self._count("SELECT count(*) FROM generation WHERE status = 'completed'")

    def waiting(self) -> int:
        return len(self.promised) - self.ended()

    def processing(self) -> int:
        return self._count("SELECT count(*) FROM generation WHERE status = 'processing'")

    def wait_for_ended(self, count: int) -> None:
        self.wait_until(lambda: self.ended() >= count, f"fewer than {count} have ended")

    def wait_until(self, true: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + self.patience_seconds
        while not true():
            assert time.monotonic() < deadline, f"{what}:\n{self.server.log_end()}"
            time.sleep(0.05)

    # --- what must be true -------------------------------------------------------------------------

    def check_nothing_lost_and_nothing_twice(self) -> None:
        """Every promise is kept: one row, completed with its own whole file, or ended without one because a client wanted it
        so; there are no others, every file has its row and every row its file."""
        self.wait_for_ended(len(self.promised))
        records = self.records()
        assert sorted(record["id"] for record in records) == sorted(self.promised)
        assert all(map(self.note, records))
        with self.client() as client:
            for record in records:
                if record["status"] == "failed":
                    assert record["resultImagePath"] is None, record
                    continue
                with Image.open(io.BytesIO(client.get(record["resultImagePath"]).content)) as picture:
                    picture.load()
                    assert picture.size == (150, 100)
        done = sorted(id for id, end in self.ends.items() if end == "completed")
        library = self.server.home / "files" / "default"
        on_disk = [path for kind in ("generations", "uploads") for path in library.glob(f"{kind}/*")]
        assert sorted(path.stem for path in on_disk if path.parent.name == "generations") == done
        rows = self._rows("SELECT key FROM image WHERE key LIKE 'generations/%' OR key LIKE 'uploads/%'")
        assert sorted(key for (key,) in rows) == sorted(str(path.relative_to(library)) for path in on_disk)
        assert self._count("SELECT count(DISTINCT result_key) FROM generation") == len(done)
        without = "SELECT count(*) FROM product WHERE (library, image_key) NOT IN (SELECT library, key FROM image)"
        assert self._count(without) == 0, "a product without its picture"
        products = {product["id"] for product in self.persist(lambda client: client.get("/products")).json()}
        assert {self.product, *self.passing} <= products
        assert not products & self.deleted

    def _count(self, query: str) -> int:
        return int(self._rows(query)[0][0])

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        with sqlite3.connect(f"file:{self.server.home / 'pergai.db'}?mode=ro", uri=True, timeout=30) as database:
            return database.execute(query).fetchall()


def open_studio(server: Server) -> Studio:
    key = server.create_key()
    with server.client(key) as client:
        uploaded = client.post("/uploads", files={"file": ("cup.png", small_photo(), "image/png")})
        assert uploaded.status_code == 201, uploaded.text
        path = uploaded.json()["imagePath"]
        product = client.post("/products", json={"name": "Cup", "category": "home", "imagePath": path})
        assert product.status_code == 201, product.text
    return Studio(server, key, path, product.json()["id"])


class Orders(threading.Thread):
    """Orders cut-outs from several clients in the background: so many at once, or, without a `count`, until `finish`, with a few
    waiting all the time."""

    def __init__(self, studio: Studio, count: int | None = None, clients: int = 5) -> None:
        super().__init__(daemon=True)
        self._studio = studio
        self._paced = count is None
        self._numbers = itertools.count() if count is None else iter(range(count))
        self._lock = threading.Lock()
        self._clients = clients
        self._over = threading.Event()
        self._failures: list[BaseException] = []

    def run(self) -> None:
        workers = [threading.Thread(target=self._order_some, daemon=True) for _ in range(self._clients)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    def finish(self) -> None:
        """Wait until all are promised. Raises what a client met."""
        self._over.set()
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
            while self._paced and not self._over.is_set() and self._studio.waiting() >= FEW:
                time.sleep(0.05)
            return None if self._paced and self._over.is_set() else next(self._numbers, None)
