"""What the contract tests sell, and the shape of every error."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import httpx

from pergai.errors import error_codes


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


def furnish(key: str, client: httpx.Client) -> Shop:
    product = made(client.post("/products", json=PRODUCT))
    generation = made(client.post("/tools/remove-bg", json={"productId": product["id"]}, headers=PATIENT), 200)
    assert generation["status"] == "completed", generation
    collection = made(client.post("/collections", json={"name": "Summer Collection"}))
    item = made(client.post(f"/collections/{collection['id']}/items", json={"generationId": generation["id"]}))
    return Shop(key, client, product, generation, collection, item)


PATIENT = {"Prefer": "wait=120"}
PRODUCT = {"name": "Classic T-Shirt", "category": "clothing", "imagePath": "products/sample.png"}


def made(answer: httpx.Response, status: int = 201) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    return body


def check_problem(answer: httpx.Response, status: int | None = None, code: str | None = None) -> dict[str, Any]:
    """RFC 9457, and what pergai promises beyond it. Gives the problem back."""
    assert answer.headers["content-type"].split(";")[0] == "application/problem+json", answer.text
    problem: dict[str, Any] = json.loads(answer.content)
    assert (
        {"type", "title", "status", "detail", "code"}
        <= set(problem)
        <= {"type", "title", "status", "detail", "code", "errors"}
    )
    assert problem["status"] == answer.status_code
    assert status in (None, answer.status_code), problem
    assert code in (None, problem["code"]), problem
    kind = error_codes()[problem["code"]]
    assert (problem["status"], problem["title"]) == (kind.status, kind.title)
    assert problem["type"].endswith(problem["code"])
    assert problem["detail"].strip() and "Traceback" not in problem["detail"]
    for error in problem.get("errors") or []:
        assert set(error) == {"pointer", "detail"} and error["detail"]
    return problem
