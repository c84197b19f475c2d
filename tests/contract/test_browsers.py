"""What HTTP itself asks for: HEAD, Allow, the type of a body; and web pages that call the API."""

from __future__ import annotations

from functools import reduce

import httpx
import pytest
from server import API, Server
from shop import Shop, check_problem

ORIGIN = "https://shop.example"


def get_routes(server: Server) -> list[str]:
    """Every GET of the schema, except files, which have tests of their own."""
    schema = httpx.get(f"{server.url}/schema/openapi.json").json()
    return sorted(path for path, methods in schema["paths"].items() if "get" in methods and "/files/" not in path)


@pytest.fixture(scope="module")
def paths(server: Server, shop: Shop) -> list[str]:
    """Every GET route with ids that exist."""
    ids = {
        "{product_id}": shop.product["id"],
        "{generation_id}": shop.generation["id"],
        "{collection_id}": shop.collection["id"],
    }
    return [reduce(lambda path, name: path.replace(name, ids[name]), ids, route) for route in get_routes(server)]


def test_head_is_answered_as_get_without_a_body(server: Server, shop: Shop, paths: list[str]) -> None:
    assert len(paths) > 12
    with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {shop.key}"}, timeout=30) as client:
        for path in paths:
            head, get = client.head(path), client.get(path)
            assert head.status_code == get.status_code == 200, path
            assert head.headers["content-type"] == get.headers["content-type"], path
            assert head.content == b"", path


def test_head_of_what_is_not_there_or_not_allowed_says_so(server: Server, shop: Shop) -> None:
    assert httpx.head(f"{server.url}{API}/products").status_code == 401
    headers = {"Authorization": f"Bearer {shop.key}"}
    assert httpx.head(f"{server.url}{API}/products/no-id", headers=headers).status_code == 404
    assert httpx.head(f"{server.url}{API}/tools/upscale", headers=headers).status_code == 405


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/products", {"GET", "HEAD", "POST", "OPTIONS"}),
        ("GET", "/tools/upscale", {"POST", "OPTIONS"}),
        ("POST", "/categories", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_a_wrong_method_hears_which_are_right(method: str, path: str, allowed: set[str], shop: Shop) -> None:
    answer = shop.client.request(method, path)
    assert check_problem(answer)["code"] == "method_not_allowed"
    assert set(answer.headers["allow"].split(", ")) == allowed


@pytest.mark.parametrize("media_type", ["application/json", "image/png", "application/x-www-form-urlencoded", None])
def test_an_upload_that_is_no_form_is_an_unsupported_media_type(media_type: str | None, shop: Shop) -> None:
    headers = {"Content-Type": media_type} if media_type else {}
    answer = shop.client.post("/uploads", content=b"x=1", headers=headers)
    assert answer.status_code == 415
    assert "multipart/form-data" in check_problem(answer)["detail"]


def test_no_web_page_may_call_the_api_unless_it_is_named(shop: Shop) -> None:
    answer = shop.client.get("/products", headers={"Origin": ORIGIN})
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_named_web_page_may_call_the_api() -> None:
    with Server(wait=False, server__cors_origins=f"{ORIGIN}, http://localhost:5173/") as server:
        asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
        asked["Access-Control-Request-Headers"] = "authorization,idempotency-key,content-type"
        preflight = httpx.options(f"{server.url}{API}/tools/upscale", headers=asked)
        refused = httpx.get(f"{server.url}{API}/products", headers={"Origin": "http://localhost:5173"})
        stranger = httpx.get(f"{server.url}{API}/products", headers={"Origin": "https://evil.example"})

    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == ORIGIN
    assert "authorization" in preflight.headers["access-control-allow-headers"]
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "http://localhost:5173")
    assert "Retry-After" in refused.headers["access-control-expose-headers"]
    assert "access-control-allow-origin" not in stranger.headers
