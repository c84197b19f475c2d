"""Painted pictures made once more by a real server: to the byte when each ran alone, and in any company when the model's card
asks for fixed batch shapes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import tiny
from server import Server

CARDS = {
    "models/tiny.toml": """
title = "Tiny"
family = "diffusers"
licence = "MIT"
memory_mib = 64
source = { kind = "hub", repository = "nobody/nothing", revision = "none" }
files = [{ name = "model_index.json" }, { name = "unet/diffusion_pytorch_model.safetensors" }]
options = { max_batch = 4, deterministic = true }
""",
    "pipelines/tiny.toml": """
title = "Tiny"
runner = "diffusion"
tasks = ["scene", "expand"]
models = { diffusion = "tiny", matte = "u2netp" }
options = { side = 64, steps = 6, guidance = 3.0, scheduler = "euler_a" }
""",
    "tiny.toml": """
[providers.tiny]
title = "Tiny"
scene = "tiny"
expand = "tiny"
""",
}
ASKED: dict[str, tuple[str, dict[str, Any]]] = {
    "scene": ("/generations", {"scene": "marble", "resolution": "256x256"}),
    "expand": ("/tools/expand", {"ratio": "2:1", "resolution": "700x350"}),
}
COMPANY = 6


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory, weights_folder: Path) -> Iterator[tuple[Server, Path]]:
    """A server that paints, and where its weights lie."""
    weights = tmp_path_factory.mktemp("tiny")
    for folder in weights_folder.iterdir():
        if folder.is_dir():
            (weights / folder.name).symlink_to(folder)
    tiny.save("sd9", weights / "tiny")
    home = tmp_path_factory.mktemp("cards")
    for name, text in CARDS.items():
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).write_text(text)
    server = Server(weights=weights, config=home / "tiny.toml")
    for folder in ("models", "pipelines"):
        (server.home / folder).symlink_to(home / folder)
    with server:
        yield server, weights


@pytest.fixture(scope="module")
def painter(studio: tuple[Server, Path]) -> Iterator[tuple[httpx.Client, str]]:
    """A client of it, and a product in it."""
    server, _ = studio
    with server.client(server.create_key()) as client:
        product = {"name": "Cup", "category": "drinks", "imagePath": "products/sample.png"}
        yield client, client.post("/products", json=product).json()["id"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ASKED)
def test_a_painting_that_is_run_again_alone_is_the_same_to_the_byte(
    kind: str, painter: tuple[httpx.Client, str]
) -> None:
    first = make(painter, kind, 7)

    second = again(painter, first)

    assert second["rerunOf"] == first["id"]
    assert picture(first) == picture(second)


@pytest.mark.slow
def test_with_fixed_batch_shapes_it_is_the_same_in_any_company(painter: tuple[httpx.Client, str]) -> None:
    first = make(painter, "scene", 8)
    assert shared_turns(painter) == 0

    others = [make(painter, "scene", seed, wait=0) for seed in range(100, 100 + COMPANY)]
    beside = again(painter, first)

    assert shared_turns(painter) > 0
    assert picture(first) == picture(beside)
    for record in others:
        painter[0].post(f"/generations/{record['id']}/cancel")


@pytest.mark.slow
def test_the_record_names_the_weights_and_a_rerun_on_others_says_so(
    studio: tuple[Server, Path], painter: tuple[httpx.Client, str], tmp_path: Path
) -> None:
    first = make(painter, "scene", 9)
    assert again(painter, first)["notes"] == first["notes"]
    server, weights = studio
    folder = weights / "tiny"

    server.sigterm()
    folder.rename(tmp_path / "before")
    other = tiny.build("sd9")
    other.unet.conv_out.bias.data += 0.1
    other.save_pretrained(folder)
    server.restart()
    second = again(painter, first)

    before, after = (record["details"]["weights"]["tiny"] for record in (first, second))
    assert before.keys() == {"revision", "sha256", "dtype"}
    assert before["revision"] == "none" and before["dtype"] == "float32"
    assert {**before, "sha256": after["sha256"]} == after != before
    assert second["notes"] == [*first["notes"], "weights_changed:tiny"]
    assert picture(first) != picture(second)


def make(painter: tuple[httpx.Client, str], kind: str, seed: int, wait: int = 120) -> dict[str, Any]:
    client, product = painter
    path, fields = ASKED[kind]
    body = {"productId": product, "seed": seed, **fields}
    record: dict[str, Any] = client.post(path, json=body, headers={"Prefer": f"wait={wait}"}).json()
    assert not wait or (record["status"], record["model"]) == ("completed", "u2netp+tiny"), record
    return record


def again(painter: tuple[httpx.Client, str], first: dict[str, Any]) -> dict[str, Any]:
    answer = painter[0].post(f"/generations/{first['id']}/rerun", headers={"Prefer": "wait=120"})
    record: dict[str, Any] = answer.json()
    assert record["status"] == "completed", record
    return record


def picture(record: dict[str, Any]) -> bytes:
    return httpx.get(record["resultImagePath"]).content


def shared_turns(painter: tuple[httpx.Client, str]) -> float:
    """How many turns of the painter had more than one request in them."""
    text = httpx.get(str(painter[0].base_url).partition("/api")[0] + "/metrics").text
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    every = float(values['pergai_batch_size_count{model="tiny"}'])
    return every - float(values['pergai_batch_size_bucket{le="1.0",model="tiny"}'])
