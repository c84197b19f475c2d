"""The safety checker of Stable Diffusion (Rando et al. 2022, arXiv 2210.04610): CLIP's view of a picture, compared with
concepts nobody wants. Products need none, and it errs on skin tones and statues; a profile turns it on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from pergai.cards.structs import ModelCard
from pergai.imaging.picture import RGB
from pergai.runners.diffusion.faults import translated
from pergai.runners.diffusion.load import load_part
from pergai.runners.diffusion.switches import NetSwitches, switches_of


class SafetyChecker:
    """A `Model` of the engine. A payload is a picture, its result whether it is refused."""

    max_batch = 8

    def __init__(self, net: Any, prepare: Any) -> None:
        self._net = net
        self._prepare = prepare

    @torch.inference_mode()
    def run(self, payloads: Sequence[RGB]) -> list[bool]:
        """Raises MemoryError."""
        seen = self._prepare([Image.fromarray(picture) for picture in payloads], return_tensors="pt").pixel_values
        with translated():
            # It blackens what it refuses; those pictures are none of ours.
            blank = [np.zeros((1, 1, 3), np.float32) for _ in payloads]
            _, refused = self._net(clip_input=seen.to(self._net.device, self._net.dtype), images=blank)
        return [bool(one) for one in refused]


def load(card: ModelCard, folder: Path, device: str) -> SafetyChecker:
    """Family `safety`: the folders `safety_checker` and `feature_extractor` of a Stable Diffusion pipeline.

    Raises ModelUnavailable or CardError.
    """
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPImageProcessor

    net = load_part(
        StableDiffusionSafetyChecker, card, switches_of(card, NetSwitches), folder / "safety_checker", device
    )
    prepare = CLIPImageProcessor.from_pretrained(folder / "feature_extractor", local_files_only=True)
    return SafetyChecker(net.eval(), prepare)
