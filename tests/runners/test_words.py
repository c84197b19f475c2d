"""Words: prompts as a studio types them, written down in prompts.toml with what each must give."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from pergai.cards.catalogue import load_catalogue
from pergai.cards.choice import choose
from pergai.runners.render import reader, vocabulary
from pergai.runners.render.colour import is_colour
from pergai.runners.render.spec import PhotoSet, check

SCENES = load_catalogue().scenes
PROMPTS: list[dict[str, Any]] = tomllib.loads((Path(__file__).parent / "prompts.toml").read_text(encoding="utf-8"))[
    "prompt"
]
WISH = re.compile(r"(?P<path>[\w.\[\]]+?)(?P<op>>=|<=|=|>|<|\+|-)(?P<value>[^\s]*)")


@pytest.mark.parametrize("case", PROMPTS, ids=lambda case: case["says"][:60])
def test_a_prompt_gives_what_was_written_down(case: dict[str, Any]) -> None:
    says, negative = case["says"], case.get("negative", "")
    if "chooses" in case:
        assert choose(SCENES, says, negative).id in case["chooses"].split()
        return
    card = SCENES[case.get("scene", "studio")]
    plain = check(card)
    adjusted = reader.adjust(plain, says, negative, reader.own_words(card) if case.get("own") else ())
    for wish in case.get("gives", "").split():
        assert holds(wish, adjusted.photo_set, plain), f"{wish}: {seen(wish, adjusted.photo_set)}"
    if "shadow" in case:
        assert adjusted.shadow == case["shadow"]
    assert list(adjusted.unused) == case.get("unknown", [])
    if case.get("nothing"):
        assert adjusted.photo_set == plain


def holds(wish: str, given: PhotoSet, plain: PhotoSet) -> bool:
    """`path=value`; `path<value` and `path>value` of numbers, or of what it was when no value stands there; `props+kind` and
    `props-kind`: there is one, there is none."""
    match = WISH.fullmatch(wish)
    assert match is not None, wish
    path, op, value = match["path"], match["op"], match["value"]
    if path == "props":
        return (value in {prop.kind for prop in given.props}) == (op == "+")
    found = at(given, path)
    if op == "=":
        return found == float(value) if isinstance(found, float) else str(found) == value
    limit = float(value) if value else at(plain, path)
    return bool(found > limit if op == ">" else found < limit)


def seen(wish: str, given: PhotoSet) -> object:
    match = WISH.fullmatch(wish)
    assert match is not None
    return [prop.kind for prop in given.props] if match["path"] == "props" else at(given, match["path"])


def at(photo_set: PhotoSet, path: str) -> Any:
    """A field: "floor.material", "light.size" (the main light's width), "props[0].colour", "count(leaves)"."""
    node: Any = photo_set
    for name in path.replace("light.", "lights[0].", 1).split("."):
        field, _, index = name.partition("[")
        node = getattr(node, field)
        if index:
            node = node[int(index.rstrip("]"))]
    return node[0] if path == "light.size" else node


def test_at_least_a_hundred_and_fifty_prompts_are_written_down() -> None:
    assert len(PROMPTS) >= 150
    assert len({case["says"] + case.get("scene", "") for case in PROMPTS}) == len(PROMPTS)


def test_the_vocabulary_has_more_than_four_hundred_words_and_every_synonym_means_one_of_them() -> None:
    v = vocabulary.load()
    tables = (
        v.colours,
        v.shades,
        v.materials,
        v.lights,
        v.camera,
        v.props,
        v.moods,
        v.targets,
        v.emphasis,
        v.sizes,
        v.amounts,
    )
    names = {name for table in tables for name in table}
    assert len(names) >= 400
    assert not {name for name, meant in v.synonyms.items() if meant not in names and meant not in v.wholes}
    assert not v.synonyms.keys() & names
    assert all(is_colour(colour) for colour in v.colours.values())


@pytest.mark.parametrize("word", [*vocabulary.load().materials, *vocabulary.load().props, *vocabulary.load().moods])
def test_every_word_for_a_thing_changes_a_set(word: str) -> None:
    plain = check(SCENES["studio"])
    adjusted = reader.adjust(plain, word)
    assert adjusted.words == (word,)
    assert adjusted.photo_set != plain
    check_again = reader.adjust(adjusted.photo_set, "")
    assert check_again.photo_set == adjusted.photo_set


@pytest.mark.parametrize("mood", vocabulary.load().moods)
def test_every_mood_is_made_of_words_of_the_vocabulary(mood: str) -> None:
    assert not reader.adjust(check(SCENES["podium"]), vocabulary.load().moods[mood]).unused


@pytest.mark.parametrize("scene", SCENES)
def test_a_scene_is_chosen_by_its_own_title_and_description(scene: str) -> None:
    card = SCENES[scene]
    assert choose(SCENES, f"{card.title}, {card.description}").id == scene


def test_a_prompt_that_meets_no_scene_gets_the_first_of_the_list() -> None:
    assert choose(SCENES, "quixotic unicorn").id == next(iter(SCENES))
