"""One running server for all contract tests, two libraries in it, and what most tests need to have."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from server import Server
from shop import Shop, furnish


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


@pytest.fixture(scope="session")
def shop(key: str, client: httpx.Client) -> Shop:
    return furnish(key, client)


@pytest.fixture(scope="session")
def other_shop(server: Server) -> Iterator[Shop]:
    """Another library."""
    key = server.create_key("other", library="other")
    with server.client(key) as client:
        yield furnish(key, client)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """A failed test shows what the server logged meanwhile."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    running = getattr(item, "funcargs", {}).get("server")
    if report.failed and running is not None:
        report.sections.append(("server log", running.log_end(15)))
