"""Where weights lie, and how much of them there is: on the device, or beside it in memory that the device can fetch from
directly (pinned), so that a model that had to make room is back in the time of a copy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

MIB = 2**20


def park(parts: Iterable[nn.Module]) -> None:
    """Move weights into the host's memory. Raises RuntimeError when it has no room; then some may have moved already."""
    pin = torch.cuda.is_available()
    for tensor in _tensors(parts):
        kept = torch.empty_like(tensor, device="cpu", pin_memory=pin)
        kept.copy_(tensor)
        tensor.data = kept


def unpark(parts: Iterable[nn.Module], device: torch.device) -> None:
    """Move weights onto the device. Raises torch.OutOfMemoryError; then some may have moved already."""
    for tensor in _tensors(parts):
        tensor.data = tensor.data.to(device, non_blocking=True)
    if device.type == "cuda":
        torch.cuda.synchronize()


def weights_mib(parts: Iterable[nn.Module]) -> float:
    """Memory of the weights themselves, without what working with them takes."""
    return sum(tensor.numel() * tensor.element_size() for tensor in _tensors(parts)) / MIB


def _tensors(parts: Iterable[nn.Module]) -> Iterator[Tensor]:
    """Every parameter and buffer, once."""
    seen: set[int] = set()
    for part in parts:
        for tensor in (*part.parameters(), *part.buffers()):
            if id(tensor) not in seen:
                seen.add(id(tensor))
                yield tensor
