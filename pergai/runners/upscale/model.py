"""Real-ESRGAN on the device: family `realesrgan` of the model cards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from pergai.cards.structs import ModelCard
from pergai.errors import CardError, ModelUnavailable
from pergai.imaging.picture import RGB
from pergai.runners.upscale.nets import RRDBNet, SRVGGNetCompact

Tile = RGB | npt.NDArray[np.float32]
"""(height, width, 3): uint8 0-255 or float32 0-1."""

ARCHITECTURES: Mapping[str, Callable[[Mapping[str, Any]], nn.Module]] = {
    "RRDBNet": lambda o: RRDBNet(int(o["features"]), int(o["growth"]), int(o["blocks"])),
    "SRVGGNetCompact": lambda o: SRVGGNetCompact(int(o["features"]), int(o["convolutions"]), int(o["scale"])),
}
"""`options.architecture` of a card → the net."""


class Upscaler:
    """One net. A payload is a tile; its result the tile enlarged by 4, uint8.

    On a CPU the nets are bound by arithmetic, so a batch is no faster there and only takes memory.
    """

    def __init__(self, net: nn.Module, device: str) -> None:
        self.max_batch = 4 if device.startswith("cuda") else 1
        self._device = torch.device(device)
        self._dtype = torch.float16 if device.startswith("cuda") else torch.float32
        # channels_last: the layout oneDNN and cuDNN compute in; a quarter faster than converting at every layer
        self._net = net.eval().to(device=self._device, dtype=self._dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def run(self, payloads: Sequence[Tile]) -> list[RGB]:
        """uint8 (4 * height, 4 * width, 3) for each tile; all tiles have one shape."""
        batch = torch.stack([_planes(tile) for tile in payloads]).to(self._device)
        batch = batch.to(dtype=self._dtype, memory_format=torch.channels_last)
        enlarged: Tensor = self._net(batch)
        rounded = enlarged.float().clamp_(0, 1).mul_(255).round_().to(torch.uint8)
        return list(rounded.permute(0, 2, 3, 1).contiguous().cpu().numpy())


def load(card: ModelCard, folder: Path, device: str) -> Upscaler:
    """Load the net of a card whose files lie, already verified, in `folder`: safetensors, or a `.pth` release of
    Real-ESRGAN (only tensors are read from it, no code).

    `card.options`: `architecture` (RRDBNet or SRVGGNetCompact) and its sizes. `device` is "cpu" or "cuda". Raises
    CardError for an unknown architecture, ModelUnavailable when the file is missing or does not fit.
    """
    try:
        net = ARCHITECTURES[str(card.options["architecture"])](card.options)
    except KeyError as error:
        raise CardError(
            f"models/{card.id}.toml: options: {error} is missing or not one of {', '.join(ARCHITECTURES)}"
        ) from error
    path = folder / card.files[0].name
    if not path.is_file():
        raise ModelUnavailable(f"model {card.id}: {path.name} is missing; run `pergai models pull {card.id}`")
    try:
        tensors = load_file(path) if path.suffix == ".safetensors" else _read_release(path)
        net.load_state_dict(tensors)
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelUnavailable(f"model {card.id}: {path.name} cannot be loaded ({reason})") from error
    return Upscaler(net, device)


def _read_release(path: Path) -> dict[str, Tensor]:
    """Upstream wraps its tensors in `params_ema` (the averaged ones, better) or `params`."""
    read: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    for key in ("params_ema", "params"):
        if key in read:
            return dict(read[key])
    return read


def _planes(tile: Tile) -> Tensor:
    planes = torch.from_numpy(np.array(tile)).permute(2, 0, 1)  # a copy: torch wants memory it may write to
    return planes.float().div_(255) if tile.dtype == np.uint8 else planes
