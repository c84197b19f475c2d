"""Every error a client can get has one shape (RFC 9457), one code and one status, and says what would be right."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from uuid import uuid4

import httpx
import pytest
from server import API, Server
from shop import PRODUCT, Shop, check_problem, furnish, made

from pergai.errors import JobError, error_codes

SCENE = {"scene": "studio"}


def scene(client: httpx.Client, shop: Shop, **fields: Any) -> httpx.Response:
    return client.post("/generations", json={"productId": shop.product["id"], "scene": "studio", **fields})


def remove_bg(client: httpx.Client, shop: Shop, **fields: Any) -> httpx.Response:
    return client.post("/tools/remove-bg", json={"productId": shop.product["id"], **fields})


def reused_idempotency_key(client: httpx.Client, shop: Shop) -> httpx.Response:
    headers = {"Idempotency-Key": str(uuid4())}
    body = {"productId": shop.product["id"]}
    assert client.post("/tools/remove-bg", json=body, headers=headers).status_code == 200
    return client.post("/tools/remove-bg", json=body | {"crop": True}, headers=headers)


def upload(client: httpx.Client, data: bytes, name: str = "x.png") -> httpx.Response:
    return client.post("/uploads", files={"file": (name, data, "image/png")})


Ask = Callable[[httpx.Client, Shop], httpx.Response]

REACHED: dict[str, tuple[int, Ask]] = {
    "unauthorized": (401, lambda client, shop: client.get("/products", headers={"Authorization": "Bearer no"})),
    "invalid_signature": (
        403,
        lambda client, shop: client.get(shop.product["imagePath"].replace("expires=1", "expires=2")),
    ),
    "not_found": (404, lambda client, shop: client.get("/nothing")),
    "product_not_found": (404, lambda client, shop: client.get(f"/products/{uuid4()}")),
    "generation_not_found": (404, lambda client, shop: client.get("/generations/not-a-uuid")),
    "collection_not_found": (404, lambda client, shop: client.get(f"/collections/{uuid4()}")),
    "method_not_allowed": (405, lambda client, shop: client.put("/products")),
    "too_large": (413, lambda client, shop: client.post("/products", json=PRODUCT | {"name": "x" * 300_000})),
    "unsupported_media_type": (415, lambda client, shop: client.post("/collections", content=b"name=x", headers=FORM)),
    "range_not_satisfiable": (
        416,
        lambda client, shop: client.get(shop.product["imagePath"], headers={"Range": "bytes=99999999-"}),
    ),
    "malformed_request": (400, lambda client, shop: client.post("/collections", content=b'{"name":', headers=JSON)),
    "invalid_request": (422, lambda client, shop: client.post("/collections", json={"name": ""})),
    "unreadable_image": (422, lambda client, shop: upload(client, b"no picture")),
    "unknown_category": (422, lambda client, shop: client.post("/products", json=PRODUCT | {"category": "weapons"})),
    "unknown_scene": (422, lambda client, shop: scene(client, shop, scene="moon")),
    "unknown_provider": (422, lambda client, shop: scene(client, shop, aiProvider="gpt")),
    "invalid_ratio": (422, lambda client, shop: scene(client, shop, aspectRatio="wide")),
    "invalid_resolution": (422, lambda client, shop: scene(client, shop, resolution="huge")),
    "idempotency_mismatch": (422, reused_idempotency_key),
}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}

ELSEWHERE = {
    "read_only_key": "test_two_keys.py",
    "quota_exceeded": "below, on a server with tight limits",
    "queue_full": "below, on a server with tight limits",
    "rate_limited": "below, on a server with tight limits",
    "storage_full": "below, on a server with a full disk",
    "idempotency_in_progress": "tests/durability/test_idempotency.py",
    "shutting_down": "between SIGTERM and the closing of the port",
    "provider_unavailable": "below, on a server without weights",
    "pipeline_unavailable": "test_rerun.py",
    "internal_error": "a bug",
    "not_completed": "a signed URL exists only once the result does",
    "not_ready": "GET /readyz has a shape of its own",
    **dict.fromkeys(("invalid_card", "weights_error", "invalid_settings", "home_locked"), "the command line"),
    **{code: "the record of a failed job" for code, kind in error_codes().items() if issubclass(kind, JobError)},
}


def test_every_code_is_reached_here_or_it_is_said_where() -> None:
    assert set(error_codes()) - set(REACHED) - set(ELSEWHERE) == set()
    assert set(REACHED) & set(ELSEWHERE) == set()


@pytest.mark.parametrize("code", REACHED)
def test_an_error_has_the_one_shape(code: str, client: httpx.Client, shop: Shop) -> None:
    status, ask = REACHED[code]

    check_problem(ask(client, shop), status, code)


def test_an_unauthorized_answer_says_how_to_authenticate(client: httpx.Client) -> None:
    answer = client.get("/products", headers={"Authorization": ""})

    check_problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer")


INVALID = [
    # (method and path, body, JSON pointer that must be named)
    ("/products", {"category": "clothing", "imagePath": "products/sample.png"}, "/name"),
    ("/products", PRODUCT | {"name": 5}, "/name"),
    ("/products", PRODUCT | {"name": ""}, "/name"),
    ("/products", PRODUCT | {"name": "x" * 201}, "/name"),
    ("/products", PRODUCT | {"category": "weapons"}, "/category"),
    ("/products", PRODUCT | {"imagePath": "products/absent.png"}, "/imagePath"),
    ("/products", PRODUCT | {"imagePath": "../../etc/passwd"}, "/imagePath"),
    ("/products", PRODUCT | {"imagePath": "/etc/passwd"}, "/imagePath"),
    ("/products", PRODUCT | {"price": 5}, "/price"),
    ("/collections", {}, "/name"),
    ("/collections", {"name": None}, "/name"),
    ("/generations", SCENE | {"productId": 5}, "/productId"),
    ("/generations", SCENE | {"scene": "moon"}, "/scene"),
    ("/generations", SCENE | {"aiProvider": "gpt"}, "/aiProvider"),
    ("/generations", SCENE | {"aspectRatio": "0:1"}, "/aspectRatio"),
    ("/generations", SCENE | {"resolution": "0x0"}, "/resolution"),
    ("/generations", SCENE | {"count": 0}, "/count"),
    ("/generations", SCENE | {"count": 9}, "/count"),
    ("/generations", SCENE | {"seed": -1}, "/seed"),
    ("/generations", SCENE | {"format": "gif"}, "/format"),
    ("/generations", SCENE | {"dpi": 0}, "/dpi"),
    ("/generations", SCENE | {"placement": {"scale": 9}}, "/placement/scale"),
    ("/generations", SCENE | {"placement": {"anchor": "moon"}}, "/placement/anchor"),
    ("/generations", SCENE | {"shadow": "moon"}, "/shadow"),
    ("/generations", SCENE | {"webhookUrl": "ftp://example.com/"}, "/webhookUrl"),
    ("/generations", SCENE | {"webhookUrl": "http://127.0.0.1/hook"}, "/webhookUrl"),
    ("/generations", SCENE | {"webhookUrl": "http://[::1]/hook"}, "/webhookUrl"),
    ("/generations", SCENE | {"webhookUrl": "http://169.254.169.254/latest"}, "/webhookUrl"),
    ("/generations", SCENE | {"customPrompt": "x" * 20_001}, "/customPrompt"),
    ("/tools/remove-bg", {"background": "mauve-ish"}, "/background"),
    ("/tools/remove-bg", {"margin": 0.1}, "/margin"),
    ("/tools/remove-bg", {"preset": "amazon", "crop": True}, "/crop"),
    ("/tools/remove-bg", {"preset": "bazaar"}, "/preset"),
    ("/tools/remove-bg", {"shadow": "long"}, "/shadow"),
    ("/tools/remove-bg", {"shadow": "soft", "maskOnly": True}, "/shadow"),
    ("/generations", {"preset": "bazaar"}, "/preset"),
    ("/generations", {}, "/scene"),
    ("/generations", {"preset": "instagram-story"}, "/scene"),
    ("/tools/expand", {}, "/ratio"),
    ("/tools/expand", {"ratio": "1:0"}, "/ratio"),
    ("/tools/expand", {"ratio": "1:1", "resolution": "99999x99999"}, "/resolution"),
]


@pytest.mark.parametrize(("path", "body", "pointer"), INVALID, ids=lambda value: str(value)[:50])
def test_a_wrong_field_is_named_by_its_pointer(
    path: str, body: dict[str, Any], pointer: str, client: httpx.Client, shop: Shop
) -> None:
    if path.startswith(("/generations", "/tools")):
        body = {"productId": shop.product["id"], **body}

    problem = check_problem(client.post(path, json=body), 422)

    assert pointer in [error["pointer"] for error in problem["errors"]], problem


@pytest.mark.parametrize(
    ("field", "path", "body"),
    [
        ("category", "/products", PRODUCT | {"category": "weapons"}),
        ("scene", "/generations", SCENE | {"scene": "moon"}),
        ("aiProvider", "/generations", SCENE | {"aiProvider": "gpt"}),
        ("preset", "/generations", SCENE | {"preset": "bazaar"}),
    ],
)
def test_an_unknown_choice_names_the_choices(
    field: str, path: str, body: dict[str, Any], client: httpx.Client, shop: Shop
) -> None:
    if path == "/generations":
        body = {"productId": shop.product["id"], **body}
    choices = {
        "category": [category["id"] for category in client.get("/categories").json()],
        "scene": [template["id"] for template in client.get("/templates").json()],
        "preset": [preset["id"] for preset in client.get("/presets").json()],
        "aiProvider": [provider["name"] for provider in client.get("/providers").json()],
    }[field]

    problem = check_problem(client.post(path, json=body), 422)

    assert all(choice in problem["detail"] for choice in choices)


@pytest.mark.parametrize(
    "parameters",
    [{"limit": 0}, {"limit": "many"}, {"limit": -5}, {"limit": 10**9}, {"cursor": "no"}, {"limit": 5, "cursor": "no"}],
)
@pytest.mark.parametrize("path", ["/products", "/generations", "/collections"])
def test_a_wrong_page_is_refused_by_name(path: str, parameters: dict[str, Any], client: httpx.Client) -> None:
    problem = check_problem(client.get(path, params=parameters), 422)

    assert {error["pointer"] for error in problem["errors"]} <= set(parameters)


def test_an_unknown_product_in_a_body_is_not_found(client: httpx.Client) -> None:
    for id in (str(uuid4()), "PROD_ID", "00000000-0000-0000-0000-000000000000"):
        check_problem(client.post("/tools/remove-bg", json={"productId": id}), 404, "product_not_found")


BODIES = [
    b"",
    b"null",
    b"[]",
    b'"text"',
    b"{",
    b"\xff\xfe",
    b'{"name": "\xff"}',
    b"[" * 50_000,
    b'{"name": 1e999}',
    b"{}" * 2,
]


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
@pytest.mark.parametrize("path", ["/products", "/collections", "/generations", "/tools/remove-bg"])
def test_a_body_that_is_no_such_object_is_a_clear_error(path: str, body: bytes, client: httpx.Client) -> None:
    problem = check_problem(client.post(path, content=body, headers=JSON))

    assert problem["status"] in (400, 422)


PATHS = [
    "/products/%00",
    "/products/..%2f..%2fetc",
    "/products/" + "a" * 5000,
    "/generations/%ff",
    "//",
    "/products/",
    "/%20",
]


@pytest.mark.parametrize("path", PATHS, ids=lambda value: value[:30])
def test_a_strange_path_is_not_found(path: str, server: Server, key: str) -> None:
    answer = httpx.get(server.url + API + path, headers={"Authorization": f"Bearer {key}"})

    assert answer.status_code in (200, 404), answer.text
    if answer.status_code == 404:
        check_problem(answer, 404)


RAW = [
    b"GET / HTTP/1.1\r\n\r\n",  # no Host
    b"GARBAGE\r\n\r\n",
    b"GET /api/external/v1/products HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    b"GET /api/external/v1/products HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
    b"POST /api/external/v1/products HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS to a plain port
]


@pytest.mark.parametrize("raw", RAW, ids=range(len(RAW)))
def test_what_is_no_http_is_closed_and_the_server_lives(raw: bytes, server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        answer = b""
        with suppress(ConnectionError, OSError):  # the server may close before it has read all
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(65536)

    assert not answer or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4")), answer[:200]
    assert httpx.get(server.url + "/healthz").status_code == 200


# --- limits -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tight() -> Iterator[tuple[Server, Shop]]:
    """A server that refuses early: two products, one waiting job, uploads of 1 MiB."""
    limits = {
        "products_per_library": 2,
        "queue_per_library": 2,
        "upload_mib": 1,
        "megapixels": 1,
        "requests_per_minute": 60,
    }
    with Server(**{f"limits__{name}": value for name, value in limits.items()}) as server:
        key = server.create_key()
        with server.client(key) as client:
            yield server, furnish(key, client)


@pytest.mark.slow
def test_more_than_the_quota_is_refused(tight: tuple[Server, Shop]) -> None:
    client = tight[1].client
    made(client.post("/products", json=PRODUCT))

    check_problem(client.post("/products", json=PRODUCT), 422, "quota_exceeded")


@pytest.mark.slow
def test_more_than_the_queue_holds_is_told_when_to_come_back(tight: tuple[Server, Shop]) -> None:
    client, shop = tight[1].client, tight[1]

    answer = client.post("/generations", json={"productId": shop.product["id"], "scene": "studio", "count": 3})

    check_problem(answer, 429, "queue_full")
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.slow
def test_too_many_bytes_or_pixels_are_refused(tight: tuple[Server, Shop]) -> None:
    client = tight[1].client

    check_problem(upload(client, b"\x89PNG" + b"x" * 1_200_000), 413, "too_large")
    check_problem(upload(client, png(1100, 1100)), 413, "too_large")
    assert upload(client, png(900, 900)).status_code == 201


@pytest.mark.slow
def test_too_many_requests_are_told_when_to_come_back(tight: tuple[Server, Shop]) -> None:
    server = tight[0]
    with server.client(server.create_key("hasty")) as client:
        answers = [client.get("/categories") for _ in range(121)]  # over two minutes' worth, should a minute begin

    refused = [answer for answer in answers if answer.status_code != 200]
    assert refused
    for answer in refused:
        check_problem(answer, 429, "rate_limited")
        assert 1 <= int(answer.headers["retry-after"]) <= 60


@pytest.mark.slow
def test_on_a_full_disk_nothing_is_promised(tmp_path: Any) -> None:
    with Server() as server:
        key = server.create_key()
        with server.client(key) as client:
            product = made(client.post("/products", json=PRODUCT))
        server.sigterm()
        server.set(limits__free_disk_mib=10**9)
        server.start()
        server.wait_alive()
        with server.client(key) as client:
            check_problem(upload(client, png(9, 9)), 507, "storage_full")
            check_problem(client.post("/tools/remove-bg", json={"productId": product["id"]}), 507, "storage_full")
            assert client.get("/products").status_code == 200
            ready = httpx.get(server.url + "/readyz")
        assert ready.status_code == 503
        assert "disk" in " ".join(ready.json()["reasons"])


@pytest.mark.slow
def test_a_provider_without_weights_says_what_is_missing(tmp_path: Any) -> None:
    with Server(weights=tmp_path, wait=False) as server, server.client(server.create_key()) as client:
        product = made(client.post("/products", json=PRODUCT))
        problem = check_problem(
            client.post("/tools/remove-bg", json={"productId": product["id"]}), 422, "provider_unavailable"
        )
    assert "u2netp" in problem["detail"]


def png(width: int, height: int) -> bytes:
    from io import BytesIO

    from PIL import Image

    file = BytesIO()
    Image.new("RGB", (width, height), "teal").save(file, "PNG")
    return file.getvalue()
