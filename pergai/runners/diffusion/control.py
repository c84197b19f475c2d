"""ControlNet (Zhang et al. 2023, arXiv 2302.05543): a picture of the set, its depth or its normals, decides where things are.

The net reads the noisy latents and the map and gives what is added to the UNet's skips, in the same batch and at the same
step as the UNet itself. Outside a request's share of the schedule it is not run at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pergai.cards.structs import ModelCard
from pergai.imaging.picture import RGB
from pergai.runners.diffusion.companion import Companion
from pergai.runners.diffusion.load import edition_of, load_part
from pergai.runners.diffusion.switches import ControlSwitches, switches_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """What a request is guided by."""

    net: str
    """Id of the ControlNet's model card."""
    hint: RGB
    """The map, (height, width, 3) of the request's picture."""
    scale: float = 1.0
    """How much of what the net says is added, 0-2."""
    start: float = 0.0
    end: float = 1.0
    """The share of the steps that are guided, 0-1 each."""

    def active(self, index: int, steps: int) -> bool:
        """Whether step `index` of so many lies between start and end, as diffusers decides it."""
        return not (index / steps < self.start or (index + 1) / steps > self.end)


class ControlNet(Companion):
    """A ControlNet on the device."""

    def __init__(self, net: Any, edition: Mapping[str, str] | None = None) -> None:
        super().__init__(edition)
        self._net = net

    @property
    def dtype(self) -> torch.dtype:
        """What its maps are given in."""
        return self._net.dtype  # type: ignore[no-any-return]

    def residuals(
        self, latents: Tensor, times: Tensor, hints: Tensor, scales: Tensor, words: Mapping[str, Any]
    ) -> dict[str, Any]:
        """What the UNet is called with beside its own input, for a batch of rows. `scales`: (rows,)."""
        down, mid = self._net(
            latents,
            times,
            encoder_hidden_states=words["encoder_hidden_states"],
            controlnet_cond=hints,
            conditioning_scale=scales.view(-1, 1, 1, 1),
            added_cond_kwargs=words.get("added_cond_kwargs"),
            return_dict=False,
        )
        rows = latents.dtype
        return {
            "down_block_additional_residuals": [part.to(rows) for part in down],
            "mid_block_additional_residual": mid.to(rows),
        }


def hint_tensor(hint: RGB) -> Tensor:
    """(1, 3, height, width), 0 to 1, float32."""
    return torch.from_numpy((hint[None].astype(np.float32) / 255.0).transpose(0, 3, 1, 2)).contiguous()


def load(card: ModelCard, folder: Path, device: str) -> ControlNet:
    """Family `controlnet`: a ControlNetModel in diffusers' format. Raises ModelUnavailable or CardError."""
    import diffusers

    switches = switches_of(card, ControlSwitches)
    net = load_part(diffusers.ControlNetModel, card, switches, folder, device).eval()
    if switches.channels_last:
        net.to(memory_format=torch.channels_last)
    return ControlNet(net, edition_of(card, folder, net.dtype))


def nets(beside: Sequence[Mapping[str, Any]]) -> dict[str, ControlNet]:
    """The ControlNets among the companions of some requests, by id."""
    return {name: one for each in beside for name, one in each.items() if isinstance(one, ControlNet)}
