"""Every curl line of the API's document, taken from the text itself and run by bash. Only placeholders are replaced."""

from __future__ import annotations

import io
import json
import re
import subprocess
import zipfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from server import Server
from shop import PRODUCT, Shop, made

REFERENCE = (Path(__file__).parent / "pergai-external-api.txt").read_text(encoding="utf-8")

TITLES = [
    "List Products",
    "Retrieve Product",
    "Create Product",
    "Delete Product",
    "List Generations",
    "List Scene Templates",
    "Retrieve Generation",
    "Create Generation",
    "List Collections",
    "Create Collection",
    "Retrieve Collection",
    "Delete Collection",
    "Add Image to Collection",
    "Download Collection ZIP",
    "Remove Background",
    "Upscale Image",
    "Expand Image",
]

PRODUCT_FIELDS = {"id", "name", "category", "imagePath", "width", "height", "createdAt"}
GENERATION_FIELDS = {
    *("id", "productId", "kind", "status", "scene", "prompt", "aiProvider", "pipeline", "model", "seed", "aspectRatio"),
    *("width", "height", "progress", "resultImagePath", "error", "createdAt", "startedAt", "completedAt"),
}
TEMPLATE_FIELDS = {"id", "name", "category", "description", "prompt", "previewUrl"}
COLLECTION_FIELDS = {"id", "name", "createdAt", "_count", "items"}
ITEM_FIELDS = {"id", "generationId", "createdAt", "generation"}


def curl_commands(text: str) -> list[str]:
    """The commands as they stand. In the document's text a command's last line runs into the next title, so it is cut after its
    last quote, or after the file it names."""
    commands, lines = [], iter(text.splitlines())
    for line in lines:
        _, found, rest = line.partition("curl ")
        if not found:
            continue
        command = ["curl " + rest]
        while command[-1].endswith("\\") or "\n".join(command).count("'") % 2:
            command.append(next(lines))
        command[-1] = re.match(r".*(?:'|\.zip)", command[-1]).group()  # type: ignore[union-attr]
        commands.append("\n".join(command))
    return commands


COMMANDS = dict(zip(TITLES, curl_commands(REFERENCE), strict=True))


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@pytest.fixture
def curl(server: Server, shop: Shop, tmp_path: Path) -> Any:
    """Run the command of a title. What curl reports about the answer is asked for in its configuration file, so that the
    command stays as it is."""
    (tmp_path / ".curlrc").write_text(f'silent\nshow-error\nmax-time = 170\ndump-header = "{tmp_path / "headers"}"\n')

    def run(title: str, product: str = "", collection: str = "") -> Answer:
        command = COMMANDS[title]
        for placeholder, value in {
            "pk_YOUR_API_KEY": shop.key,
            "http://localhost:3002": server.url,
            "PROD_ID": product or shop.product["id"],
            "GEN_ID": shop.generation["id"],
            "COLLECTION_ID": collection or shop.collection["id"],
        }.items():
            command = command.replace(placeholder, value)
        ended = subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin", "CURL_HOME": str(tmp_path)},
            capture_output=True,
            check=True,
        )
        head = (tmp_path / "headers").read_text().strip().splitlines()
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        return Answer(int(head[0].split()[1]), headers, ended.stdout)

    return run


def test_the_document_has_seventeen_requests_under_their_titles() -> None:
    for title, command in COMMANDS.items():
        before = REFERENCE[: REFERENCE.index(command)]
        assert max(TITLES, key=lambda heading: before.rfind(f"{heading}\n")) == title, command
    assert all("pk_YOUR_API_KEY" in command for command in COMMANDS.values())


def test_list_products(curl: Any, shop: Shop) -> None:
    answer = curl("List Products")

    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert isinstance(answer.json, list)
    for product in answer.json:
        check_product(product)
    assert shop.product["id"] in [product["id"] for product in answer.json]
    check_newest_first(answer.json)


def test_retrieve_product(curl: Any, shop: Shop) -> None:
    answer = curl("Retrieve Product")

    assert answer.status == 200
    check_product(answer.json)
    assert (answer.json["id"], answer.json["name"]) == (shop.product["id"], "Classic T-Shirt")
    check_picture(answer.json["imagePath"])


def test_create_product(curl: Any) -> None:
    answer = curl("Create Product")

    assert answer.status == 201
    check_product(answer.json)
    assert (answer.json["name"], answer.json["category"]) == ("Classic T-Shirt", "clothing")
    assert answer.headers["location"].endswith(answer.json["id"])


def test_delete_product(curl: Any, shop: Shop, client: httpx.Client) -> None:
    product = made(client.post("/products", json=PRODUCT))["id"]

    answer = curl("Delete Product", product=product)

    assert (answer.status, answer.body) == (204, b"")
    assert curl("Retrieve Product", product=product).status == 404
    assert curl("Retrieve Product").status == 200
    check_picture(shop.client.get(f"/products/{shop.product['id']}").json()["imagePath"])


def test_list_generations(curl: Any, shop: Shop) -> None:
    answer = curl("List Generations")

    assert answer.status == 200
    assert isinstance(answer.json, list)
    for generation in answer.json:
        check_generation(generation)
    assert shop.generation["id"] in [generation["id"] for generation in answer.json]
    check_newest_first(answer.json)


def test_list_scene_templates(curl: Any) -> None:
    answer = curl("List Scene Templates")

    assert answer.status == 200
    assert all(set(template) >= TEMPLATE_FIELDS for template in answer.json)
    assert {"studio", "nature", "luxury"} <= {template["id"] for template in answer.json}
    assert len({template["id"] for template in answer.json}) == len(answer.json) >= 12


def test_retrieve_generation(curl: Any, shop: Shop) -> None:
    answer = curl("Retrieve Generation")

    assert answer.status == 200
    check_generation(answer.json)
    assert answer.json["id"] == shop.generation["id"]
    assert answer.json["status"] == "completed"
    check_picture(answer.json["resultImagePath"])


def test_create_generation(curl: Any, shop: Shop, client: httpx.Client) -> None:
    answer = curl("Create Generation")

    assert answer.status == 202
    check_generation(answer.json)
    assert answer.json["status"] in ("pending", "processing")
    assert (answer.json["kind"], answer.json["scene"]) == ("scene", "studio")
    assert (answer.json["productId"], answer.json["aiProvider"]) == (shop.product["id"], "nano-banana-pro")
    location = httpx.URL(answer.headers["location"]).path
    assert location.endswith(f"/api/external/v1/generations/{answer.json['id']}")
    check_generation(client.get(f"/generations/{answer.json['id']}").json())
    client.post(f"/generations/{answer.json['id']}/cancel")  # the best provider takes a while; others test its picture


def test_list_collections(curl: Any, shop: Shop) -> None:
    answer = curl("List Collections")

    assert answer.status == 200
    for collection in answer.json:
        check_collection(collection)
        assert len(collection["items"]) == min(4, collection["_count"]["items"])
    own = next(collection for collection in answer.json if collection["id"] == shop.collection["id"])
    assert own["_count"]["items"] == 1
    check_picture(own["items"][0]["generation"]["resultImagePath"])


def test_create_collection(curl: Any) -> None:
    answer = curl("Create Collection")

    assert answer.status == 201
    check_collection(answer.json)
    assert answer.json["name"] == "Summer Collection"
    assert (answer.json["_count"], answer.json["items"]) == ({"items": 0}, [])


def test_retrieve_collection(curl: Any, shop: Shop) -> None:
    answer = curl("Retrieve Collection")

    assert answer.status == 200
    check_collection(answer.json)
    assert [item["id"] for item in answer.json["items"]] == [shop.item["id"]]
    assert answer.json["items"][0]["generation"]["id"] == shop.generation["id"]


def test_delete_collection(curl: Any, shop: Shop, client: httpx.Client) -> None:
    collection = made(client.post("/collections", json={"name": "Short-lived"}))["id"]
    client.post(f"/collections/{collection}/items", json={"generationId": shop.generation["id"]})

    answer = curl("Delete Collection", collection=collection)

    assert (answer.status, answer.body) == (204, b"")
    assert curl("Retrieve Collection", collection=collection).status == 404
    check_picture(curl("Retrieve Generation").json["resultImagePath"])


def test_add_image_to_collection(curl: Any, shop: Shop, client: httpx.Client) -> None:
    collection = made(client.post("/collections", json={"name": "New"}))["id"]

    first = curl("Add Image to Collection", collection=collection)
    again = curl("Add Image to Collection", collection=collection)

    assert first.status == 201
    check_item(first.json)
    assert first.json["generationId"] == shop.generation["id"]
    assert (again.status, again.json["id"]) == (200, first.json["id"])


def test_download_collection_zip(curl: Any, shop: Shop, tmp_path: Path) -> None:
    answer = curl("Download Collection ZIP")

    assert answer.status == 200
    assert answer.headers["content-type"] == "application/zip"
    data = (tmp_path / "collection.zip").read_bytes()
    assert answer.headers["content-length"] == str(len(data))
    archive = zipfile.ZipFile(io.BytesIO(data))
    assert archive.testzip() is None
    manifest = json.loads(archive.read("manifest.json"))
    assert [entry["generationId"] for entry in manifest["items"]] == [shop.generation["id"]]
    assert archive.read(manifest["items"][0]["file"]) == httpx.get(shop.generation["resultImagePath"]).content


@pytest.mark.parametrize(
    ("title", "kind", "provider"),
    [
        ("Remove Background", "remove-bg", "nano-banana"),
        pytest.param("Upscale Image", "upscale", "nano-banana-2", marks=pytest.mark.slow),
        ("Expand Image", "expand", "nano-banana"),
    ],
)
def test_tools(title: str, kind: str, provider: str, curl: Any, shop: Shop, client: httpx.Client) -> None:
    answer = curl(title)

    assert answer.status in (200, 202)
    check_generation(answer.json)
    assert (answer.json["kind"], answer.json["productId"]) == (kind, shop.product["id"])
    assert answer.json["aiProvider"] == provider
    ended = wait_for(client, answer.json["id"])
    assert ended["status"] == "completed", ended["error"]
    check_picture(ended["resultImagePath"])
    width, height = shop.product["width"], shop.product["height"]
    match kind:
        case "remove-bg":
            assert (ended["width"], ended["height"]) == (width, height)
        case "upscale":
            assert (ended["width"], ended["height"]) == (2 * width, 2 * height)
        case "expand":
            assert ended["width"] / ended["height"] == pytest.approx(16 / 9, rel=0.01)
            assert ended["prompt"] == "luxury living room background"


# --- shapes -----------------------------------------------------------------------------------------


def check_product(product: dict[str, Any]) -> None:
    assert set(product) == PRODUCT_FIELDS
    UUID(product["id"])
    check_time(product["createdAt"])
    assert product["width"] > 0 and product["height"] > 0
    assert "/files/" in product["imagePath"] and "signature=" in product["imagePath"]


def check_generation(generation: dict[str, Any]) -> None:
    assert set(generation) >= GENERATION_FIELDS
    UUID(generation["id"])
    UUID(generation["productId"])
    assert generation["kind"] in ("scene", "remove-bg", "upscale", "expand")
    assert generation["status"] in ("pending", "processing", "completed", "failed")
    assert 0 <= generation["progress"] <= 1
    check_time(generation["createdAt"])
    completed = generation["status"] == "completed"
    assert (generation["resultImagePath"] is not None) == completed
    assert (generation["error"] is not None) == (generation["status"] == "failed")
    if generation["error"]:
        assert set(generation["error"]) == {"code", "detail"}
    if completed:
        check_time(generation["startedAt"])
        check_time(generation["completedAt"])
        assert generation["model"] and generation["progress"] == 1


def check_collection(collection: dict[str, Any]) -> None:
    assert set(collection) == COLLECTION_FIELDS
    UUID(collection["id"])
    check_time(collection["createdAt"])
    for item in collection["items"]:
        check_item(item)


def check_item(item: dict[str, Any]) -> None:
    assert set(item) == ITEM_FIELDS
    check_generation(item["generation"])
    assert item["generation"]["id"] == item["generationId"]


def check_time(text: str) -> None:
    assert text.endswith("Z")
    assert datetime.fromisoformat(text).utcoffset() is not None


def check_newest_first(rows: list[dict[str, Any]]) -> None:
    times = [row["createdAt"] for row in rows]
    assert times == sorted(times, reverse=True)


def check_picture(url: str) -> None:
    """The signed URL gives a picture to anybody."""
    answer = httpx.get(url)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("image/")
    assert answer.content.startswith((b"\x89PNG", b"\xff\xd8", b"RIFF"))


def wait_for(client: httpx.Client, id: str) -> dict[str, Any]:
    """The record once it has ended; the server's event stream says when."""
    with client.stream("GET", f"/generations/{id}/events", timeout=300) as events:
        for _ in events.iter_lines():
            pass
    record: dict[str, Any] = client.get(f"/generations/{id}").json()
    return record
