"""What a runner asks of a diffusion model, what it gets back, and how far along it is. No torch at run time."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pergai.imaging.picture import RGB, Alpha

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from pergai.runners.diffusion.control import Control
    from pergai.runners.diffusion.lora import Outfit
    from pergai.runners.diffusion.shortcuts import Shortcut


def _silent(fraction: float) -> None:
    """The progress of a request that nobody watches."""


def _wanted() -> bool:
    """Of a request that cannot be cancelled."""
    return True


@dataclass(slots=True, kw_only=True, eq=False)
class Request:
    """One picture to be inpainted: the payload of a diffusion model."""

    image: RGB
    """(height, width, 3); sides divide by 8. Under the mask it is what painting starts from at `strength` below 1."""
    mask: Alpha
    """(height, width): 255 is painted, 0 is kept (as context; the caller puts the exact pixels back)."""
    prompt: str
    negative_prompt: str = ""
    seed: int = 0
    steps: int = 30
    guidance: float = 7.5
    """Classifier-free guidance (Ho and Salimans 2022); 1 or less does without, at half the cost."""
    strength: float = 1.0
    """Share of the noise schedule that is run, 0-1: below 1 the image's own content is the start."""
    scheduler: str = "euler"
    """A name of `schedulers.SCHEDULERS`."""
    control: Control | None = None
    """The ControlNet and its map."""
    loras: Outfit = ()
    """What the model wears for this request."""
    deep_cache: int = 1
    """DeepCache's interval; 1 runs the whole UNet in every step. Not together with `control` or `gate`."""
    gate: float = 1.0
    """T-GATE's share of the steps, 0-1; 1 reads the words to the end."""
    report: Callable[[float], None] = _silent
    """Told the fraction done, 0-1, on the device thread."""
    wanted: Callable[[], bool] = _wanted
    """Whether anybody still waits for it: asked between the steps of a picture that is painted in one turn."""
    state: State | None = None
    """Where the model is with it; None until its first turn. Dropping the request frees it."""
    beside: dict[str, Any] = field(default_factory=dict, init=False)
    """The ControlNet and the LoRAs, by id: the device thread puts them here for the time of a turn."""

    def __post_init__(self) -> None:
        names = [name for name, _ in self.loras] + ([self.control.net] if self.control else [])
        self.beside = dict.fromkeys(names)

    @property
    def shape(self) -> Hashable:
        """Requests of one shape that wear the same can share a batch."""
        return ("inpaint", self.image.shape[0], self.image.shape[1])


@dataclass(frozen=True, slots=True)
class Painted:
    """The finished picture."""

    pixels: RGB
    """(height, width, 3) of the request, all of it as the model sees it: kept pixels are only nearly the source's."""
    notes: tuple[str, ...] = ()
    weights: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Of each model that had a part in it, by id: `revision`, `sha256` and `dtype` as far as they are known."""


@dataclass(slots=True, kw_only=True, eq=False)
class State:
    """A request under way. Every tensor is on the device; the first axis is 1, or 2 for guidance (negative words first)."""

    scheduler: Any
    """A diffusers scheduler of its own: a shared one would mix up its history."""
    timesteps: tuple[Tensor, ...]
    """What is run of the schedule, 0-dim each, on the CPU."""
    generator: torch.Generator
    """On the CPU, so that one seed means one picture on every device."""
    step_options: dict[str, Any]
    guidance: float
    embeds: Tensor
    """(1 or 2, tokens, width)."""
    pooled: Tensor | None
    """SDXL: (1 or 2, width)."""
    time_ids: Tensor | None
    """SDXL: (1 or 2, 5 or 6)."""
    guidance_embed: Tensor | None
    """Models distilled with guidance (LCM): (1, width)."""
    mask: Tensor
    """(1, 1, h, w): 1 is painted."""
    context: Tensor | None
    """9-channel models: the mask and the latents of the masked image, (1, 5, h, w)."""
    clean: Tensor | None
    """4-channel models: latents of the image, blended back in outside the mask at each step."""
    noise: Tensor
    latents: Tensor
    control: Control | None = None
    hint: Tensor | None = None
    """The ControlNet's map, (1, 3, height, width)."""
    shortcut: Shortcut | None = None
    index: int = 0
    """Steps done."""
    notes: tuple[str, ...] = ()

    @property
    def guided(self) -> bool:
        return self.embeds.shape[0] == 2

    @property
    def finished(self) -> bool:
        """All steps are done; only decoding is left."""
        return self.index >= len(self.timesteps)
