"""A loaded model against diffusers' own pipeline of the same weights: the same picture, or how far apart."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from pergai.cards.structs import ModelCard
from pergai.engine.core import UNFINISHED
from pergai.errors import JobError
from pergai.imaging.picture import RGB
from pergai.runners.diffusion import schedulers
from pergai.runners.diffusion.load import load_pipeline
from pergai.runners.diffusion.model import can_step, load
from pergai.runners.diffusion.request import Request
from pergai.runners.diffusion.switches import PainterSwitches, switches_of

STEPS = 8


def against_stock(card: ModelCard, folder: Path, device: str) -> tuple[int, float, float]:
    """One picture with a known seed: the largest difference in 1/255, and the seconds each way took, loading left out.

    Raises ModelUnavailable, CardError, MemoryError; JobError for a model that only its own pipeline can run.
    """
    theirs, seconds = _by_stock(card, folder, device)  # gone again before ours is loaded
    model = load(card, folder, device)
    side = theirs.shape[0]
    _ours(model, _request(side, steps=1))
    asked = _request(side)
    picture, own_seconds = _timed(lambda: _ours(model, asked))
    return int(np.abs(picture.astype(np.int16) - theirs).max()), own_seconds, seconds


def _by_stock(card: ModelCard, folder: Path, device: str) -> tuple[RGB, float]:
    pipeline = load_pipeline(card, switches_of(card, PainterSwitches), folder, device)
    if not can_step(pipeline):
        raise JobError(f"{card.id} runs through its own pipeline; there is nothing to compare")
    side = int(getattr(pipeline.unet.config, "sample_size", 64)) * 2 ** (
        len(pipeline.vae.config.block_out_channels) - 1
    )
    _stock(pipeline, _request(side, steps=1))  # the first call chooses kernels
    return _timed(lambda: _stock(pipeline, _request(side)))


def _request(side: int, steps: int = STEPS) -> Request:
    ramp = np.linspace(40, 210, side, dtype=np.float32)
    pixels = np.stack([np.add.outer(ramp, ramp) / 2, np.tile(ramp, (side, 1)), np.tile(ramp[:, None], (1, side))], -1)
    mask = np.full((side, side), 255, np.uint8)
    mask[side // 4 : side // 2, side // 4 : side // 2] = 0
    return Request(
        image=pixels.astype(np.uint8), mask=mask, prompt="a red cup on a marble counter", seed=7, steps=steps
    )


def _ours(model: Any, asked: Request) -> RGB:
    result = UNFINISHED
    while result is UNFINISHED:
        (result,) = model.run([asked])
    pixels: RGB = result.pixels
    return pixels


def _stock(pipeline: Any, asked: Request) -> RGB:
    own = pipeline.scheduler
    pipeline.scheduler = schedulers.make(asked.scheduler, own.config)
    height, width = asked.image.shape[:2]
    try:
        made = pipeline(
            prompt=asked.prompt,
            image=Image.fromarray(asked.image),
            mask_image=Image.fromarray(asked.mask),
            height=height,
            width=width,
            num_inference_steps=asked.steps,
            guidance_scale=asked.guidance,
            strength=asked.strength,
            generator=torch.Generator("cpu").manual_seed(asked.seed),
        )
    finally:
        pipeline.scheduler = own
    return np.asarray(made.images[0])


def _timed(work: Callable[[], RGB]) -> tuple[RGB, float]:
    started = time.monotonic()
    result = work()
    return result, time.monotonic() - started
