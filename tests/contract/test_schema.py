"""The running server against its own OpenAPI document: no 5xx, and every answer is one that the document describes.

Schemathesis makes the requests, valid and invalid ones. `PERGAI_TEST_CASES` makes more of them (default 2,000 in all).
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator

import httpx
import pytest
import schemathesis
import skimage.data
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from PIL import Image
from schemathesis import checks
from schemathesis.generation import GenerationMode
from schemathesis.schemas import APIOperation
from server import Server
from shop import PRODUCT, Shop, furnish, made

CASES = int(os.environ.get("PERGAI_TEST_CASES", "2000"))
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]


@pytest.fixture(scope="module")
def furnished() -> Iterator[tuple[Server, Shop, str]]:
    """A server of its own, whose tools do not wait: most of what is asked for here is never meant to be seen. With it come a
    library and the id of a product whose picture is small."""
    with Server(tools__wait_seconds=0) as server:
        key = server.create_key()
        with server.client(key) as client:
            file = io.BytesIO()
            Image.fromarray(skimage.data.coffee()).resize((60, 40)).save(file, "PNG")
            upload = made(client.post("/uploads", files={"file": ("x.png", file.getvalue(), "image/png")}))
            small = made(client.post("/products", json=PRODUCT | {"imagePath": upload["imagePath"]}))["id"]
            yield server, furnish(key, client), small


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_answer_is_one_that_the_document_describes(
    furnished: tuple[Server, Shop, str], subtests: pytest.Subtests
) -> None:
    server, shop, small = furnished
    document = schemathesis.openapi.from_url(server.url + "/schema/openapi.json")
    operations = [found.ok() for found in document.get_all_operations()]
    for operation in operations:
        for mode in GenerationMode:
            with subtests.test(f"{operation.label}, {mode.value} requests"):
                ask(operation, mode, CASES // (2 * len(operations)) + 1, shop, small)


def ask(operation: APIOperation, mode: GenerationMode, count: int, shop: Shop, small: str) -> None:
    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def each(case: schemathesis.Case) -> None:
        name_what_there_is(case, shop, small)
        case.call_and_validate(headers={"Authorization": f"Bearer {shop.key}"}, checks=CHECKS, timeout=60)

    try:
        each()
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE  # a request with nothing in it cannot be wrong


def name_what_there_is(case: schemathesis.Case, shop: Shop, small: str) -> None:
    """Random ids find nothing, so every second request that reads, and every second cut-out, names what is really there."""
    parameters = case.path_parameters if isinstance(case.path_parameters, dict) else {}
    if len(str(parameters) + str(case.body)) % 2:
        return
    if case.method == "GET":
        there = {
            "product_id": shop.product["id"],
            "generation_id": shop.generation["id"],
            "collection_id": shop.collection["id"],
        }
        parameters.update({name: id for name, id in there.items() if name in parameters})
    if case.path.endswith("/remove-bg") and isinstance(case.body, dict) and "productId" in case.body:
        case.body["productId"] = small


def test_the_document_names_every_operation_and_every_error(furnished: tuple[Server, Shop, str]) -> None:
    document = httpx.get(furnished[0].url + "/schema/openapi.json").json()

    operations = [(path, method, op) for path, ops in document["paths"].items() for method, op in ops.items()]
    assert len({op["operationId"] for _, _, op in operations}) == len(operations)
    for path, method, operation in operations:
        assert operation["summary"], (path, method)
        assert any(status.startswith("2") for status in operation["responses"]), (path, method)
        if path.startswith("/api/"):
            assert "401" in operation["responses"], (path, method)
        for status, answer in operation["responses"].items():
            if int(status) >= 400 and path != "/readyz":
                assert list(answer["content"]) == ["application/problem+json"], (path, method, status)


def test_the_pages_of_the_document_need_no_other_server(furnished: tuple[Server, Shop, str]) -> None:
    page = httpx.get(furnished[0].url + "/schema", follow_redirects=True)

    assert page.status_code == 200
    assert "text/html" in page.headers["content-type"]
    assert not any(host in page.text for host in ("cdn.", "unpkg", "jsdelivr", "googleapis"))
