"""Lists: plain arrays, newest first; pages with a Link to the next; filters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from server import Server
from shop import PRODUCT, made


@pytest.fixture(scope="module")
def shelf(server: Server) -> Iterator[tuple[httpx.Client, list[str]]]:
    """A library with twelve products of two categories, the newest first."""
    with server.client(server.create_key(library="shelf")) as client:
        made_ids = [
            made(
                client.post("/products", json=PRODUCT | {"name": str(n), "category": ("clothing", "home")[n % 3 == 0]})
            )["id"]
            for n in range(12)
        ]
        yield client, made_ids[::-1]


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [row["id"] for row in answer.json()]


def pages(client: httpx.Client, path: str, **parameters: Any) -> Iterator[httpx.Response]:
    answer = client.get(path, params=parameters)
    yield answer
    while "next" in answer.links:
        answer = client.get(httpx.URL(str(answer.url)).join(answer.links["next"]["url"]))
        yield answer


def test_without_a_limit_all_come_newest_first(shelf: tuple[httpx.Client, list[str]]) -> None:
    client, expected = shelf

    assert ids(client.get("/products")) == expected


@pytest.mark.parametrize("limit", [1, 5, 6, 11, 12, 13, 500])
def test_the_pages_of_any_size_make_the_whole(limit: int, shelf: tuple[httpx.Client, list[str]]) -> None:
    client, expected = shelf
    answers = list(pages(client, "/products", limit=limit))

    assert [id for answer in answers for id in ids(answer)] == expected
    assert all(len(ids(answer)) == limit for answer in answers[:-1])
    assert len(ids(answers[-1])) >= 1


def test_a_page_is_not_disturbed_by_what_is_made_meanwhile(server: Server) -> None:
    with server.client(server.create_key(library="busy")) as client:
        first = [made(client.post("/products", json=PRODUCT))["id"] for _ in range(4)]
        walk = pages(client, "/products", limit=2)
        seen = ids(next(walk))
        made(client.post("/products", json=PRODUCT))
        client.delete(f"/products/{seen[-1]}")
        seen += [id for answer in walk for id in ids(answer)]

    assert seen == first[::-1]


def test_a_filter_holds_through_all_pages(shelf: tuple[httpx.Client, list[str]]) -> None:
    client, expected = shelf
    home = ids(client.get("/products", params={"category": "home"}))

    assert len(home) == 4 and home == [id for id in expected if id in home]
    paged = [id for answer in pages(client, "/products", limit=1, category="home") for id in ids(answer)]
    assert paged == home


def test_an_empty_list_is_an_empty_array(server: Server) -> None:
    with server.client(server.create_key(library="empty")) as client:
        for path in ("/products", "/generations", "/collections"):
            for parameters in ({}, {"limit": 5}):
                answer = client.get(path, params=parameters)
                assert (answer.status_code, answer.json()) == (200, [])
                assert "link" not in answer.headers


def test_generations_are_filtered_by_status_kind_and_product(server: Server) -> None:
    with server.client(server.create_key(library="filters")) as client:
        products = [made(client.post("/products", json=PRODUCT))["id"] for _ in range(2)]
        done = client.post("/tools/remove-bg", json={"productId": products[0]}).json()["id"]
        scene = client.post("/generations", json={"productId": products[1], "scene": "studio"}).json()["id"]
        client.post(f"/generations/{scene}/cancel")

        assert ids(client.get("/generations", params={"status": "completed"})) == [done]
        assert ids(client.get("/generations", params={"status": "failed"})) == [scene]
        assert ids(client.get("/generations", params={"kind": "scene"})) == [scene]
        assert ids(client.get("/generations", params={"productId": products[0]})) == [done]
        assert ids(client.get("/generations", params={"productId": products[0], "kind": "scene"})) == []
        assert client.get("/generations", params={"status": "lost"}).status_code == 422
        assert client.get("/generations", params={"productId": "x"}).status_code == 422


def test_a_collections_preview_shows_the_four_newest_items(server: Server) -> None:
    with server.client(server.create_key(library="album")) as client:
        product = made(client.post("/products", json=PRODUCT))["id"]
        collection = made(client.post("/collections", json={"name": "Album"}))["id"]
        items = []
        for colour in ("#000000", "#111111", "#222222", "#333333", "#444444"):
            body = {"productId": product, "background": colour}
            generation = client.post("/tools/remove-bg", json=body, headers={"Prefer": "wait=0"}).json()["id"]
            items.append(made(client.post(f"/collections/{collection}/items", json={"generationId": generation}))["id"])

        listed = client.get("/collections").json()[0]
        assert [item["id"] for item in listed["items"]] == items[:0:-1]
        assert listed["_count"] == {"items": 5}
        whole = client.get(f"/collections/{collection}").json()
        assert [item["id"] for item in whole["items"]] == items[::-1]

        assert client.delete(f"/collections/{collection}/items/{items[0]}").status_code == 204
        assert client.delete(f"/collections/{collection}/items/{items[0]}").status_code == 404
        assert client.get(f"/collections/{collection}").json()["_count"] == {"items": 4}
