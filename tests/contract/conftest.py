"""One running server for all contract tests, two libraries in it, and what most tests need to have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from server import Server


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


@pytest.fixture(scope="session")
def key(server: Server) -> str:
    """Opens the library `default`."""
    return server.create_key("contract")


@pytest.fixture(scope="session")
def client(server: Server, key: str) -> Iterator[httpx.Client]:
    with server.client(key) as client:
        yield client


@dataclass(frozen=True)
class Shop:
    """A library with one of everything."""

    key: str
    client: httpx.Client
    product: dict[str, Any]
    generation: dict[str, Any]
    """Completed."""
    collection: dict[str, Any]
    item: dict[str, Any]


@pytest.fixture(scope="session")
def shop(key: str, client: httpx.Client) -> Shop:
    return furnish(key, client)


@pytest.fixture(scope="session")
def other_shop(server: Server) -> Iterator[Shop]:
    """Another library."""
    key = server.create_key("other", library="other")
    with server.client(key) as client:
        yield furnish(key, client)


def furnish(key: str, client: httpx.Client) -> Shop:
    product = made(client.post("/products", json=PRODUCT))
    generation = made(client.post("/tools/remove-bg", json={"productId": product["id"]}), 200)
    assert generation["status"] == "completed", generation
    collection = made(client.post("/collections", json={"name": "Summer Collection"}))
    item = made(client.post(f"/collections/{collection['id']}/items", json={"generationId": generation["id"]}))
    return Shop(key, client, product, generation, collection, item)


PRODUCT = {"name": "Classic T-Shirt", "category": "clothing", "imagePath": "products/sample.png"}


def made(answer: httpx.Response, status: int = 201) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    return body


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """A failed test shows what the server logged meanwhile."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    running = getattr(item, "funcargs", {}).get("server")
    if report.failed and running is not None:
        report.sections.append(("server log", running.log_end(15)))
