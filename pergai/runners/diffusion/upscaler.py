"""Stable Diffusion's ×4 upscaler (latent diffusion on the small picture, Rombach et al. 2022, arXiv 2112.10752) as a net of
the runner `upscale`: tiles in, tiles four times as large out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from pergai.cards.structs import ModelCard
from pergai.errors import JobError
from pergai.imaging.picture import RGB
from pergai.runners.diffusion import schedulers
from pergai.runners.diffusion.faults import translated
from pergai.runners.diffusion.load import load_pipeline
from pergai.runners.diffusion.switches import Count, PipelineSwitches, switches_of

SCALE = 4
UNIT = 8
"""Sides of a tile divide by it."""


class UpscalerSwitches(PipelineSwitches, frozen=True, kw_only=True):
    """`options` of its model card: family `diffusers-upscale`."""

    prompt: str = "a sharp, detailed product photograph"
    negative: str = "blurry, noisy, artefacts"
    steps: int = 30
    guidance: float = 4.0
    noise_level: int = 20
    """How much noise the small picture is given, 0-350: the more, the more is invented."""
    scheduler: str = "ddim"
    max_batch: Count = 4


class DiffusionUpscaler:
    """A `Model` of the engine. Every tile is given the same noise, so a picture is always enlarged the same way."""

    def __init__(self, pipeline: Any, options: UpscalerSwitches) -> None:
        self.max_batch = options.max_batch
        self._pipeline = pipeline
        self._options = options

    @torch.inference_mode()
    def run(self, payloads: Sequence[RGB]) -> list[RGB]:
        """(height, width, 3) to four times that. Raises MemoryError, or JobError when what comes out is no picture."""
        options, count = self._options, len(payloads)
        height, width = payloads[0].shape[:2]
        rim = ((0, -height % UNIT), (0, -width % UNIT), (0, 0))
        with translated():
            result = self._pipeline(
                prompt=[options.prompt] * count,
                negative_prompt=[options.negative] * count if options.guidance > 1 else None,
                image=[Image.fromarray(np.pad(tile, rim, mode="edge")) for tile in payloads],
                num_inference_steps=options.steps,
                guidance_scale=options.guidance,
                noise_level=options.noise_level,
                generator=[torch.Generator("cpu").manual_seed(0) for _ in payloads],
                output_type="np",
            )
        pictures = np.asarray(result.images)[:, : height * SCALE, : width * SCALE]
        if not np.isfinite(pictures).all():
            raise JobError('the upscaler computed no numbers (NaN); its card should say dtype = "bfloat16"')
        return list((pictures * 255).round().astype(np.uint8))


def load(card: ModelCard, folder: Path, device: str) -> DiffusionUpscaler:
    """Family `diffusers-upscale`. Raises ModelUnavailable or CardError."""
    from diffusers import StableDiffusionUpscalePipeline

    options = switches_of(card, UpscalerSwitches)
    pipeline = load_pipeline(card, options, folder, device, StableDiffusionUpscalePipeline)
    pipeline.scheduler = schedulers.make(options.scheduler, pipeline.scheduler.config)
    return DiffusionUpscaler(pipeline, options)
