"""The words a prompt may use of a set. The words themselves are data: `configs/vocabulary.toml`; what they do is in `changes`,
how a sentence is understood in `reader`."""

from __future__ import annotations

import re
from functools import cache, cached_property
from typing import Any, Literal

import msgspec

from pergai.cards.catalogue import read_toml
from pergai.errors import CardError
from pergai.paths import packaged

Target = Literal["floor", "backdrop", "stand", "light", "props"]

TOKEN = re.compile(r"#[0-9a-f]{6}\b|[^\W_]+(?:['-][^\W_]+)*|[,;:.!?\n]")
"""A word, a colour, or a mark that ends a clause."""


class Vocabulary(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """The data file."""

    colours: dict[str, str]
    """Name → "#rrggbb"."""
    shades: dict[str, dict[str, float]]
    """Before a colour ("pale teal") → shares of white, black, grey, warm, cool that are mixed in; saturation is a factor."""
    materials: dict[str, dict[str, Any]]
    """Name → fields of a finish, and the floor's shape."""
    lights: dict[str, dict[str, float]]
    """Name → changes of the light; see the file."""
    camera: dict[str, dict[str, float | str]]
    """Name → changes of the camera."""
    props: dict[str, tuple[dict[str, Any], ...]]
    """Name → props that are added."""
    moods: dict[str, str]
    """Name of a mood, a place, a season → the prompt it stands for."""
    targets: dict[str, Target]
    """Name of a part → the part."""
    removals: dict[str, Literal["props", "stand", "shadow", "reflection", "vignette", "bokeh", "gobo", "grain"]]
    """After a negation → what is taken away, beside props, materials and light."""
    emphasis: dict[str, float]
    """Before another word → how much of its change is made; 1 is all."""
    sizes: dict[str, float]
    """Before a prop → factor of its size."""
    amounts: dict[str, float]
    """Before a prop → how many: a number, or a factor where it is below 1 or has a fraction."""
    synonyms: dict[str, str]
    """Another name → the name used above."""
    negations: tuple[str, ...]
    wholes: tuple[str, ...]
    """Before a colour: floor, backdrop and stand alike ("all", "mostly")."""
    absent: tuple[str, ...]
    """What no set ever holds ("people", "text"); asking for none of it is already fulfilled."""
    qualities: tuple[str, ...]
    """What may stand between a colour and its thing and asks for nothing more ("pink seamless paper")."""
    fillers: tuple[str, ...]
    """Words that ask for nothing a set could give ("a", "photo", "beautiful")."""

    @cached_property
    def known(self) -> frozenset[str]:
        """Every word and phrase."""
        tables = (
            self.colours, self.shades, self.materials, self.lights, self.camera, self.props, self.moods, self.targets,
            self.removals, self.emphasis, self.sizes, self.amounts, self.synonyms,
        )  # fmt: skip
        return frozenset(name for table in tables for name in table) | {
            *self.negations, *self.wholes, *self.absent, *self.qualities, *self.fillers,
        }  # fmt: skip

    @cached_property
    def longest(self) -> int:
        """Words of the longest phrase."""
        return max(name.count(" ") + 1 for name in self.known)

    def phrases(self, text: str) -> list[str]:
        """A text's words under the names used here, longest phrase first, unknown words as they are in lower case, and the
        marks between them."""
        tokens = TOKEN.findall(text.lower().replace("’", "'"))
        found, i = [], 0
        while i < len(tokens):
            for length in range(min(self.longest, len(tokens) - i), 0, -1):
                name = self.name(" ".join(tokens[i : i + length]))
                if length == 1 or name in self.known:
                    found.append(name)
                    i += length
                    break
        return found

    def name(self, phrase: str) -> str:
        """The name used here for a word or phrase: of a synonym, a plural, an "-ish"; itself when there is none."""
        if phrase in self.known:
            return self.synonyms.get(phrase, phrase)
        for ending, instead in (("ies", "y"), ("ves", "f"), ("es", ""), ("s", ""), ("ish", ""), ("dish", "d")):
            if phrase.endswith(ending) and (stem := phrase.removesuffix(ending) + instead) in self.known:
                return self.synonyms.get(stem, stem)
        if "-" in phrase and (spaced := phrase.replace("-", " ")) in self.known:
            return self.synonyms.get(spaced, spaced)
        return phrase


@cache
def load() -> Vocabulary:
    """The vocabulary as it ships. Raises CardError naming the field."""
    path = packaged("configs") / "vocabulary.toml"
    try:
        return msgspec.convert(read_toml(path), Vocabulary)
    except msgspec.ValidationError as error:
        raise CardError(f"{path}: {error}") from error
