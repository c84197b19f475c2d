"""What the words of a prompt do to a set. The words themselves are data: `configs/vocabulary.toml`.

A prompt is read from left to right, longest phrase first. A word changes the part of the set it is said of: "oak floor"
the floor, "teal backdrop" the backdrop; alone, a colour paints the backdrop and a material lays the floor. "no",
"without" and the negative prompt take away.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import msgspec

from pergai.cards.catalogue import read_toml
from pergai.errors import CardError
from pergai.paths import packaged
from pergai.runners.render.spec import Light, PhotoSet, Prop

Target = Literal["floor", "backdrop", "stand", "light"]


class Vocabulary(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The data file."""

    colours: dict[str, str]
    """Name → "#rrggbb"."""
    materials: dict[str, dict[str, Any]]
    """Name → fields of a finish."""
    lights: dict[str, dict[str, float]]
    """Name → changes: kelvin, size, power, azimuth, elevation, exposure, contrast, ambient, saturation."""
    props: dict[str, tuple[dict[str, Any], ...]]
    """Name → props that are added."""
    moods: dict[str, tuple[str, ...]]
    """Name → other words of the vocabulary that it stands for."""
    targets: dict[str, Target]
    """Name of a part → the part."""
    synonyms: dict[str, str]
    """Another name → the name used above."""
    negations: tuple[str, ...]
    fillers: tuple[str, ...]
    """Words that ask for nothing a set could give ("a", "photo", "beautiful")."""


@dataclass(frozen=True, slots=True)
class Adjusted:
    """A set after a prompt."""

    photo_set: PhotoSet
    words: tuple[str, ...]
    """The words that changed something, in their order."""
    unused: tuple[str, ...]
    """The words that were not understood."""


def adjust(photo_set: PhotoSet, prompt: str, negative_prompt: str = "") -> Adjusted:
    """A set changed as a prompt asks, as far as the vocabulary goes."""
    vocabulary = load()
    reader = _Reader(vocabulary, photo_set)
    reader.read(prompt)
    reader.read(negative_prompt, negated=True)
    return Adjusted(reader.photo_set, tuple(dict.fromkeys(reader.words)), tuple(dict.fromkeys(reader.unused)))


@cache
def load() -> Vocabulary:
    """The vocabulary as it ships. Raises CardError naming the field."""
    path = packaged("configs") / "vocabulary.toml"
    try:
        return msgspec.convert(read_toml(path), Vocabulary)
    except msgspec.ValidationError as error:
        raise CardError(f"{path}: {error}") from error


class _Reader:
    def __init__(self, vocabulary: Vocabulary, photo_set: PhotoSet) -> None:
        self.vocabulary = vocabulary
        self.photo_set = photo_set
        self.words: list[str] = []
        self.unused: list[str] = []
        self.tint = ""
        """Colour of the next prop."""
        tables: tuple[Mapping[str, Any], ...] = (
            vocabulary.colours, vocabulary.materials, vocabulary.lights, vocabulary.props, vocabulary.moods,
            vocabulary.targets, vocabulary.synonyms,
        )  # fmt: skip
        self.known = {name for table in tables for name in table}
        self.longest = max((name.count(" ") + 1 for name in self.known), default=1)

    def read(self, text: str, negated: bool = False) -> None:
        for clause in re.split(r"[,;.!?\n]+| and | with | but ", text.lower()):
            self._clause(self._phrases(clause), negated)

    def _phrases(self, clause: str) -> list[str]:
        tokens = re.findall(r"#[0-9a-f]{6}\b|[a-zäöüéè0-9'-]+", clause)
        phrases, i = [], 0
        while i < len(tokens):
            for length in range(min(self.longest, len(tokens) - i), 0, -1):
                phrase = " ".join(tokens[i : i + length])
                name = self._name(phrase)
                if length == 1 or name in self.known:
                    phrases.append(name)
                    i += length
                    break
        return phrases

    def _name(self, phrase: str) -> str:
        if phrase in self.known:
            return self.vocabulary.synonyms.get(phrase, phrase)
        for ending, instead in (("ies", "y"), ("es", ""), ("s", ""), ("ish", "")):
            if phrase.endswith(ending) and (stem := phrase.removesuffix(ending) + instead) in self.known:
                return self.vocabulary.synonyms.get(stem, stem)
        return phrase

    def _clause(self, phrases: list[str], negated: bool) -> None:
        v = self.vocabulary
        no = negated
        for i, word in enumerate(phrases):
            before, after = phrases[i - 1] if i else "", phrases[i + 1] if i + 1 < len(phrases) else ""
            if word in v.negations:
                no = True
            elif word in v.colours and before in v.colours:
                self.words.append(word)  # "sage green": the first names the shade
            elif (word in v.colours or word.startswith("#")) and after in v.props and not no:
                self.words.append(word)
                self.tint = v.colours.get(word, word)
            elif word in v.fillers or word in v.targets:
                continue
            elif word in v.moods:
                self.words.append(word)
                for part in v.moods[word]:
                    self._apply(part, None, no)
            elif self._apply(word, self._target(phrases, i), no):
                self.words.append(("no " if no and not negated else "") + word)
            elif not negated:
                self.unused.append(word)

    def _target(self, phrases: list[str], at: int) -> Target | None:
        """The part a word is said of: the next one named after it, else one named before with "is" or "of"."""
        for word in phrases[at + 1 : at + 4]:
            if word in self.vocabulary.targets:
                return self.vocabulary.targets[word]
        for word in reversed(phrases[max(at - 3, 0) : at]):
            if word in self.vocabulary.targets:
                return self.vocabulary.targets[word]
        return None

    def _apply(self, word: str, target: Target | None, no: bool) -> bool:
        v = self.vocabulary
        if re.fullmatch(r"#[0-9a-f]{6}", word) and not no:
            self._paint(word, target)
        elif word in v.colours and not no:
            self._paint(v.colours[word], target)
        elif word in v.materials:
            if no:
                return self._without_material(str(v.materials[word].get("material", "")))
            self._lay(v.materials[word], target)
        elif word in v.lights and not no:
            self._light(v.lights[word])
        elif word in v.props:
            if no:
                return self._without_props(word)
            added = msgspec.convert(list(v.props[word]), tuple[Prop, ...])
            if self.tint:
                added = tuple(msgspec.structs.replace(prop, colour=self.tint) for prop in added)
                self.tint = ""
            self.photo_set = msgspec.structs.replace(self.photo_set, props=self.photo_set.props + added)
        elif word in v.lights and no:
            return self._without_light(word)
        else:
            return False
        return True

    def _paint(self, colour: str, target: Target | None) -> None:
        s = self.photo_set
        one_piece = s.backdrop.kind == "sweep" and not s.backdrop.colour and s.backdrop.material == "paper"
        if target == "light":
            lights = tuple(msgspec.structs.replace(light, colour=colour) for light in s.lights)
            self.photo_set = msgspec.structs.replace(s, lights=lights)
        elif target == "stand":
            stand = msgspec.structs.replace(s.stand, colour=colour, accent="")
            self.photo_set = msgspec.structs.replace(s, stand=stand)
        elif target == "floor" or one_piece or s.backdrop.kind == "none":
            floor = msgspec.structs.replace(s.floor, colour=colour, accent="")
            self.photo_set = msgspec.structs.replace(s, floor=floor)
        else:
            backdrop = msgspec.structs.replace(s.backdrop, colour=colour, accent="")
            self.photo_set = msgspec.structs.replace(s, backdrop=backdrop)

    def _lay(self, finish: Mapping[str, Any], target: Target | None) -> None:
        s = self.photo_set
        change = {"colour": "", "accent": "", "gloss": None, **finish}
        if target == "backdrop":
            kind = "wall" if s.backdrop.kind in {"sweep", "sky", "none"} else s.backdrop.kind
            shown = {
                k: x for k, x in change.items() if k in s.backdrop.__struct_fields__ and k not in {"shape", "kind"}
            }
            self.photo_set = msgspec.structs.replace(
                s, backdrop=msgspec.structs.replace(s.backdrop, kind=kind, **shown)
            )
        elif target == "stand":
            raised = "cylinder" if s.stand.kind == "none" else s.stand.kind
            shown = {k: x for k, x in change.items() if k in s.stand.__struct_fields__ and k not in {"shape", "kind"}}
            self.photo_set = msgspec.structs.replace(s, stand=msgspec.structs.replace(s.stand, kind=raised, **shown))
        else:
            shape = str(finish.get("shape", "flat"))
            shown = {k: x for k, x in change.items() if k in s.floor.__struct_fields__ and k != "shape"}
            backdrop = s.backdrop
            if backdrop.kind == "sweep" and not backdrop.colour and backdrop.material == "paper" and s.floor.colour:
                backdrop = msgspec.structs.replace(backdrop, colour=s.floor.colour)
            floor = msgspec.structs.replace(s.floor, shape=shape, **shown)
            self.photo_set = msgspec.structs.replace(s, floor=floor, backdrop=backdrop)

    def _light(self, change: Mapping[str, float]) -> None:
        s = self.photo_set
        look, ambient = s.look, s.ambient
        lights = list(s.lights)
        if lights:
            lights[0] = _relit(lights[0], change)
        if "kelvin" in change:
            lights[1:] = [_relit(light, {"kelvin": change["kelvin"]}) for light in lights[1:]]
        look = msgspec.structs.replace(
            look,
            exposure=look.exposure + change.get("exposure", 0.0),
            contrast=look.contrast + change.get("contrast", 0.0),
            saturation=look.saturation * change.get("saturation", 1.0),
        )
        ambient = msgspec.structs.replace(ambient, power=ambient.power * change.get("ambient", 1.0))
        self.photo_set = msgspec.structs.replace(s, lights=tuple(lights), look=look, ambient=ambient)

    def _without_props(self, word: str) -> bool:
        kinds = {prop.get("kind") for prop in self.vocabulary.props[word]}
        s = self.photo_set
        kept = tuple(prop for prop in s.props if prop.kind not in kinds)
        lights = tuple(
            msgspec.structs.replace(light, gobo="none")
            if word == "leaf" and light.gobo in {"leaves", "palm"}
            else light
            for light in s.lights
        )
        self.photo_set = msgspec.structs.replace(s, props=kept, lights=lights)
        return True

    def _without_material(self, material: str) -> bool:
        kept = tuple(prop for prop in self.photo_set.props if prop.material != material)
        self.photo_set = msgspec.structs.replace(self.photo_set, props=kept)
        return True

    def _without_light(self, word: str) -> bool:
        if "gobo" not in self.vocabulary.lights[word]:
            return False
        lights = tuple(msgspec.structs.replace(light, gobo="none") for light in self.photo_set.lights)
        self.photo_set = msgspec.structs.replace(self.photo_set, lights=lights)
        return True


_GOBOS = ("none", "leaves", "palm", "blinds", "window", "branches")


def _relit(light: Light, change: Mapping[str, float]) -> Light:
    """A light with a change: `size` is a factor, `gobo` an index into the list of gobos, `sun` makes it the sun."""
    width, height = light.size
    kind = "sun" if change.get("sun") else light.kind
    if change.get("sun") and light.kind != "sun":
        width, height = 1.2, 1.2
    factor = change.get("size", 1.0)
    return msgspec.structs.replace(
        light,
        kind=kind,
        size=(width * factor, height * factor),
        kelvin=change.get("kelvin", light.kelvin),
        colour="" if "kelvin" in change else light.colour,
        power=light.power * change.get("power", 1.0),
        azimuth=change.get("azimuth", light.azimuth),
        elevation=change.get("elevation", light.elevation),
        gobo=_GOBOS[int(change["gobo"])] if "gobo" in change else light.gobo,
    )
