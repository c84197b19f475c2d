"""What a pipeline card may say to this runner, and the words a model gets."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from pergai.cards.structs import PipelineCard
from pergai.errors import CardError
from pergai.runners.diffusion.schedulers import SCHEDULERS

PAINTER, MATTE, SET, UPSCALE = "diffusion", "matte", "engine", "upscale"
CONTROL, LORA, SAFETY = "control", "lora", "safety"
"""The roles of a pipeline card's `models`; only the first two are always needed. Any number of roles begin with `lora`."""


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`options` of a diffusion pipeline card."""

    side: int = 512
    """The model paints about this squared, whatever the size of the result: what it was trained on."""
    steps: int = 30
    guidance: float = 7.5
    strength: float = 1.0
    """Below 1 painting starts from the rendered set (scenes with `start = "set"`) or the extension (expand)."""
    scheduler: str = "dpmpp_2m_karras"
    template: str = "{words}"
    """The prompt; `{words}` are the client's and the scene's."""
    negative: str = "text, watermark, logo, people, hands, deformed, low quality"
    """Always added to the negative prompt."""
    start: Literal["plain", "set"] = "plain"
    """What a scene's painting starts from: nothing, or the scene's rendered set with the product standing in it."""
    samples: int = 6
    """Paths a pixel of that set."""


def options_of(card: PipelineCard) -> Options:
    """The card's options, checked. Raises CardError naming the field and what is allowed."""
    try:
        options = msgspec.convert(card.options, Options)
    except msgspec.ValidationError as error:
        raise CardError(f"pipelines/{card.id}.toml: options: {error}") from error
    if options.scheduler not in SCHEDULERS:
        raise CardError(
            f"pipelines/{card.id}.toml: options.scheduler: {options.scheduler!r} is not one of {', '.join(SCHEDULERS)}"
        )
    return options


def prompt(options: Options, *words: str) -> str:
    """The template with the words that there are."""
    return options.template.format(words=_joined(words))


def negative_prompt(options: Options, *words: str) -> str:
    return _joined((*words, options.negative))


def phrases(text: str) -> tuple[str, ...]:
    """What a client asked for, phrase by phrase: the model reads all of it."""
    return tuple(phrase for part in text.split(",") if (phrase := part.strip()))


def settings(options: Options, request: Any) -> dict[str, Any]:
    """What the record keeps of how a picture was painted."""
    height, width = request.image.shape[:2]
    return {
        "steps": request.steps,
        "guidance": request.guidance,
        "strength": request.strength,
        "scheduler": request.scheduler,
        "paintedPixels": [width, height],
        "fullPrompt": request.prompt,
        "fullNegativePrompt": request.negative_prompt,
        "start": options.start,
    }


def _joined(words: tuple[str, ...]) -> str:
    return ", ".join(part for text in words if (part := text.strip().strip(",")))
