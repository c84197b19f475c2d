"""What a studio asks of a picture over HTTP: layers, depth, groups, poses, variants, relighting, a brand's own defaults."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from psd_tools import PSDImage
from server import Server
from shop import PATIENT, Shop, check_problem, furnish, made

from pergai.imaging.decode import decode, probe

SMALL = {"scene": "studio", "resolution": "192x192", "seed": 5}


def scene(shop: Shop, **fields: Any) -> dict[str, Any]:
    wanted = {"productId": shop.product["id"], **SMALL, **fields}
    answer = shop.client.post("/generations", json={k: v for k, v in wanted.items() if v is not None}, headers=PATIENT)
    record: dict[str, Any] = answer.json()
    assert record.get("status") == "completed", record
    return record


def file(record: dict[str, Any]) -> httpx.Response:
    return httpx.get(record["resultImagePath"])


def pixels(record: dict[str, Any]) -> Any:
    return decode(file(record).content).pixels


# --- files ---------------------------------------------------------------------------------------------


def test_a_psd_holds_the_set_its_shadow_and_the_product(shop: Shop) -> None:
    record = scene(shop, format="psd")
    answer = file(record)
    assert record["format"] == "psd"
    assert answer.headers["content-type"] == "image/vnd.adobe.photoshop"
    document = PSDImage.open(io.BytesIO(answer.content))
    names = [layer.name for layer in document]
    assert names[0] == "background" and names[-1] == "product" and "shadow" in names
    flat = np.asarray(document.composite(force=True).convert("RGB")).astype(int)
    assert np.abs(flat - np.asarray(Image.open(io.BytesIO(answer.content)))).max() <= 1
    assert record["fidelity"]["maxDifference"] == 0


def test_the_product_layer_hides_a_set_without_a_product(shop: Shop) -> None:
    """What makes layers worth having: the product can be moved, and nothing of it is left behind."""
    layers = {layer.name: np.asarray(layer.topil().convert("RGB")) for layer in PSDImage.open(
        io.BytesIO(file(scene(shop, format="psd")).content)
    )}  # fmt: skip
    middle = layers["background"][100:130, 80:110].reshape(-1, 3).astype(int)
    assert np.ptp(middle.mean(axis=0)) < 12, "grey paper, not a red cup"


def test_sixteen_bits_hold_more_than_eight(shop: Shop) -> None:
    record = scene(shop, bitDepth=16)
    content = file(record).content
    assert (record["bitDepth"], probe(content).mode) == (16, "RGB;16")
    deep = decode(content, keep_depth=True).deep
    assert deep is not None
    assert (deep % 257 != 0).mean() > 0.3, "the set's light lies between the levels of 8 bits"
    assert record["fidelity"]["maxDifference"] == 0


def test_layers_have_sixteen_bits_where_they_are_wanted(shop: Shop) -> None:
    record = scene(shop, format="psd", bitDepth=16)
    document = PSDImage.open(io.BytesIO(file(record).content))
    assert (record["bitDepth"], document.depth) == (16, 16)
    lit = np.rint(document[0].numpy()[..., :3] * 65_535).astype(int)
    assert (document[0].name, (lit % 257 != 0).mean() > 0.3) == ("background", True), "between the levels of 8 bits"
    assert record["fidelity"]["maxDifference"] == 0


@pytest.mark.parametrize(
    ("path", "fields", "pointer"),
    [
        ("/generations", {**SMALL, "bitDepth": 16, "format": "jpeg"}, "/bitDepth"),
        ("/generations", {**SMALL, "bitDepth": 12}, "/bitDepth"),
        ("/tools/remove-bg", {"bitDepth": 16, "maskOnly": True}, "/bitDepth"),
        ("/tools/remove-bg", {"format": "psd", "maskOnly": True}, "/format"),
        ("/tools/upscale", {"format": "psd"}, "/format"),
        ("/tools/expand", {"ratio": "1:1", "format": "psd"}, "/format"),
        ("/generations", {**SMALL, "pose": "lying", "view": "front"}, "/view"),
        ("/generations", {**SMALL, "pose": "hanging", "view": "top"}, "/view"),
        ("/generations", {**SMALL, "pose": "dancing"}, "/pose"),
        ("/generations", {**SMALL, "relight": "yes"}, "/relight"),
        ("/generations", {**SMALL, "productIds": ["one"]}, "/productIds"),
    ],
)
def test_what_cannot_be_is_refused_by_its_field(shop: Shop, path: str, fields: dict[str, Any], pointer: str) -> None:
    answer = shop.client.post(path, json={"productId": shop.product["id"], **fields})
    problem = check_problem(answer)
    assert answer.status_code in (400, 422)
    assert any(error["pointer"].startswith(pointer) for error in problem["errors"]), problem


def test_a_cut_out_as_psd_has_its_shadow_as_a_layer(shop: Shop) -> None:
    wanted = {"productId": shop.product["id"], "shadow": "soft", "format": "psd"}
    record = made(shop.client.post("/tools/remove-bg", json=wanted, headers=PATIENT), 200)
    document = PSDImage.open(io.BytesIO(file(record).content))
    assert [(layer.name, layer.blend_mode.name) for layer in document] == [
        ("shadow", "MULTIPLY"),
        ("product", "NORMAL"),
    ]


# --- scenes --------------------------------------------------------------------------------------------


def test_several_products_stand_together_and_all_are_proved(shop: Shop) -> None:
    """One is green and lies beyond the red cup's colours: each must be seen."""
    image = Image.new("RGBA", (120, 300))
    image.paste((20, 140, 60, 255), (10, 10, 110, 290))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    upload = made(shop.client.post("/uploads", files={"file": ("tin.png", buffer.getvalue())}))
    tin = made(
        shop.client.post("/products", json={"name": "Tin", "category": "drinks", "imagePath": upload["imagePath"]})
    )
    both = [shop.product["id"], tin["id"]]
    record = scene(shop, productId=None, productIds=both)
    assert (record["productId"], record["productIds"]) == (both[0], both)
    alone = scene(shop)
    assert alone["productIds"] == [both[0]]
    assert len(record["details"]["products"]) == 2
    seen = pixels(record).astype(int)
    assert ((seen[..., 1] > 120) & (seen[..., 0] < 60)).sum() > 200, "the tin"
    assert ((seen[..., 0] > 120) & (seen[..., 1] < 60)).sum() > 200, "the cup"
    assert record["fidelity"]["maxDifference"] == 0


def test_the_first_of_a_group_is_its_product(shop: Shop) -> None:
    other = made(
        shop.client.post("/products", json={"name": "B", "category": "drinks", "imagePath": "products/sample.png"})
    )
    wanted = {**SMALL, "productId": other["id"], "productIds": [shop.product["id"], other["id"]]}
    check_problem(shop.client.post("/generations", json=wanted), 422, "invalid_request")
    wanted = {**SMALL, "productIds": [shop.product["id"], "0197f5a0-4c8e-7d3a-9b6f-2f6f3c1e8a55"]}
    check_problem(shop.client.post("/generations", json=wanted), 404, "product_not_found")
    check_problem(shop.client.post("/generations", json=SMALL), 422, "invalid_request")


def test_variants_differ_on_purpose_and_the_first_is_the_picture_itself(shop: Shop) -> None:
    first = scene(shop, count=3)
    listed = shop.client.get(f"/generations?requestId={first['requestId']}").json()
    records = sorted(listed, key=lambda record: record["variant"])
    assert [record["variant"] for record in records] == [0, 1, 2]
    assert "variation" not in records[0]["details"]
    for record in records[1:]:
        ended = record
        while ended["status"] not in ("completed", "failed"):
            ended = shop.client.get(f"/generations/{record['id']}").json()
        assert ended["status"] == "completed", ended
        changed = ended["details"]["variation"]
        assert changed["heading"] != 0 or changed["lights"] or changed["props"]
    assert np.array_equal(pixels(first), pixels(scene(shop))), "variant 0 is what a request without count gives"


def test_a_floating_product_and_a_relit_one_say_so(shop: Shop) -> None:
    floating = scene(shop, pose="floating")
    assert floating["details"]["pose"] == "floating"
    relit = scene(shop, relight="match", customPrompt="warm evening light")
    assert relit["fidelity"]["against"] == "relit"
    assert "product_relit" in relit["notes"]
    assert relit["details"]["relight"]["mode"] == "match"
    assert scene(shop)["fidelity"]["against"] == "source"


# --- brand kit -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def branded(server: Server) -> Iterator[Shop]:
    """A library of its own, for its kit changes every scene in it."""
    key = server.create_key("brand", library="brand")
    with server.client(key) as client:
        yield furnish(key, client)


KIT = {
    "colours": ["#1F3B57", "#e0b040"],
    "scenes": ["studio", "marble"],
    "logoSafeArea": {"left": 0.0, "top": 0.0, "width": 0.5, "height": 1.0},
}


def test_a_library_without_a_kit_has_an_empty_one(server: Server) -> None:
    with server.client(server.create_key("plain", library="plain")) as client:
        kit = client.get("/brand-kit").json()
    assert kit == {"colours": [], "scenes": [], "logoSafeArea": None, "updatedAt": None}


def test_a_kit_fills_what_a_scene_leaves_out(branded: Shop, shop: Shop) -> None:
    kit = made(branded.client.put("/brand-kit", json=KIT), 200)
    assert (kit["colours"], kit["scenes"]) == (["#1f3b57", "#e0b040"], ["studio", "marble"])
    assert branded.client.get("/brand-kit").json() == kit
    assert shop.client.get("/brand-kit").json()["colours"] == [], "another library's stays its own"

    record = scene(branded, scene=None)
    assert record["scene"] == "studio"
    assert record["details"]["brandColours"] == ["#1f3b57"]
    left, _, right, _ = record["details"]["placement"]["box"]
    assert left >= 96 and right <= 192, "the logo's half is free"
    corner = pixels(record)[:20, :20].reshape(-1, 3).mean(axis=0)
    assert corner[2] > corner[0] + 15, "navy paper"

    own = scene(branded, scene="marble", placement={"x": 0.3}, brandKit=False)
    assert own["scene"] == "marble"
    assert "logoSafeArea" not in own["details"]


@pytest.mark.parametrize(
    ("kit", "pointer"),
    [
        ({"colours": ["red"]}, "/colours"),
        ({"scenes": ["moon"]}, "/scenes/0"),
        ({"logoSafeArea": {"left": 0.8, "top": 0, "width": 0.3, "height": 0.1}}, "/logoSafeArea"),
        ({"logoSafeArea": {"left": 0, "top": 0, "width": 0.9, "height": 0.9}}, "/logoSafeArea"),
        ({"colors": []}, ""),
    ],
)
def test_a_wrong_kit_is_refused_by_its_field(branded: Shop, kit: dict[str, Any], pointer: str) -> None:
    answer = branded.client.put("/brand-kit", json=kit)
    problem = check_problem(answer)
    assert answer.status_code in (400, 422)
    assert any(error["pointer"].startswith(pointer) for error in problem["errors"]), problem
