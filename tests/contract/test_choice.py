"""A request that names no set: its prompt chooses one, and the record says which."""

from __future__ import annotations

from typing import Any

import pytest
from shop import Shop, check_problem


def asked(shop: Shop, **fields: Any) -> Any:
    return shop.client.post("/generations", json={"productId": shop.product["id"], "resolution": "64x64", **fields})


@pytest.mark.parametrize("fields", [{"scene": "auto"}, {}], ids=["auto", "left out"])
def test_the_prompt_chooses_the_set(fields: dict[str, Any], shop: Shop) -> None:
    answer = asked(shop, customPrompt="on a sandy beach, low sun", **fields)
    assert answer.status_code == 202
    assert answer.json()["scene"] == "beach"
    assert answer.json()["prompt"] == "on a sandy beach, low sun"


def test_what_the_negative_prompt_names_is_not_chosen(shop: Shop) -> None:
    answer = asked(shop, scene="auto", customPrompt="marble, roses", negativePrompt="flat lay, petals")
    assert answer.json()["scene"] == "marble"


def test_without_a_word_the_first_set_is_taken(shop: Shop) -> None:
    assert asked(shop, scene="auto").json()["scene"] == "studio"


def test_neither_scene_nor_prompt_is_an_error_that_names_the_choices(shop: Shop) -> None:
    answer = asked(shop)
    check_problem(answer, 422, "invalid_request")
    (wrong,) = answer.json()["errors"]
    assert wrong["pointer"] == "/scene"
    assert "auto, studio" in wrong["detail"]
