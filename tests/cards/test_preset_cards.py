"""Preset cards: what ships, and a studio's own."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pergai.cards.catalogue import load_catalogue
from pergai.errors import CardError
from pergai.paths import Home, packaged

OWN = """
title = "Our shop"
source = "our own style guide"
width = 900
height = 1200
fill = 0.7
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "presets").mkdir()
    return Home(tmp_path)


def write(home: Home, text: str, name: str = "ours") -> None:
    (home.overlay("presets") / f"{name}.toml").write_text(text)


def test_every_preset_says_where_its_rules_stand_and_when_they_were_compared() -> None:
    presets = load_catalogue().presets
    assert {"amazon", "ebay", "etsy", "google-merchant", "shopify", "walmart", "zalando", "bol"} <= set(presets)
    assert all(preset.source.startswith("https://") for preset in presets.values())
    texts = [path.read_text() for path in packaged("configs").glob("presets/*.toml")]
    assert all("\nchecked = " in text for text in texts), "nobody can forget to say it"


def test_pages_of_others_count_when_two_of_them_agree() -> None:
    for preset in load_catalogue().presets.values():
        own = _owner(preset.source)
        others = {_owner(page) for page in preset.compared_with} - {own}
        assert len(others) != 1, f"{preset.id}: one page of others proves nothing"
        assert not preset.compared_with or preset.checked, f"{preset.id}: compared, and no day said"


def _owner(page: str) -> str:
    """The name before `.com`, `.de` or `.com.ar`: one shop has many hosts."""
    return (urlsplit(page).hostname or "").removesuffix(".ar").split(".")[-2]


def test_a_preset_that_was_compared_says_on_which_day(home: Home) -> None:
    write(home, OWN)
    write(home, OWN + "checked = 2026-11-25", "compared")
    presets = load_catalogue(home).presets
    assert presets["ours"].checked is False
    assert presets["compared"].checked == date(2026, 11, 25)


def test_a_studios_own_preset_joins_and_replaces(home: Home) -> None:
    write(home, OWN)
    write(home, OWN, "amazon")
    presets = load_catalogue(home).presets
    assert presets["ours"].height == 1200
    assert presets["amazon"].title == "Our shop"
    assert "ebay" in presets


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (OWN + 'scene = "moon"', "scene: 'moon' is not one of"),
        (OWN + 'format = "gif"', "format"),
        (OWN + 'background = "mauve"', "background"),
        (OWN.replace("0.7", "1.7"), "fill"),
        (OWN + 'checked = "yes"', "checked"),
        (OWN + 'compared_with = ["a friend"]', "compared_with"),
        (OWN + 'shadow = "long"', "shadow"),
        (OWN + "colour = 1", "colour"),
    ],
)
def test_a_wrong_field_is_named_with_its_file(home: Home, text: str, named: str) -> None:
    write(home, text)
    with pytest.raises(CardError, match=named) as raised:
        load_catalogue(home)
    assert "ours.toml" in raised.value.detail
