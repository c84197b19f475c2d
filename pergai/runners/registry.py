"""The two closed tables that cards point into: `runner` of a pipeline card, `family` of a model card.

Entries are imported when they are first used, so that the engine process starts in a second and loads only what it needs.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import cast

from pergai.cards.structs import ModelCard
from pergai.engine.core import Model, Runner
from pergai.errors import CardError

RUNNERS = {
    "remove-bg": ("pergai.runners.remove_bg", "RemoveBg"),
    "upscale": ("pergai.runners.upscale.runner", "Upscale"),
    "render": ("pergai.runners.render.runner", "Render"),
    "extend": ("pergai.runners.extend.runner", "Extend"),
    "diffusion": ("pergai.runners.diffusion.runner", "Diffusion"),
}
"""`runner` → (module, class)."""

LOADERS = {
    "rembg": "pergai.runners.segment",
    "realesrgan": "pergai.runners.upscale.model",
    "mitsuba": "pergai.runners.render.model",
    "diffusers": "pergai.runners.diffusion.model",
    "controlnet": "pergai.runners.diffusion.control",
    "lora": "pergai.runners.diffusion.lora",
    "safety": "pergai.runners.diffusion.safety",
    "diffusers-upscale": "pergai.runners.diffusion.upscaler",
}
"""`family` → module with `load(card, folder, device) -> Model`."""


@cache
def runner(name: str) -> Runner:
    """The runner of this key. Raises CardError naming the choices."""
    if name not in RUNNERS:
        raise CardError(f"runner: {name!r} is not one of {', '.join(RUNNERS)}")
    module, kind = RUNNERS[name]
    return cast(Runner, getattr(import_module(module), kind)())


def load_model(card: ModelCard, folder: Path, device: str) -> Model:
    """Load a model's weights onto the device. Raises ModelUnavailable or CardError."""
    if card.family not in LOADERS:
        raise CardError(f"models/{card.id}.toml: family {card.family!r} is not one of {', '.join(LOADERS)}")
    return cast(Model, import_module(LOADERS[card.family]).load(card, folder, device))
