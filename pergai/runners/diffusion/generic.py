"""Any other inpainting pipeline of diffusers (FLUX Fill, SD 3, Kandinsky, …): whole pictures, one at a time.

What the pipeline's call does not take is left out, so a new model works on the day it comes out, if not at
its fastest.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from pergai.errors import JobError
from pergai.runners.diffusion.faults import translated
from pergai.runners.diffusion.request import Painted, Request


class GenericModel:
    """A `Model` of the engine around a whole pipeline."""

    max_batch = 1

    def __init__(self, pipeline: Any, weights: Mapping[str, Mapping[str, str]] | None = None) -> None:
        self._pipeline = pipeline
        self._weights = weights or {}
        self._takes = inspect.signature(pipeline.__call__).parameters

    @torch.inference_mode()
    def run(self, payloads: Sequence[Request]) -> list[Painted]:
        """Raises MemoryError, or JobError when a request asks for what only the step engine has or its picture is empty."""
        with translated():
            return [self._paint(request) for request in payloads]

    def _paint(self, request: Request) -> Painted:
        if request.loras or request.control is not None or request.deep_cache > 1 or request.gate < 1:
            raise JobError("a model that runs through its own pipeline takes no LoRA, ControlNet, deep_cache or gate")
        height, width = request.image.shape[:2]
        steps = max(1, round(request.steps * request.strength))

        def go_on(_pipeline: Any, _step: int, _time: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            if not request.wanted():
                raise JobError("nobody waits for this picture any more")
            return tensors

        def moved(pipeline: Any, step: int, time: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            request.report(min(1.0, (step + 1) / steps))
            return go_on(pipeline, step, time, tensors)

        offered: dict[str, Any] = {
            "prompt": request.prompt,
            "negative_prompt": request.negative_prompt,
            "image": Image.fromarray(request.image),
            "mask_image": Image.fromarray(request.mask),
            "height": height,
            "width": width,
            "num_inference_steps": request.steps,
            "guidance_scale": request.guidance,
            "strength": request.strength,
            "generator": torch.Generator("cpu").manual_seed(request.seed),
            "output_type": "np",
            "callback_on_step_end": moved,
            "prior_callback_on_step_end": go_on,  # Kandinsky: a model of its own makes the embedding first
        }
        notes = [f"{name}_not_used" for name in ("negative_prompt", "strength") if name not in self._takes]
        if self._is_cut(request.prompt):
            notes.append("prompt_cut")
        result = self._pipeline(**{name: value for name, value in offered.items() if name in self._takes})
        picture = np.asarray(result.images[0], dtype=np.float32)
        if not np.isfinite(picture).all() or np.ptp(picture) < 1e-4:
            raise JobError("the model's picture came out empty (black, or no numbers at all)")
        pixels = np.rint(picture.clip(0, 1) * 255).astype(np.uint8)
        if pixels.shape[:2] != (height, width):
            pixels = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))
        return Painted(pixels, tuple(notes), self._weights)

    def _is_cut(self, text: str) -> bool:
        """Whether a text goes on where the last of the pipeline's encoders stops reading."""
        takes = self._takes.get("max_sequence_length")
        longest = takes.default if takes is not None and isinstance(takes.default, int) else math.inf
        tokenizers = [part for name, part in self._pipeline.components.items() if "tokenizer" in name and part]
        return bool(tokenizers) and all(
            len(tokenizer(text, verbose=False).input_ids) > min(tokenizer.model_max_length, longest)
            for tokenizer in tokenizers
        )
