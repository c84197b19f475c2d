"""What a pipeline card may say to this runner, and the words a model gets."""

from __future__ import annotations

from string import Formatter
from typing import Any, Literal

import msgspec

from pergai.cards.structs import PipelineCard
from pergai.errors import CardError
from pergai.runners.diffusion.request import Painted, Request
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
    control_map: Literal["depth", "normal"] = "depth"
    """What the ControlNet (role `control`) is shown of that set."""
    control_scale: float = 0.7
    """How much it says, 0-2."""
    control_start: float = 0.0
    control_end: float = 1.0
    """The share of the steps it guides, 0-1 each."""
    lora_scales: dict[str, float] = {}
    """Scale of each LoRA by its role (`lora`, `lora-style`, …); 1 where it is not named."""
    deep_cache: int = 1
    """DeepCache's interval; 1 is off. Not together with a ControlNet or with `gate`."""
    gate: float = 1.0
    """T-GATE: the share of the steps that read the words, above 0; 1 is off."""
    refine: float = 0.0
    """Of `expand`, for results from 1.5 times the model's own size on: the strength, 0-1, that what is new is painted over with
    at the result's size, in tiles. 0 is off. Tiles share batches, so a rerun is the same to the byte only where the model's
    card says `deterministic`."""


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
    loras = [role for role in card.models if role.startswith(LORA)]
    wrong = {
        "lora_scales names a role that models does not": not set(options.lora_scales) <= set(loras),
        'models.control needs start = "set"': CONTROL in card.models and options.start != "set",
        "deep_cache goes neither with models.control nor with gate": options.deep_cache > 1
        and (CONTROL in card.models or options.gate < 1),
        "deep_cache is a whole number of 1 or more": options.deep_cache < 1,
        "refine is a strength between 0 and 1 that leaves a step to do": options.refine != 0
        and not (0 < options.refine <= 1 and int(options.steps * options.refine) >= 1),
        "refine is for pipelines that expand": options.refine != 0 and "expand" not in card.tasks,
        "gate is above 0 and at most 1": not 0 < options.gate <= 1,
        "template has {words} and nothing else in braces": not _is_template(options.template),
        "control_start and control_end are shares, the first below the second": not (
            0 <= options.control_start < options.control_end <= 1
        ),
    }
    for complaint in (text for text, true in wrong.items() if true):
        raise CardError(f"pipelines/{card.id}.toml: options: {complaint}")
    return options


def manner(card: PipelineCard, options: Options) -> dict[str, Any]:
    """What every request of a pipeline has in common, as fields of Request."""
    loras = tuple(
        (model, options.lora_scales.get(role, 1.0)) for role, model in card.models.items() if role.startswith(LORA)
    )
    return {
        "steps": options.steps,
        "guidance": options.guidance,
        "scheduler": options.scheduler,
        "loras": loras,
        "deep_cache": options.deep_cache,
        "gate": options.gate,
    }


def prompt(options: Options, *words: str) -> str:
    """The template with the words that there are."""
    return options.template.format(words=_joined(words))


def negative_prompt(options: Options, *words: str) -> str:
    return _joined((*words, options.negative))


def phrases(text: str) -> tuple[str, ...]:
    """What a client asked for, phrase by phrase: the model reads all of it."""
    return tuple(phrase for part in text.split(",") if (phrase := part.strip()))


def settings(options: Options, request: Request, painted: Painted) -> dict[str, Any]:
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
        "weights": painted.weights,
        **({"loras": dict(request.loras)} if request.loras else {}),
        **({"deepCache": request.deep_cache} if request.deep_cache > 1 else {}),
        **({"gate": request.gate} if request.gate < 1 else {}),
    }


def _is_template(text: str) -> bool:
    try:
        return all(name in (None, "words") for _, name, *_ in Formatter().parse(text))
    except ValueError:  # a brace alone
        return False


def _joined(words: tuple[str, ...]) -> str:
    return ", ".join(part for text in words if (part := text.strip().strip(",")))
