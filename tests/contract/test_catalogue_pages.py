"""A shop's page over HTTP: one set for all products, and their true sizes."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pytest
from shop import PATIENT, Shop, check_problem

from pergai.imaging.decode import decode

SMALL = {"scene": "studio", "resolution": "128x128"}


def scene(shop: Shop, **fields: Any) -> httpx.Response:
    return shop.client.post("/generations", json={"productId": shop.product["id"], **SMALL, **fields}, headers=PATIENT)


def test_a_locked_camera_needs_no_seed_and_gives_the_same_picture_again(shop: Shop) -> None:
    first, again = (scene(shop, lockCamera=True).json() for _ in range(2))
    assert (first["status"], first["seed"], again["seed"]) == ("completed", 0, 0), first
    assert first["details"]["cameraLocked"] is True
    assert first["details"]["viewDecidedBy"] == "lock"
    pictures = [decode(httpx.get(each["resultImagePath"]).content).pixels for each in (first, again)]
    assert np.array_equal(*pictures)


def test_a_real_height_decides_the_size_in_the_picture(shop: Shop) -> None:
    (frame,) = (each["frameMm"] for each in shop.client.get("/templates").json() if each["id"] == "studio")
    record = scene(shop, realHeightMm=frame / 4, seed=1).json()
    _, top, _, bottom = record["details"]["placement"]["box"]
    assert abs((bottom - top) - 128 / 4) <= 1


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"realHeightMm": 100, "placement": {"scale": 0.5}}, "/realHeightMm"),
        ({"realHeightMm": 5000}, "/realHeightMm"),
        ({"realHeightMm": 1}, "/realHeightMm"),
        ({"realHeightMm": 0}, "/realHeightMm"),
        ({"lockCamera": True, "pose": "floating"}, "/pose"),
        ({"lockCamera": "yes"}, "/lockCamera"),
    ],
)
def test_what_cannot_be_is_refused_by_its_field(shop: Shop, fields: dict[str, Any], pointer: str) -> None:
    problem = check_problem(scene(shop, **fields), 422, "invalid_request")
    assert [error["pointer"] for error in problem["errors"]] == [pointer]
