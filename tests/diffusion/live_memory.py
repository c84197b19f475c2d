"""How much memory the tensors of a computation take at most, counted on tensors without data, so that nets of any size fit."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode


def peak_mib(work: Callable[[], Any]) -> float:
    """The most that is alive at once of what `work` makes. Attention is taken for a fused kernel, as it is on a GPU: it keeps
    nothing but its result. What a device's libraries take for themselves is not in it."""
    with torch.inference_mode(), _FusedAttention(), _Alive() as alive:  # type: ignore[no-untyped-call]
        work()
    return alive.most / 2**20


class _Alive(TorchDispatchMode):
    """Counts the storages of the tensors that operations give back, until they are gone."""

    def __init__(self) -> None:
        super().__init__()
        self.most = 0
        self._bytes: dict[int, int] = {}

    def __torch_dispatch__(
        self, operation: Any, types: Sequence[type], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = operation(*args, **(kwargs or {}))
        for tensor in pytree.tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage()._cdata not in self._bytes:
                storage = tensor.untyped_storage()
                self._bytes[storage._cdata] = storage.nbytes()
                weakref.finalize(storage, self._bytes.pop, storage._cdata)
        self.most = max(self.most, sum(self._bytes.values()))
        return result


class _FusedAttention(TorchFunctionMode):
    def __torch_function__(
        self, function: Any, types: Sequence[type], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if function is torch.nn.functional.scaled_dot_product_attention:
            return torch.empty_like(args[0])
        return function(*args, **(kwargs or {}))
