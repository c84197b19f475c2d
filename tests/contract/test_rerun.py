"""A generation made once more: the same bytes for every kind, in a record of its own that says what it repeats.

What diffusion makes is repeated in tests/diffusion/test_diffusion_rerun.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from server import Server
from shop import PRODUCT, Shop, check_problem, made

LATER = {"Prefer": "wait=120"}

ASKED: dict[str, tuple[str, dict[str, Any]]] = {
    "scene": (
        "/generations",
        {"scene": "marble", "resolution": "160x200", "customPrompt": "warm evening light", "placement": {"x": 0.4}},
    ),
    "remove-bg": ("/tools/remove-bg", {"background": "#203040", "crop": True, "margin": 0.1, "format": "jpeg"}),
    "upscale": ("/tools/upscale", {"scale": "2x", "width": 90, "height": 60}),
    "expand": ("/tools/expand", {"ratio": "2:1", "resolution": "700x350", "format": "webp", "dpi": 300}),
}
OF_THE_REQUEST = (
    *("productId", "kind", "scene", "prompt", "negativePrompt", "aiProvider", "pipeline", "model", "seed", "variant"),
    *("aspectRatio", "width", "height", "format", "preset", "dpi", "notes", "words", "details", "fidelity"),
)


def again(shop: Shop, id: str, **headers: str) -> httpx.Response:
    return shop.client.post(f"/generations/{id}/rerun", headers=headers)


@pytest.fixture(scope="module")
def firsts(shop: Shop) -> dict[str, dict[str, Any]]:
    """One completed generation of every kind."""
    done = {}
    for kind, (path, fields) in ASKED.items():
        answer = shop.client.post(path, json={"productId": shop.product["id"], **fields}, headers=LATER)
        done[kind] = made(answer, 200)
        assert done[kind]["status"] == "completed", done[kind]["error"]
    return done


@pytest.mark.parametrize("kind", ASKED)
def test_the_same_bytes_come_again(kind: str, shop: Shop, firsts: dict[str, dict[str, Any]]) -> None:
    first = firsts[kind]

    second = made(again(shop, first["id"], **LATER), 200)

    assert second["status"] == "completed", second["error"]
    assert second["rerunOf"] == first["id"] and first["rerunOf"] is None
    assert second["id"] != first["id"] and second["requestId"] != first["requestId"]
    assert {name: second[name] for name in OF_THE_REQUEST} == {name: first[name] for name in OF_THE_REQUEST}
    one, other = (httpx.get(record["resultImagePath"]).content for record in (first, second))
    assert one == other


def test_a_rerun_of_a_rerun_names_the_first(shop: Shop, firsts: dict[str, dict[str, Any]]) -> None:
    second = made(again(shop, firsts["upscale"]["id"], **LATER), 200)
    third = made(again(shop, second["id"], **LATER), 200)

    assert third["rerunOf"] == firsts["upscale"]["id"]
    pictures = [httpx.get(record["resultImagePath"]).content for record in (firsts["upscale"], third)]
    assert pictures[0] == pictures[1]


def test_a_client_that_says_nothing_does_not_wait(shop: Shop, firsts: dict[str, dict[str, Any]]) -> None:
    answer = again(shop, firsts["upscale"]["id"])

    assert answer.status_code == 202
    assert answer.json()["status"] in ("pending", "processing")
    assert answer.headers["location"].endswith(f"/generations/{answer.json()['id']}")


def test_an_idempotency_key_gives_one_rerun(shop: Shop, firsts: dict[str, dict[str, Any]]) -> None:
    headers = {"Idempotency-Key": str(uuid4())} | LATER
    one, two = (again(shop, firsts["upscale"]["id"], **headers) for _ in range(2))

    assert one.json()["id"] == two.json()["id"]
    assert "idempotent-replayed" not in one.headers and two.headers["idempotent-replayed"] == "true"
    check_problem(again(shop, firsts["remove-bg"]["id"], **headers), 422, "idempotency_mismatch")


def test_what_has_not_ended_cannot_be_run_again_and_what_was_cancelled_can(shop: Shop) -> None:
    body = {"productId": shop.product["id"], "scene": "studio", "resolution": "160x160"}
    ids = [made(shop.client.post("/generations", json=body), 202)["id"] for _ in range(2)]

    problem = check_problem(again(shop, ids[1]), 409, "not_completed")
    assert "pending" in problem["detail"] or "processing" in problem["detail"]

    assert shop.client.post(f"/generations/{ids[1]}/cancel").json()["error"]["code"] == "cancelled"
    second = made(again(shop, ids[1], **LATER), 200)
    assert (second["status"], second["rerunOf"]) == ("completed", ids[1])


def test_without_its_product_nothing_can_be_made_again(shop: Shop) -> None:
    product = made(shop.client.post("/products", json=PRODUCT))["id"]
    done = made(shop.client.post("/tools/remove-bg", json={"productId": product}, headers=LATER), 200)
    assert shop.client.delete(f"/products/{product}").status_code == 204

    check_problem(again(shop, done["id"]), 404, "product_not_found")


@pytest.mark.parametrize("id", ["not-a-uuid", "01900000-0000-7000-8000-000000000000"])
def test_what_there_is_not_cannot_be_run_again(id: str, shop: Shop) -> None:
    check_problem(again(shop, id), 404, "generation_not_found")


@pytest.mark.slow
def test_what_a_stand_in_made_is_made_by_the_model_once_it_is_here_and_the_record_says_so(
    tmp_path: Path, weights_folder: Path
) -> None:
    for folder in weights_folder.iterdir():
        if folder.is_dir() and folder.name != "isnet":
            (tmp_path / folder.name).symlink_to(folder)
    with Server(weights=tmp_path) as server:
        key = server.create_key()
        with server.client(key) as client:
            product = made(client.post("/products", json=PRODUCT))["id"]
            first = made(client.post("/tools/remove-bg", json={"productId": product}, headers=LATER), 200)
            assert (first["status"], first["model"]) == ("completed", "u2netp")
        server.sigterm()
        (tmp_path / "isnet").symlink_to(weights_folder / "isnet")
        server.restart()
        with server.client(key) as client:
            second = made(client.post(f"/generations/{first['id']}/rerun", headers=LATER), 200)
    assert (second["model"], second["notes"]) == ("isnet", [*first["notes"], "model_changed:u2netp"])


CARD = """
title = "Our own cut-out"
runner = "remove-bg"
tasks = ["remove-bg"]
models = { segment = "u2netp" }
"""
PROFILE = '[providers.mine]\ntitle = "Mine"\nremove-bg = "ours"\n'
OTHER_PROFILE = PROFILE.replace("ours", "cutout")


@pytest.mark.slow
def test_without_its_pipeline_nothing_can_be_made_again() -> None:
    with Server(wait=False) as server:
        server.sigterm()
        profile, card = server.home / "own.toml", server.home / "pipelines" / "ours.toml"
        card.parent.mkdir()
        card.write_text(CARD)
        profile.write_text(PROFILE)
        server.set(config=profile)
        server.restart()
        key = server.create_key()
        with server.client(key) as client:
            product = made(client.post("/products", json=PRODUCT))["id"]
            done = made(client.post("/tools/remove-bg", json={"productId": product}, headers=LATER), 200)
        assert done["pipeline"] == "ours"
        server.sigterm()
        card.unlink()
        profile.write_text(OTHER_PROFILE)
        server.restart()
        with server.client(key) as client:
            answer = client.post(f"/generations/{done['id']}/rerun", headers=LATER)
            problem = check_problem(answer, 422, "pipeline_unavailable")
            assert "'ours'" in problem["detail"]
            assert len(client.get("/generations").json()) == 1
