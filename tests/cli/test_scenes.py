"""`pergai scenes check`: a studio's mistakes are named by file, line and field."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from pergai.cli.scenes import scenes
from pergai.errors import CardError

GOOD = """\
title = "Mine"
category = "studio"
prompt = "product on a shelf"

[set]
floor = { material = "wood" }

[[set.lights]]
kind = "softbox"
power = 1.0

[[set.lights]]
kind = "sun"
power = 0.5
"""


def check(home: Path, card: str) -> str:
    folder = home / "scenes"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mine.toml").write_text(card, encoding="utf-8")
    done = CliRunner().invoke(scenes, ["check", "--home", str(home)])
    if done.exception is None:
        return done.output
    assert isinstance(done.exception, CardError)
    return str(done.exception)


def test_a_good_card_is_counted_with_the_packaged_ones(tmp_path: Path) -> None:
    assert check(tmp_path, GOOD).strip().endswith("scenes are right")


@pytest.mark.parametrize(
    ("right", "wrong", "line", "says"),
    [
        ('material = "wood"', 'materiel = "wood"', 6, "unknown field `materiel` - at set.floor"),
        ('material = "wood"', 'material = "cheese"', 6, "'cheese' - at set.floor.material"),
        ("power = 0.5", 'power = "much"', 14, "Expected `float`, got `str` - at set.lights[1].power"),
        ('kind = "softbox"', 'kind = "bulb"', 9, "'bulb' - at set.lights[0].kind"),
        ('material = "wood"', 'colour = "red"', 6, "set.floor.colour: 'red' is not a colour"),
        ("[set]", "[set", 5, ""),
    ],
)
def test_a_mistake_is_named_with_its_line(right: str, wrong: str, line: int, says: str, tmp_path: Path) -> None:
    said = check(tmp_path, GOOD.replace(right, wrong))
    assert "mine.toml" in said
    assert f":{line}: " in said or f"line {line}," in said
    assert says in said
