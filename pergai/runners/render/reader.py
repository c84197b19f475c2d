"""From the words of a prompt to the changes of a set.

A prompt is read from left to right, clause by clause, longest phrase first. A word changes the part of the set it is said of:
"oak floor" the floor, "teal backdrop" the backdrop. Alone, the first colour paints the backdrop and the second the floor; a
material lays the floor. A colour or a material right before a material or a prop is that one's ("emerald velvet", "marble
spheres"). Of two words that want the same thing the later wins. "Very" and "slightly" say how much of a change is made, "mostly"
and "all" paint the whole set. "No", "without" and the negative prompt take away, as far as their clause reaches.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from pergai.cards.structs import SceneCard
from pergai.runners.render import changes
from pergai.runners.render.materials import MATERIALS
from pergai.runners.render.spec import PhotoSet, Prop
from pergai.runners.render.vocabulary import Target, Vocabulary, load

Shadow = Literal["auto", "none"]

_JOINTS = frozenset({*",;:.!?\n", "and", "or", "but", "with", "plus", "then"})
_AGAINST = -0.6
"""Strength of a light that is not wanted: "not warm" is a little cooler."""


@dataclass(frozen=True, slots=True)
class Adjusted:
    """A set after a prompt."""

    photo_set: PhotoSet
    words: tuple[str, ...]
    """The words that changed something, in their order."""
    unused: tuple[str, ...]
    """The words that were not understood."""
    shadow: Shadow = "auto"
    """ "none" where the product shall throw no shadow."""


def adjust(photo_set: PhotoSet, prompt: str, negative_prompt: str = "", fulfilled: Collection[str] = ()) -> Adjusted:
    """A set changed as a prompt asks, as far as the vocabulary goes. `fulfilled` are the words a set is made of already
    (`own_words`): said plainly, they change nothing."""
    reader = _Reader(load(), photo_set, frozenset(fulfilled))
    reader.read(prompt)
    reader.read(negative_prompt, unwanted=True)
    return Adjusted(
        reader.photo_set, tuple(dict.fromkeys(reader.words)), tuple(dict.fromkeys(reader.unused)), reader.shadow
    )


def own_words(card: SceneCard) -> frozenset[str]:
    """The materials, props, places and moods that a scene's own texts name."""
    v = load()
    found = v.phrases(" ".join((card.id, card.title, *card.words, card.description, card.prompt)))
    return frozenset(word for word in found if word in v.materials or word in v.props or word in v.moods)


class _Reader:
    def __init__(self, vocabulary: Vocabulary, photo_set: PhotoSet, fulfilled: frozenset[str]) -> None:
        self.vocabulary = vocabulary
        self.photo_set = photo_set
        self.fulfilled = fulfilled
        self.words: list[str] = []
        self.unused: list[str] = []
        self.shadow: Shadow = "auto"
        self.painted = 0
        """Colours that were said of nothing."""
        self.named: set[Target] = set()
        """Parts that have got a finish by name."""

    def read(self, text: str, unwanted: bool = False) -> None:
        negated, joint, clause = unwanted, "", list[str]()
        for word in (*self.vocabulary.phrases(text), "."):
            if word not in _JOINTS:
                clause.append(word)
                continue
            goes_on = joint in {"and", "or"} and self._only_things(clause)
            negated = self._clause(clause, unwanted or (negated and goes_on), unwanted)
            joint, clause = word, []

    def _only_things(self, phrases: list[str]) -> bool:
        """Nothing but props, removable and absent things: "no leaves and petals"."""
        v = self.vocabulary
        return all(
            word in v.props or word in v.removals or word in v.absent or word in v.fillers or word in v.sizes
            for word in phrases
        )

    def _clause(self, phrases: list[str], negated: bool, unwanted: bool) -> bool:
        """Read one clause; whether it ends negated."""
        v = self.vocabulary
        said = _Said()
        for at, word in enumerate(phrases):
            if word in v.negations:
                negated = True
                continue
            following = phrases[at + 1 :]
            if self._modifier(word, following, said):
                continue
            if not negated and self._is_true_already(word, self._target(phrases, at), said):
                self.words.append(word)
            elif self._apply(word, phrases, at, negated, said):
                self.words.append(f"no {word}" if negated and not unwanted else word)
            elif self._nothing_to_do(word, negated):
                continue
            elif not unwanted:
                self.unused.append(word)
            said.reset()
        return negated

    def _is_true_already(self, word: str, target: Target | None, said: _Said) -> bool:
        return word in self.fulfilled and target in {None, "floor"} and said.plain

    def _nothing_to_do(self, word: str, negated: bool) -> bool:
        v = self.vocabulary
        if word in v.absent:
            return negated
        quiet = (v.fillers, v.qualities, v.targets, v.shades, v.emphasis, v.sizes, v.amounts, v.removals, v.wholes)
        return any(word in table for table in quiet)

    def _modifier(self, word: str, following: list[str], said: _Said) -> bool:
        """Whether the word only says how the next one is meant."""
        v = self.vocabulary
        after = next((later for later in following if later not in v.qualities), "")
        if word in v.emphasis and following:
            said.strength = v.emphasis[word]
        elif word in v.wholes and any(self._is_colour(later) for later in following[:3]):
            said.whole = True
        elif word in v.shades and self._names_a_colour(following):
            said.shades.append(word)
        elif word in v.sizes and self._names_a_prop(following):
            said.size *= v.sizes[word]
        elif word in v.amounts and self._names_a_prop(following):
            said.amount = v.amounts[word]
        elif self._is_colour(word) and (after in v.materials or after in v.props) and after not in v.targets:
            said.colour = self._shaded(v.colours.get(word, word), said)
            said.shades.clear()
            self.words.append(word)
        elif self._is_colour(word) and self._is_colour(after):
            self.words.append(word)  # "sage green": the first names the shade
            said.colour = v.colours.get(word, word)
        elif word in v.materials and word not in v.props and after in v.props and after not in v.targets:
            said.material = word
            self.words.append(word)
        else:
            return False
        return True

    def _names_a_colour(self, following: list[str]) -> bool:
        v = self.vocabulary
        for word in following:
            if self._is_colour(word) or word in v.materials:
                return True
            if word not in v.shades and word not in v.emphasis:
                return False
        return False

    def _names_a_prop(self, following: list[str]) -> bool:
        v = self.vocabulary
        for word in following[:4]:
            if word in v.props:
                return True
            modifies = word in v.sizes or word in v.materials or word in v.shades or word in v.fillers
            if not modifies and not self._is_colour(word):
                return False
        return False

    def _is_colour(self, word: str) -> bool:
        return word in self.vocabulary.colours or word.startswith("#")

    def _shaded(self, colour: str, said: _Said) -> str:
        for name in reversed(said.shades):
            colour = changes.shaded(colour, self.vocabulary.shades[name])
        return colour

    def _target(self, phrases: list[str], at: int) -> Target | None:
        """The part a word is said of: the next one named after it, else one named before with "is" or "of"."""
        for word in phrases[at + 1 : at + 4]:
            if word in self.vocabulary.targets:
                return self.vocabulary.targets[word]
        for word in reversed(phrases[max(at - 3, 0) : at]):
            if word in self.vocabulary.targets:
                return self.vocabulary.targets[word]
        return None

    def _apply(self, word: str, phrases: list[str], at: int, negated: bool, said: _Said) -> bool:
        """Make the change a word asks for; False when there is none."""
        v = self.vocabulary
        if negated:
            return self._take_away(word)
        following = phrases[at + 1] if at + 1 < len(phrases) else ""
        if word in v.shades and v.targets.get(following) in {"floor", "backdrop", "stand"}:
            self._tone(word, v.targets[following])
        elif self._is_colour(word):
            colour = said.colour or v.colours.get(word, word)
            return self._paint(self._shaded(colour, said), self._target(phrases, at), said)
        elif word in v.materials:
            self._lay(word, self._target(phrases, at), said)
        elif word in v.lights:
            self.photo_set = changes.lit(self.photo_set, v.lights[word], said.strength)
        elif word in v.camera:
            self.photo_set = changes.aimed(self.photo_set, v.camera[word], said.strength)
        elif word in v.props:
            self._add(word, said)
        elif word in v.moods:
            self._feel(v.moods[word])
        else:
            return False
        return True

    def _take_away(self, word: str) -> bool:
        v, s = self.vocabulary, self.photo_set
        if word in v.removals:
            return self._remove(v.removals[word])
        if word in v.props:
            self.photo_set = changes.without_props(s, frozenset(str(prop["kind"]) for prop in v.props[word]))
        elif word in v.materials:
            self.photo_set = changes.without_props(s, None, str(v.materials[word].get("material", "")))
        elif word in v.lights:
            self.photo_set = changes.lit(s, v.lights[word], _AGAINST)
        else:
            return False
        return True

    def _remove(self, what: str) -> bool:
        s = self.photo_set
        match what:
            case "props":
                self.photo_set = changes.without_gobo(msgspec.structs.replace(s, props=()))
            case "stand":
                self.photo_set = msgspec.structs.replace(s, stand=msgspec.structs.replace(s.stand, kind="none"))
            case "shadow":
                self.shadow = "none"
                self.photo_set = changes.lit(changes.without_gobo(s), {"size": 2.5, "ambient": 1.6, "contrast": -0.06})
            case "reflection":
                self.photo_set = changes.dulled(s)
            case "vignette":
                self.photo_set = msgspec.structs.replace(s, look=msgspec.structs.replace(s.look, vignette=0.0))
            case "grain":
                self.photo_set = msgspec.structs.replace(s, look=msgspec.structs.replace(s.look, grain=0.0))
            case "bokeh":
                bokeh = msgspec.structs.replace(s.bokeh, count=0)
                camera = msgspec.structs.replace(s.camera, aperture=0.0)
                self.photo_set = msgspec.structs.replace(s, bokeh=bokeh, camera=camera)
            case _:
                self.photo_set = changes.without_gobo(s)
        return True

    def _paint(self, colour: str, target: Target | None, said: _Said) -> bool:
        s = self.photo_set
        if said.whole:
            self.photo_set = changes.everywhere(s, colour)
        elif target == "light":
            self.photo_set = changes.lit_in(s, colour)
        elif target == "props":
            self._accent({"colour": colour})
        else:
            part = target or self._next_part()
            if part is None:
                return False
            self._tell_apart(part)
            self.photo_set = changes.painted(self.photo_set, part, colour, said.strength)
        return True

    def _tone(self, shade: str, part: Target) -> None:
        """ "Dark background": the part's own colour, shaded twice."""
        if part in {"floor", "backdrop", "stand"}:
            colour = changes.colour_of(self.photo_set, part)
            for _ in range(2):
                colour = changes.shaded(colour, self.vocabulary.shades[shade])
            self.photo_set = changes.painted(self.photo_set, part, colour)

    def _next_part(self) -> changes.Part | None:
        """What the next colour paints that is said of nothing."""
        self.painted += 1
        if self.painted > 2:
            return "stand" if self.painted == 3 and self.photo_set.stand.kind != "none" else None
        return "backdrop" if self.painted == 1 and "backdrop" not in self.named else "floor"

    def _tell_apart(self, part: changes.Part) -> None:
        """A floor and a backdrop that were both named are no longer one sweep."""
        if self.named & ({"floor", "backdrop"} - {part}):
            self.photo_set = changes.split(self.photo_set)
        self.named.add(part)

    def _lay(self, word: str, target: Target | None, said: _Said) -> None:
        finish = self._finish(word, said)
        if target == "props":
            self._accent({"colour": "", **finish})
        elif target == "light":
            self.photo_set = changes.lit(self.photo_set, {"kelvin": 4200.0}, said.strength)  # "golden light"
        else:
            part = target or ("backdrop" if "hung" in finish else "floor")
            self._tell_apart(part)
            self.photo_set = changes.laid(self.photo_set, part, finish)

    def _accent(self, finish: dict[str, Any]) -> None:
        """What stands about in another finish; a few spheres where nothing does."""
        if not self.photo_set.props:
            self._add("sphere", _Said())
        self.photo_set = changes.accented(self.photo_set, finish)

    def _finish(self, material: str, said: _Said) -> dict[str, Any]:
        """A material in the colour and the shade that were said of it."""
        finish = dict(self.vocabulary.materials[material])
        if said.colour:
            return {**finish, "colour": said.colour, "accent": ""}
        if said.shades:
            own = str(finish.get("colour") or MATERIALS[finish["material"]].colour)
            return {**finish, "colour": self._shaded(own, said), "accent": ""}
        return finish

    def _add(self, word: str, said: _Said) -> None:
        v = self.vocabulary
        finish: dict[str, Any] = {"colour": said.colour, "accent": ""} if said.colour else {}
        if said.material:
            finish = {"gloss": None, "colour": "", "accent": "", **self._finish(said.material, said)}
        added = msgspec.convert(list(v.props[word]), tuple[Prop, ...])
        self.photo_set = changes.with_props(self.photo_set, added, finish, said.size, said.amount)

    def _feel(self, stands_for: str) -> None:
        """Read what a mood stands for; only the mood itself counts as a word."""
        inner = _Reader(self.vocabulary, self.photo_set, frozenset())
        inner.read(stands_for)
        self.photo_set = inner.photo_set


class _Said:
    """What was said before a word, about it."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.strength = 1.0
        self.whole = False
        self.shades: list[str] = []
        self.size = 1.0
        self.amount: float | None = None
        self.colour = ""
        self.material = ""

    @property
    def plain(self) -> bool:
        """Nothing was."""
        return not (self.shades or self.colour or self.material or self.amount) and self.size == self.strength == 1.0
