"""Presets over HTTP: they fill what a request leaves out, and what a request names wins."""

from __future__ import annotations

import io
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from shop import PATIENT, Shop

Pixels = npt.NDArray[np.uint8]


def ended(shop: Shop, path: str, **fields: Any) -> dict[str, Any]:
    answer = shop.client.post(path, json={"productId": shop.product["id"], **fields}, headers=PATIENT)
    record: dict[str, Any] = answer.json()
    assert record.get("status") == "completed", record
    return record


def picture(record: dict[str, Any]) -> Image.Image:
    return Image.open(io.BytesIO(httpx.get(record["resultImagePath"]).content))


def share(mask: npt.NDArray[np.bool_]) -> float:
    """Of the frame that a mask's bounding box fills: its height or its width, whichever is the larger share."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return float(max((rows[-1] + 1 - rows[0]) / mask.shape[0], (columns[-1] + 1 - columns[0]) / mask.shape[1]))


def test_the_list_says_what_each_shop_asks_and_where_it_says_so(shop: Shop) -> None:
    presets = {preset["id"]: preset for preset in shop.client.get("/presets").json()}

    amazon = presets["amazon"]
    assert (amazon["scene"], amazon["background"], amazon["format"]) == ("white", "#ffffff", "jpeg")
    assert min(amazon["width"], amazon["height"]) >= 1000
    assert amazon["fill"] >= 0.85
    assert presets["google-merchant"]["maxBytes"] == 16_000_000
    assert all(preset["source"].startswith("https://") for preset in presets.values())
    assert len(amazon["comparedWith"]) >= 2, "its own page is for sellers"
    assert presets["bol"]["shadow"] == "none"
    assert all(preset["checked"] is False or len(preset["checked"]) == 10 for preset in presets.values())


def test_a_cut_out_for_amazon_is_white_and_fills_its_frame(shop: Shop) -> None:
    record = ended(shop, "/tools/remove-bg", preset="amazon")

    assert (record["width"], record["height"], record["format"], record["preset"]) == (2000, 2000, "jpeg", "amazon")
    pixels = np.asarray(picture(record))
    assert pixels.shape == (2000, 2000, 3)
    assert (pixels[:40] == 255).all() and (pixels[:, :40] == 255).all() and (pixels[-40:] == 255).all()
    assert share(pixels.min(axis=-1) < 240) >= 0.85
    assert record["fidelity"]["checkedPixels"] > 100_000


def test_what_a_request_names_wins(shop: Shop) -> None:
    record = ended(
        shop, "/tools/remove-bg", preset="instagram-story", background="transparent", format="png", margin=0.5
    )

    assert (record["width"], record["height"], record["format"]) == (1080, 1920, "png")
    pixels = np.asarray(picture(record))
    assert pixels.shape == (1920, 1080, 4)
    assert share(pixels[..., 3] >= 16) == pytest.approx(0.5, abs=0.02)


def test_a_preset_and_a_shadow_go_together(shop: Shop) -> None:
    record = ended(shop, "/tools/remove-bg", preset="ebay", shadow="soft", background="transparent", format="png")

    pixels = np.asarray(picture(record))
    assert pixels.shape == (1600, 1600, 4)
    shadow = (pixels[..., 3] > 20) & (pixels[..., 3] < 200) & (pixels[..., :3].max(axis=-1) == 0)
    assert shadow.sum() > 500
    assert record["model"] == "isnet+mitsuba"
    assert record["fidelity"]["maxDifference"] == 0


def test_a_shop_that_wants_no_shadow_gets_none(shop: Shop) -> None:
    body = {"preset": "bol", "resolution": "300x300", "format": "png"}
    bare, own = ended(shop, "/generations", **body), ended(shop, "/generations", **body, shadow="hard")

    left, top, right, bottom = bare["details"]["placement"]["box"]
    beside = np.ones((300, 300), np.bool_)
    beside[top:bottom, left:right] = False
    assert (np.asarray(picture(bare).convert("RGB"))[beside] == 255).all()
    assert (np.asarray(picture(own).convert("RGB"))[beside] < 250).any(), "a request's own shadow wins"


def test_a_scene_takes_the_presets_set_shape_and_product_size(shop: Shop) -> None:
    body = {"preset": "amazon", "resolution": "400x400", "format": "png"}
    record = ended(shop, "/generations", **body)

    assert (record["scene"], record["aspectRatio"], record["width"]) == ("white", "2000:2000", 400)
    left, top, right, bottom = record["details"]["placement"]["box"]
    assert max(right - left, bottom - top) / 400 >= 0.85
    assert left >= 0 and top >= 0 and right <= 400 and bottom <= 400
    pixels = np.asarray(picture(record).convert("RGB"))
    assert (pixels[0] == 255).all() and (pixels[:, 0] == 255).all() and (pixels[:, -1] == 255).all()

    own = ended(shop, "/generations", **body, scene="studio", aspectRatio="1:1", placement={"scale": 0.4})
    assert (own["scene"], own["aspectRatio"], own["preset"]) == ("studio", "1:1", "amazon")
    left, top, right, bottom = own["details"]["placement"]["box"]
    assert max(right - left, bottom - top) / 400 == pytest.approx(0.4, abs=0.02)
