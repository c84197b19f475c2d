"""Signed URLs over HTTP: whole, in parts, cached, by HEAD; and nothing for a URL that was bent."""

from __future__ import annotations

import random
from urllib.parse import urlsplit

import httpx
import pytest
from drills.bent_urls import none_opens_a_file
from server import Server
from shop import Shop

UNSIGNED = ["", "?", "?expires=9999999999", "?expires=9999999999&kid=x&signature=y"]


@pytest.fixture(scope="session")
def url(shop: Shop) -> str:
    """Of a result."""
    found: str = shop.generation["resultImagePath"]
    return found


@pytest.fixture(scope="session")
def picture(url: str) -> bytes:
    return httpx.get(url).content


def test_a_picture_needs_no_key_and_is_served_safely(url: str) -> None:
    answer = httpx.get(url)

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-length"] == str(len(answer.content))
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["accept-ranges"] == "bytes"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "private" in answer.headers["cache-control"]


def test_head_tells_the_same_without_the_body(url: str) -> None:
    got, head = httpx.get(url), httpx.head(url)

    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-type", "content-length", "etag", "last-modified", "accept-ranges", "cache-control"):
        assert head.headers[name] == got.headers[name], name


@pytest.mark.parametrize(
    ("wanted", "start", "stop"), [("0-0", 0, 1), ("0-99", 0, 100), ("100-", 100, None), ("-10", -10, None)]
)
def test_a_range_gives_that_part(wanted: str, start: int, stop: int | None, url: str, picture: bytes) -> None:
    answer = httpx.get(url, headers={"Range": f"bytes={wanted}"})

    assert answer.status_code == 206
    assert answer.content == picture[start:stop]
    first = start % len(picture)
    assert answer.headers["content-range"] == f"bytes {first}-{first + len(answer.content) - 1}/{len(picture)}"


def test_parts_make_the_whole(url: str, picture: bytes) -> None:
    etag = httpx.head(url).headers["etag"]
    step = len(picture) // 7 + 1

    parts = [
        httpx.get(url, headers={"Range": f"bytes={first}-{first + step - 1}", "If-Range": etag})
        for first in range(0, len(picture), step)
    ]

    assert {part.status_code for part in parts} == {206}
    assert b"".join(part.content for part in parts) == picture


def test_a_range_beyond_the_end_is_told_the_size(url: str, picture: bytes) -> None:
    answer = httpx.get(url, headers={"Range": f"bytes={len(picture)}-"})

    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(picture)}"
    assert answer.json()["code"] == "range_not_satisfiable"


def test_several_ranges_or_another_version_give_the_whole(url: str, picture: bytes) -> None:
    for headers in ({"Range": "bytes=0-1,5-6"}, {"Range": "bytes=0-1", "If-Range": '"older"'}, {"Range": "bytes=9-1"}):
        answer = httpx.get(url, headers=headers)
        assert (answer.status_code, answer.content) == (200, picture)


def test_what_a_browser_has_is_not_sent_again(url: str) -> None:
    first = httpx.get(url)

    for headers in ({"If-None-Match": first.headers["etag"]}, {"If-Modified-Since": first.headers["last-modified"]}):
        again = httpx.get(url, headers=headers)
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
    assert httpx.get(url, headers={"If-None-Match": '"other"'}).status_code == 200


def test_the_same_url_comes_out_again_so_that_a_browser_can_cache(shop: Shop) -> None:
    record = f"/generations/{shop.generation['id']}"
    first, second, third = (shop.client.get(record).json()["resultImagePath"] for _ in range(3))
    assert first == second or second == third  # an hour may end between two of them, and with it a URL's


@pytest.mark.parametrize("query", UNSIGNED)
def test_without_a_signature_no_file_is_opened(query: str, url: str, key: str) -> None:
    answer = httpx.get(url.partition("?")[0] + query, headers={"Authorization": f"Bearer {key}"})

    assert (answer.status_code, answer.json()["code"]) == (403, "invalid_signature")


def test_a_file_that_exists_and_one_that_does_not_are_refused_alike(server: Server, url: str) -> None:
    bent = url[:-1] + ("A" if url[-1] != "A" else "B")
    absent = f"{server.url}/files/default/generations/absent.png?{urlsplit(bent).query}"

    assert httpx.get(bent).content == httpx.get(absent).content


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_a_url_is_good_for_reading_only(method: str, url: str, picture: bytes) -> None:
    answer = httpx.request(method, url)

    assert answer.status_code == 405
    assert httpx.get(url).content == picture


def test_an_expired_url_says_so() -> None:
    """A server whose URLs live for three to six seconds."""
    from shop import PRODUCT, made

    with Server(storage__url_seconds=3) as server, server.client(server.create_key()) as client:
        url = made(client.post("/products", json=PRODUCT))["imagePath"]
        assert httpx.get(url).status_code == 200
        server.wait_until(lambda: httpx.get(url).status_code == 403, 20, "the URL is still valid")
        assert "expired" in httpx.get(url).json()["detail"]
        assert httpx.get(client.get("/products").json()[0]["imagePath"]).status_code == 200


def test_a_url_outlives_a_restart_and_the_server_that_signed_it() -> None:
    from shop import PRODUCT, made

    with Server() as server:
        with server.client(server.create_key()) as client:
            url = made(client.post("/products", json=PRODUCT))["imagePath"]
        server.kill9_api()
        server.restart()
        assert httpx.get(url).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/files/",
        "/files",
        "/files/default",
        "/files/../secrets.json",
        "/files/%2e%2e/secrets.json",
        "/files/default/..%2f..%2fsecrets.json",
        "/files/default//etc/passwd",
    ],
)
def test_no_path_leads_out_of_the_files(path: str, server: Server, url: str) -> None:
    request = httpx.Request("GET", server.url)
    request.url = httpx.URL(server.url).copy_with(raw_path=f"{path}?{urlsplit(url).query}".encode())
    with httpx.Client() as client:
        answer = client.send(request)

    assert answer.status_code in (403, 404, 405)
    assert "secret" not in answer.text


def test_a_thousand_bent_urls_open_nothing(url: str, shop: Shop) -> None:
    """The hundred thousand are in tests/storage; these go through the HTTP stack."""
    assert none_opens_a_file([url, shop.product["imagePath"]], 1000, random.Random(20261125)) > 700
