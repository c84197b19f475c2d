"""One library's key tries everything on another library. The matrix has a row for every route of the server's own OpenAPI
document: a new route without one fails here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest
from server import API, Server
from shop import PRODUCT, Shop

Ask = Callable[[httpx.Client, Shop], httpx.Response]
"""A request by the client that uses the other library's ids."""


@dataclass(frozen=True)
class Refused:
    """Names a record of the other library, and must not find it."""

    ask: Ask
    code: str


@dataclass(frozen=True)
class Own:
    """A list, which must not show the other library's records."""

    ask: Ask


@dataclass(frozen=True)
class Shared:
    """The same for every key: nothing of a library is in it."""

    ask: Ask


@dataclass(frozen=True)
class Makes:
    """Makes something new, which must be in the caller's own library."""

    ask: Ask


@dataclass(frozen=True)
class Open:
    """Needs no key."""

    path: str


Row = Refused | Own | Shared | Makes | Open


def own_product(client: httpx.Client) -> str:
    """Of the asking library; any id when it may not be asked."""
    answer = client.get("/products", params={"limit": 1})
    return str(answer.json()[0]["id"]) if answer.status_code == 200 else "0197f5a0-4c8e-7d3a-9b6f-2f6f3c1e8a55"


MATRIX: dict[tuple[str, str], list[Row]] = {
    ("GET", "/products"): [
        Own(lambda client, other: client.get("/products")),
        Own(lambda client, other: client.get("/products", params={"limit": 100})),
        Own(lambda client, other: client.get("/products", params={"limit": 1, "cursor": other.product["id"]})),
    ],
    ("POST", "/products"): [
        Makes(lambda client, other: client.post("/products", json=PRODUCT)),
        Refused(
            lambda client, other: client.post("/products", json=PRODUCT | {"imagePath": result_key(other)}),
            "invalid_request",
        ),
        Refused(
            lambda client, other: client.post(
                "/products", json=PRODUCT | {"imagePath": other.generation["resultImagePath"][:300]}
            ),
            "invalid_request",
        ),
        Refused(
            lambda client, other: client.post(
                "/products", json=PRODUCT | {"imagePath": f"../default/{result_key(other)}"}
            ),
            "invalid_request",
        ),
    ],
    ("GET", "/products/{product_id}"): [
        Refused(lambda client, other: client.get(f"/products/{other.product['id']}"), "product_not_found"),
    ],
    ("DELETE", "/products/{product_id}"): [
        Refused(lambda client, other: client.delete(f"/products/{other.product['id']}"), "product_not_found"),
    ],
    ("GET", "/categories"): [Shared(lambda client, other: client.get("/categories"))],
    ("GET", "/templates"): [Shared(lambda client, other: client.get("/templates"))],
    ("GET", "/presets"): [Shared(lambda client, other: client.get("/presets"))],
    ("GET", "/brand-kit"): [Own(lambda client, other: client.get("/brand-kit"))],
    ("PUT", "/brand-kit"): [Own(lambda client, other: client.put("/brand-kit", json={}))],
    ("GET", "/providers"): [Shared(lambda client, other: client.get("/providers"))],
    ("POST", "/uploads"): [
        Makes(lambda client, other: client.post("/uploads", files={"file": ("x.png", small_png(), "image/png")})),
    ],
    ("GET", "/generations"): [
        Own(lambda client, other: client.get("/generations")),
        Own(lambda client, other: client.get("/generations", params={"productId": other.product["id"]})),
        Own(lambda client, other: client.get("/generations", params={"requestId": other.generation["requestId"]})),
        Own(lambda client, other: client.get("/generations", params={"limit": 1, "cursor": other.generation["id"]})),
    ],
    ("POST", "/generations"): [
        Refused(
            lambda client, other: client.post(
                "/generations", json={"productId": other.product["id"], "scene": "studio"}
            ),
            "product_not_found",
        ),
        Refused(
            lambda client, other: client.post(
                "/generations", json={"productIds": [own_product(client), other.product["id"]], "scene": "studio"}
            ),
            "product_not_found",
        ),
    ],
    ("GET", "/generations/{generation_id}"): [
        Refused(lambda client, other: client.get(f"/generations/{other.generation['id']}"), "generation_not_found"),
    ],
    ("POST", "/generations/{generation_id}/cancel"): [
        Refused(
            lambda client, other: client.post(f"/generations/{other.generation['id']}/cancel"), "generation_not_found"
        ),
    ],
    ("POST", "/generations/{generation_id}/rerun"): [
        Refused(
            lambda client, other: client.post(f"/generations/{other.generation['id']}/rerun"), "generation_not_found"
        ),
    ],
    ("GET", "/generations/{generation_id}/events"): [
        Refused(
            lambda client, other: client.get(f"/generations/{other.generation['id']}/events"), "generation_not_found"
        ),
    ],
    ("GET", "/collections"): [
        Own(lambda client, other: client.get("/collections")),
        Own(lambda client, other: client.get("/collections", params={"limit": 1, "cursor": other.collection["id"]})),
    ],
    ("POST", "/collections"): [Makes(lambda client, other: client.post("/collections", json={"name": "Mine"}))],
    ("GET", "/collections/{collection_id}"): [
        Refused(lambda client, other: client.get(f"/collections/{other.collection['id']}"), "collection_not_found"),
    ],
    ("DELETE", "/collections/{collection_id}"): [
        Refused(lambda client, other: client.delete(f"/collections/{other.collection['id']}"), "collection_not_found"),
    ],
    ("POST", "/collections/{collection_id}/items"): [
        Refused(
            lambda client, other: client.post(
                f"/collections/{other.collection['id']}/items", json={"generationId": other.generation["id"]}
            ),
            "collection_not_found",
        ),
        Refused(
            lambda client, other: client.post(
                f"/collections/{own_collection(client)}/items", json={"generationId": other.generation["id"]}
            ),
            "generation_not_found",
        ),
    ],
    ("DELETE", "/collections/{collection_id}/items/{item_id}"): [
        Refused(
            lambda client, other: client.delete(f"/collections/{other.collection['id']}/items/{other.item['id']}"),
            "collection_not_found",
        ),
        Refused(
            lambda client, other: client.delete(f"/collections/{own_collection(client)}/items/{other.item['id']}"),
            "generation_not_found",
        ),
    ],
    ("GET", "/collections/{collection_id}/download"): [
        Refused(
            lambda client, other: client.get(f"/collections/{other.collection['id']}/download"), "collection_not_found"
        ),
    ],
    **{
        ("POST", f"/tools/{tool}"): [
            Refused(
                lambda client, other, tool=tool, more=more: client.post(  # type: ignore[misc]
                    f"/tools/{tool}", json={"productId": other.product["id"], **more}
                ),
                "product_not_found",
            )
        ]
        for tool, more in {"remove-bg": {}, "upscale": {}, "expand": {"ratio": "1:1"}}.items()
    },
}
OPEN = {
    ("GET", "/healthz"): Open("/healthz"),
    ("GET", "/readyz"): Open("/readyz"),
    ("GET", "/metrics"): Open("/metrics"),
}
SIGNED = {("GET", "/files/{path}")}
"""Needs a signature, which names library and file; test_files.py tries to bend one."""


@pytest.fixture(scope="session")
def routes(server: Server) -> dict[tuple[str, str], dict[str, Any]]:
    document = httpx.get(server.url + "/schema/openapi.json").json()
    return {
        (method.upper(), path): operation
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }


def test_every_route_has_a_row(routes: dict[tuple[str, str], Any]) -> None:
    rows = {(method, API + path) for method, path in MATRIX} | set(OPEN) | SIGNED

    assert set(routes) == rows


REFUSED = [(route, row) for route, rows in MATRIX.items() for row in rows if isinstance(row, Refused)]
LISTS = [(route, row) for route, rows in MATRIX.items() for row in rows if isinstance(row, Own)]
SHARED = [(route, row) for route, rows in MATRIX.items() for row in rows if isinstance(row, Shared)]
MAKERS = [(route, row) for route, rows in MATRIX.items() for row in rows if isinstance(row, Makes)]
EVERY = [(route, row) for route, rows in MATRIX.items() for row in rows]


def name(value: object) -> str:
    return " ".join(value) if isinstance(value, tuple) else ""


@pytest.mark.parametrize(("route", "row"), REFUSED, ids=name)
def test_another_librarys_record_is_not_found(
    route: tuple[str, str], row: Refused, shop: Shop, other_shop: Shop
) -> None:
    for mine, theirs in ((other_shop, shop), (shop, other_shop)):
        answer = row.ask(mine.client, theirs)
        assert answer.status_code == (422 if row.code == "invalid_request" else 404), answer.text
        assert answer.json()["code"] == row.code
        assert traces(answer, theirs) == []


@pytest.mark.parametrize(("route", "row"), LISTS, ids=name)
def test_a_list_shows_nothing_of_another_library(
    route: tuple[str, str], row: Own, shop: Shop, other_shop: Shop
) -> None:
    for mine, theirs in ((other_shop, shop), (shop, other_shop)):
        answer = row.ask(mine.client, theirs)
        assert answer.status_code in (200, 422), answer.text
        assert traces(answer, theirs) == []


@pytest.mark.parametrize(("route", "row"), SHARED, ids=name)
def test_what_is_shared_is_the_same_for_both(route: tuple[str, str], row: Shared, shop: Shop, other_shop: Shop) -> None:
    one, other = row.ask(shop.client, other_shop), row.ask(other_shop.client, shop)

    assert one.status_code == other.status_code == 200
    assert [entry.get("id", entry.get("name")) for entry in one.json()] == [
        entry.get("id", entry.get("name")) for entry in other.json()
    ]
    assert traces(one, shop) == traces(one, other_shop) == []


@pytest.mark.parametrize(("route", "row"), MAKERS, ids=name)
def test_what_one_makes_the_other_does_not_see(
    route: tuple[str, str], row: Makes, shop: Shop, other_shop: Shop
) -> None:
    answer = row.ask(other_shop.client, shop)

    assert answer.status_code == 201, answer.text
    if (id := answer.json().get("id")) is not None:
        assert other_shop.client.get(f"{route[1]}/{id}").status_code == 200
        assert shop.client.get(f"{route[1]}/{id}").status_code == 404
    else:
        body = PRODUCT | {"imagePath": answer.json()["imagePath"]}
        assert shop.client.post("/products", json=body).status_code == 422
        assert other_shop.client.post("/products", json=body).status_code == 201


@pytest.mark.parametrize(("route", "row"), EVERY, ids=name)
def test_without_a_key_nothing_is_answered(route: tuple[str, str], row: Any, server: Server, shop: Shop) -> None:
    for headers in ({}, {"Authorization": "Bearer pk_wrong"}, {"Authorization": f"Basic {shop.key}"}):
        with httpx.Client(base_url=server.url + API, headers=headers) as nobody:
            answer = row.ask(nobody, shop)
        assert answer.status_code == 401, answer.text
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.json()["code"] == "unauthorized"


def test_a_read_only_key_reads_and_changes_nothing(server: Server, shop: Shop) -> None:
    with server.client(server.create_key("reader", read_only=True)) as reader:
        for (method, path), rows in MATRIX.items():
            answer = rows[0].ask(reader, shop)  # type: ignore[union-attr]
            if method == "GET":
                assert answer.status_code == 200, f"{path}: {answer.text}"
            else:
                assert (answer.status_code, answer.json().get("code")) == (403, "read_only_key"), path


def test_a_revoked_key_opens_nothing_any_more(server: Server) -> None:
    key = server.create_key("short-lived")
    with server.client(key) as client:
        assert client.get("/products").status_code == 200
        listed = server.command("keys", "list").stdout.splitlines()
        id = next(line.split()[0] for line in listed if "short-lived" in line)
        server.command("keys", "revoke", id)
        assert client.get("/products").status_code == 401


def test_an_open_route_tells_nothing_of_a_library(server: Server, shop: Shop, other_shop: Shop) -> None:
    for row in OPEN.values():
        answer = httpx.get(server.url + row.path)
        assert answer.status_code == 200
        assert traces(answer, shop) == traces(answer, other_shop) == []


def test_after_all_of_this_both_libraries_are_as_they_were(shop: Shop, other_shop: Shop) -> None:
    for each in (shop, other_shop):
        assert each.client.get(f"/products/{each.product['id']}").status_code == 200
        assert each.client.get(f"/generations/{each.generation['id']}").json()["status"] == "completed"
        kept = each.client.get(f"/collections/{each.collection['id']}").json()
        assert [item["id"] for item in kept["items"]] == [each.item["id"]]


def traces(answer: httpx.Response, shop: Shop) -> list[str]:
    """Which ids of a library an answer shows, but for those that were asked for."""
    ids = [shop.product["id"], shop.generation["id"], shop.collection["id"], shop.item["id"], shop.key]
    asked = str(answer.request.url) + answer.request.read().decode(errors="replace")
    return [id for id in ids if id in answer.text and id not in asked]


def result_key(shop: Shop) -> str:
    """The key of a result inside its library, as its signed URL shows it."""
    return httpx.URL(shop.generation["resultImagePath"]).path.removeprefix("/files/").partition("/")[2]


def own_collection(client: httpx.Client) -> str:
    """A new collection of the caller's; an id of none when the caller may not make one."""
    id: str = client.post("/collections", json={"name": "Own"}).json().get("id", str(uuid4()))
    return id


def small_png() -> bytes:
    from io import BytesIO

    from PIL import Image

    file = BytesIO()
    Image.new("RGB", (64, 48), "teal").save(file, "PNG")
    return file.getvalue()
