"""Ways to run a UNet faster without changing its picture beyond rounding, each a switch of the model card.

`compile`: torch.compile, by mode ("default", "reduce-overhead", "max-autotune") or by backend ("eager", "aot_eager").
`graphs`: CUDA graphs of the plain UNet, one for each shape it is called at. `attention`: which kernel of
scaled_dot_product_attention. A way that fails is left with a warning, and the plain UNet goes on.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils import _pytree as pytree

from pergai.errors import CardError
from pergai.runners.diffusion.faults import is_sticky

log = logging.getLogger(__name__)

Forward = Callable[..., Any]

MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
BACKENDS = ("inductor", "eager", "aot_eager", "cudagraphs")
ATTENTION = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "math": SDPBackend.MATH,
}
GRAPHS = 12
"""Captured graphs kept of one model; each holds the activations of its shape."""


def compiled(forward: Forward, how: str, card: str) -> Forward:
    """`forward` through torch.compile. Raises CardError for a way there is none of."""
    if how in MODES:
        return Fallible(torch.compile(forward, dynamic=False, mode=how), forward, f"{card}: torch.compile ({how})")
    if how in BACKENDS:
        return Fallible(torch.compile(forward, dynamic=False, backend=how), forward, f"{card}: torch.compile ({how})")
    raise CardError(f"models/{card}.toml: options.compile: {how!r} is not one of {', '.join((*MODES, *BACKENDS))}")


def captured(forward: Forward, card: str) -> Forward:
    """`forward` as CUDA graphs, where there is CUDA."""
    if not torch.cuda.is_available():
        log.warning("%s: options.graphs needs CUDA; the model runs without", card)
        return forward
    return Fallible(Graphs(forward), forward, f"{card}: CUDA graphs")


@contextmanager
def attention(name: str, card: str) -> Iterator[None]:
    """Every attention inside runs on this kernel; "" leaves the choice to torch. Raises CardError."""
    if not name:
        yield
        return
    if name not in ATTENTION:
        raise CardError(f"models/{card}.toml: options.attention: {name!r} is not one of {', '.join(ATTENTION)}")
    # The plain formula takes what the kernel cannot: an autoencoder's wide heads, a mask.
    with sdpa_kernel([ATTENTION[name], SDPBackend.MATH], set_priority=True):
        yield


class Fallible:
    """A fast way and the plain one. The first failure that is not the device's (memory, a lost GPU) ends the fast way."""

    def __init__(self, fast: Forward, plain: Forward, name: str) -> None:
        self._fast: Forward | None = fast
        self._plain = plain
        self._name = name

    @property
    def is_fast(self) -> bool:
        return self._fast is not None

    def __call__(self, *args: Any, **words: Any) -> Any:
        if self._fast is not None:
            try:
                return self._fast(*args, **words)
            except Exception as error:  # compilers raise anything at all
                if isinstance(error, (torch.OutOfMemoryError, MemoryError)) or is_sticky(error):
                    raise
                log.warning("%s failed, the model runs without it from now on: %s", self._name, str(error)[:300])
                self._fast = None
        return self._plain(*args, **words)

    def forget(self) -> None:
        """Let go of what was recorded of where the weights lie."""
        if isinstance(self._fast, Graphs):
            self._fast.forget()


class Graphs:
    """A function on tensors, recorded once for each set of shapes and then replayed (`torch.cuda.CUDAGraph`)."""

    def __init__(self, forward: Forward) -> None:
        self._forward = forward
        self._recorded: OrderedDict[Any, tuple[Any, list[Tensor], Any]] = OrderedDict()

    def __call__(self, *args: Any, **words: Any) -> Any:
        leaves, layout = pytree.tree_flatten((args, words))
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        key = (str(layout), tuple((tuple(one.shape), one.dtype) for one in tensors))
        if key not in self._recorded:
            self._record(key, leaves, layout)
        self._recorded.move_to_end(key)
        graph, inputs, output = self._recorded[key]
        for ours, theirs in zip(inputs, tensors, strict=True):
            ours.copy_(theirs)
        graph.replay()
        return pytree.tree_map(torch.clone, output)

    def forget(self) -> None:
        self._recorded.clear()

    def _record(self, key: Any, leaves: list[Any], layout: Any) -> None:
        while len(self._recorded) >= GRAPHS:
            self._recorded.popitem(last=False)
        copies = [leaf.clone() if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        args, words = pytree.tree_unflatten(copies, layout)
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # libraries choose their kernels before anything is recorded
            for _ in range(3):
                self._forward(*args, **words)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            output = self._forward(*args, **words)
        self._recorded[key] = graph, [copy for copy in copies if isinstance(copy, Tensor)], output
