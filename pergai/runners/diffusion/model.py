"""Stable Diffusion as a model of the engine: family `diffusers` of the model cards.

One call of `run` prepares who is new, decodes who is done and takes one step with all the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from pergai.cards.structs import ModelCard
from pergai.engine.core import UNFINISHED, Model, Unfinished
from pergai.errors import JobError
from pergai.runners.diffusion import accelerate, control, residence, schedulers, shortcuts
from pergai.runners.diffusion.accelerate import Ways
from pergai.runners.diffusion.faults import translated
from pergai.runners.diffusion.generic import GenericModel
from pergai.runners.diffusion.load import dtype_for, edition_of, load_pipeline
from pergai.runners.diffusion.lora import Wardrobe
from pergai.runners.diffusion.request import Painted, Request, State
from pergai.runners.diffusion.step import Denoiser
from pergai.runners.diffusion.switches import PainterSwitches, switches_of
from pergai.runners.diffusion.text import PromptEncoder
from pergai.runners.diffusion.vae import Codec, mask_tensor, picture_tensor

SIZES = (2, 4, 8, 16, 32)
"""Rows that a compiled or recorded UNet is run at, up to those of a full batch, where its card names none."""
PATIENCE = 200
"""Full batches that have to go well before a batch that ran out of memory is tried one larger again."""


class StepModel:
    """A pipeline taken apart, so that requests can join and leave between steps. A payload is a Request, its result a
    Painted."""

    def __init__(
        self,
        pipeline: Any,
        *,
        dtype: torch.dtype,
        max_batch: int,
        rows: Sequence[int],
        single: bool,
        ways: Ways | None = None,
        weights: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        ways = ways or Ways()
        self._ways = ways
        self._weights = weights or {}
        self._rows = tuple(rows)
        self.max_batch = max_batch
        self._limit = max_batch
        self._calm = 0
        self._pipeline = pipeline
        self._dtype = dtype
        self._device = torch.device(pipeline.device)
        self._channels = int(pipeline.unet.config.in_channels)
        self._words = PromptEncoder(pipeline)
        # Only SDXL's overflows in float16; the configurations of older ones ask for float32 by not saying anything.
        xl = getattr(pipeline, "text_encoder_2", None) is not None
        self._codec = Codec(pipeline.vae, dtype, upcast=xl, single=single, decode=ways.decode)
        self._denoiser = Denoiser(pipeline.unet, rows, forward=ways.forward, context=ways.context)
        self._wardrobe = Wardrobe(pipeline)

    @torch.inference_mode()
    def set_up(self, payload: Request) -> None:
        """Change into the LoRAs of a request. Raises ModelUnavailable, MemoryError."""
        if payload.loras == self._wardrobe.worn:
            return
        with translated():
            self._wardrobe.wear(payload.loras, payload.beside)
            if self._device.type == "cuda":
                torch.cuda.synchronize()  # so that the device thread knows how long it took

    @torch.inference_mode()
    def run(self, payloads: Sequence[Request]) -> list[Painted | Unfinished]:
        """One turn of every request. Raises for the whole batch, whose states are then as they were; MemoryError when
        the device has too little."""
        try:
            with translated():
                results = self._turn(payloads)
        except MemoryError:
            self.max_batch, self._calm = max(1, len(payloads) // 2), 0
            self._denoiser.forget()  # recorded steps of other shapes hold the memory that they once needed
            raise
        self._grow(len(payloads))
        for request in payloads:
            state = _state(request)
            request.report(min(1.0, (state.index + 1) / (len(state.timesteps) + 1)))
        return results

    def warm_up(self) -> None:
        """Run the UNet once at each of its batch sizes, so that no request waits for a compiler. Nothing to do where it is
        run as it is."""
        if not self._ways.wants_sizes:
            return
        for height, width in self._ways.shapes:
            blank = np.full((height, width, 3), 127, np.uint8)
            for rows in self._rows:
                batch = [
                    Request(image=blank, mask=blank[..., 0], prompt="", seed=seed, steps=1, guidance=2.0)
                    for seed in range(max(1, rows // 2))
                ]
                self.run(batch)

    def park(self) -> None:
        """Move the weights into the host's memory, pinned where there is a GPU to fetch them back."""
        self._denoiser.forget()
        self._codec.forget()
        self._words.forget()
        residence.park(self._parts())

    def unpark(self) -> None:
        """Bring them back. Raises MemoryError."""
        with translated():
            residence.unpark(self._parts(), self._device)

    def _parts(self) -> list[torch.nn.Module]:
        return [part for part in self._pipeline.components.values() if isinstance(part, torch.nn.Module)]

    def _turn(self, payloads: Sequence[Request]) -> list[Painted | Unfinished]:
        fresh = [request for request in payloads if request.state is None]
        if payloads:
            # All of a batch ask for the same: it is the model's setup.
            self._wardrobe.wear(payloads[0].loras, payloads[0].beside)
        for request, state in zip(fresh, self._prepared(fresh), strict=True):
            request.state = state
        done = [request for request in payloads if _state(request).finished]
        # Decoded before anybody moves: when it fails, nobody has.
        pictures = self._codec.decode([_state(request).latents for request in done])
        results: dict[int, Painted] = {
            id(request): Painted(pixels, _state(request).notes, self._behind(request))
            for request, pixels in zip(done, pictures, strict=True)
        }
        if moving := [_state(request) for request in payloads if id(request) not in results]:
            self._denoiser.advance(moving, control.nets([request.beside for request in payloads]))
        return [results.get(id(request), UNFINISHED) for request in payloads]

    def _behind(self, request: Request) -> dict[str, Mapping[str, str]]:
        return {**{name: guest.edition for name, guest in request.beside.items()}, **self._weights}

    def _grow(self, size: int) -> None:
        if self.max_batch < self._limit and size >= self.max_batch:
            self._calm += 1
            if self._calm >= PATIENCE:
                self.max_batch, self._calm = self.max_batch + 1, 0

    def _prepared(self, requests: Sequence[Request]) -> list[State]:
        """The states of new requests. Random numbers are drawn in the order of diffusers' own pipelines: the image's
        encoding where it is needed, the noise, the masked image's encoding, and later the noise of each step."""
        for request in requests:
            self._check(request)
        images = [picture_tensor(request.image) for request in requests]
        masks = [mask_tensor(request.mask) for request in requests]
        blending = self._channels == 4
        starts = [blending or request.strength < 1 for request in requests]
        encoded = iter(self._codec.encode([image for image, needed in zip(images, starts, strict=True) if needed]))
        hidden = [] if blending else [image * (mask < 0.5) for image, mask in zip(images, masks, strict=True)]
        masked = iter(self._codec.encode(hidden))
        states = []
        for request, mask, needed in zip(requests, masks, starts, strict=True):
            states.append(
                self._begin(request, mask, next(encoded) if needed else None, None if blending else next(masked))
            )
        return states

    def _begin(self, request: Request, mask: Tensor, image: Any, masked: Any) -> State:
        from diffusers.utils.torch_utils import randn_tensor

        scheduler = schedulers.make(request.scheduler, self._pipeline.scheduler.config)
        timesteps = schedulers.schedule(scheduler, request.steps, request.strength)
        distilled = self._pipeline.unet.config.time_cond_proj_dim
        words = self._words.condition(
            request.prompt,
            request.negative_prompt,
            guided=request.guidance > 1 and distilled is None,
            outfit=request.loras,
        )
        generator = torch.Generator("cpu").manual_seed(request.seed)
        clean = None if image is None else image(generator).contiguous()  # as diffusers' repeat() leaves it
        height, width = (side // self._codec.factor for side in request.image.shape[:2])
        channels = int(self._pipeline.vae.config.latent_channels)
        noise = randn_tensor((1, channels, height, width), generator, self._device, self._dtype)
        if request.strength < 1:
            latents = scheduler.add_noise(clean, noise, timesteps[0].reshape(1))
        else:
            latents = noise * scheduler.init_noise_sigma
        small = torch.nn.functional.interpolate(mask, size=(height, width))
        if masked is None:
            # diffusers draws the masked image's encoding here even where no channel takes it.
            randn_tensor(noise.shape, generator, self._device, self._codec.dtype)
        small = small.to(self._device, self._dtype)
        return State(
            scheduler=scheduler,
            timesteps=timesteps,
            generator=generator,
            step_options=schedulers.step_options(scheduler, generator),
            guidance=request.guidance,
            embeds=words.embeds,
            pooled=words.pooled,
            time_ids=self._time_ids(request, words.embeds) if words.pooled is not None else None,
            guidance_embed=None if distilled is None else self._guidance_embed(request.guidance, distilled),
            mask=small,
            context=None if masked is None else torch.cat([small, masked(generator)], dim=1),
            clean=clean if self._channels == 4 else None,
            noise=noise,
            latents=latents,
            control=request.control,
            hint=self._hint(request),
            shortcut=_shortcut(request),
            notes=words.notes,
        )

    def _hint(self, request: Request) -> Tensor | None:
        if request.control is None:
            return None
        net: control.ControlNet = request.beside[request.control.net]
        return control.hint_tensor(request.control.hint).to(self._device, net.dtype)

    def _check(self, request: Request) -> None:
        height, width = request.image.shape[:2]
        if height % self._codec.factor or width % self._codec.factor:
            raise JobError(f"{width}×{height}: sides of a picture for this model divide by {self._codec.factor}")
        if request.mask.shape != (height, width):
            raise JobError(f"the mask is {request.mask.shape[1]}×{request.mask.shape[0]}, the image {width}×{height}")
        if not request.mask.any():
            raise JobError("the mask is empty: there is nothing to paint")
        if request.control is not None and request.control.hint.shape[:2] != (height, width):
            raise JobError("the ControlNet's map has not the size of the image")
        if request.deep_cache > 1 and (request.control is not None or request.gate < 1):
            raise JobError("deep_cache goes neither with a ControlNet nor with gate")

    def _time_ids(self, request: Request, embeds: Tensor) -> Tensor:
        """SDXL's micro-conditioning (Podell et al. 2023): original size, crop, and target size or aesthetic scores."""
        height, width = request.image.shape[:2]
        if self._pipeline.config.get("requires_aesthetics_score", False):
            rows = [[height, width, 0, 0, score] for score in (2.5, 6.0)]
        else:
            rows = [[height, width, 0, 0, height, width]] * 2
        return torch.tensor(rows[-embeds.shape[0] :], dtype=embeds.dtype).to(self._device)

    def _guidance_embed(self, guidance: float, width: int) -> Tensor:
        embed = self._pipeline.get_guidance_scale_embedding(torch.tensor([guidance - 1]), embedding_dim=width)
        return cast(Tensor, embed.to(self._device, self._dtype))


def load(card: ModelCard, folder: Path, device: str) -> Model:
    """The model of a card whose weights lie in `folder`, on `device` ("cpu" or "cuda").

    Raises ModelUnavailable or CardError.
    """
    switches = switches_of(card, PainterSwitches)
    dtype = dtype_for(card, switches, device)
    weights = {card.id: edition_of(card, folder, dtype)}
    pipeline = load_pipeline(card, switches, folder, device)
    if not can_step(pipeline):
        return GenericModel(pipeline, weights)
    max_batch = switches.max_batch or (16 if device.startswith("cuda") else 4)
    rows: Sequence[int] = switches.rows
    ways = accelerate.ways(card.id, switches, pipeline, dtype)
    if ways.wants_sizes:
        rows = rows or [*(size for size in SIZES if size < 2 * max_batch), 2 * max_batch]
    if switches.deterministic:
        rows = [max(rows or [2 * max_batch])]
    return StepModel(
        pipeline,
        dtype=dtype,
        max_batch=max_batch,
        rows=rows,
        single=switches.deterministic,
        ways=ways,
        weights=weights,
    )


def can_step(pipeline: Any) -> bool:
    """Whether the pipeline's parts are those that the step engine knows."""
    from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel

    unet, vae = getattr(pipeline, "unet", None), getattr(pipeline, "vae", None)
    encoder = getattr(pipeline, "text_encoder", None)
    return (
        type(pipeline).__name__ in ("StableDiffusionInpaintPipeline", "StableDiffusionXLInpaintPipeline")
        and isinstance(unet, UNet2DConditionModel)
        and isinstance(vae, (AutoencoderKL, AutoencoderTiny))
        and unet.config.in_channels in (4, 9)
        and vae.config.latent_channels == 4
        and hasattr(pipeline.scheduler, "alphas_cumprod")  # else it is trained on another kind of schedule
        and not getattr(getattr(encoder, "config", None), "use_attention_mask", False)
    )


def _shortcut(request: Request) -> shortcuts.Shortcut | None:
    if request.deep_cache > 1:
        return shortcuts.DeepCache(request.deep_cache)
    return shortcuts.Gate(request.gate) if request.gate < 1 else None


def _state(request: Request) -> State:
    if request.state is None:
        raise RuntimeError("a request was run that had not been prepared")
    return request.state
