"""Which scene a prompt asks for, when the request names none."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping

from pergai.cards.structs import SceneCard

_WORDS = re.compile(r"[^\W\d_]{3,}")
_COMMON = frozenset({
    "and", "are", "background", "backdrop", "behind", "bright", "clean", "colour", "front", "from", "light", "lit", "low", "one",
    "out", "photo", "photography", "product", "scene", "set", "shot", "small", "soft", "the", "through", "very", "wall", "warm",
    "with", "without",
})  # fmt: skip
"""Say little about which set is meant."""
_DENIED = re.compile(r"\b(?:no|not|without|never|minus)\b[^,;.!?]*")

_TITLE, _WORD, _TEXT = 5.0, 4.0, 1.0


def choose(scenes: Mapping[str, SceneCard], prompt: str, negative_prompt: str = "") -> SceneCard:
    """The scene whose own words a prompt meets best; rare words count more. The first of the list when it meets none.

    A card's id and title count most, then its `words`, then category, description and prompt. What the prompt denies and the
    negative prompt names counts against a scene.
    """
    texts = {id: _weighed(card) for id, card in scenes.items()}
    spread = Counter(word for weights in texts.values() for word in weights)
    asked, denied = _DENIED.sub(" ", prompt.lower()), " ".join(_DENIED.findall(prompt.lower()))
    wanted, unwanted = _stems(asked), _stems(f"{denied} {negative_prompt.lower()}")

    def score(id: str) -> float:
        weights = texts[id]
        rarity = {word: math.log(1 + len(scenes) / spread[word]) for word in weights}
        met = sum(weights[word] * rarity[word] for word in wanted & weights.keys())
        return met - sum(weights[word] * rarity[word] for word in unwanted & weights.keys())

    best = max(scenes, key=score)
    return scenes[best] if score(best) > 0 else next(iter(scenes.values()))


def _weighed(card: SceneCard) -> dict[str, float]:
    parts = (
        (f"{card.category} {card.description} {card.prompt}", _TEXT),
        (" ".join(card.words), _WORD),
        (f"{card.id} {card.title}", _TITLE),
    )
    return {word: weight for text, weight in parts for word in _stems(text.lower())}


def _stems(text: str) -> frozenset[str]:
    """The words of a text without the endings that do not matter here."""
    return frozenset(_stem(word) for word in _WORDS.findall(text) if word not in _COMMON)


def _stem(word: str) -> str:
    for ending, instead in (("ies", "y"), ("ves", "f"), ("sses", "ss"), ("shes", "sh"), ("s", "")):
        if word.endswith(ending) and not word.endswith("ss") and len(word) > len(ending) + 2:
            return word.removesuffix(ending) + instead
    return word
