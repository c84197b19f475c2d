"""Ways to run a model faster, each a switch of its card, none on by itself.

`compile`, `compile_blocks`, `graphs`, `attention`, `channels_last` and `compile_vae` leave the picture as it is but for
rounding; `fp8` keeps the UNet's weights in 8 bits and loses a little. A way that fails is left with a warning, and the plain
model goes on.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch._dynamo.config
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils import _pytree as pytree

from pergai.errors import CardError
from pergai.runners.diffusion.faults import is_full, is_sticky
from pergai.runners.diffusion.switches import PainterSwitches

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
SHAPES = 64
"""Most that one function is compiled for; torch's own limit, 8, is a model's batch sizes at two sizes of picture."""
GRAPHS = 12
"""Captured graphs kept of one model; each holds the activations of its shape."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """How a model's parts are called; None is as they are."""

    forward: Forward | None = None
    """The UNet."""
    decode: Forward | None = None
    """The autoencoder's decoder."""
    context: Callable[[], AbstractContextManager[None]] = nullcontext
    """Entered around each step."""
    shapes: tuple[tuple[int, int], ...] = ()
    """(height, width) of pictures that are painted often: compiled or recorded for before anybody asks."""

    @property
    def wants_sizes(self) -> bool:
        """Whether few batch sizes pay: each new one is compiled or recorded."""
        return self.forward is not None


def ways(card: str, switches: PainterSwitches, pipeline: Any, dtype: torch.dtype) -> Ways:
    """What the switches of a card (its id) make of a pipeline, whose parts may be changed in place.

    Raises CardError for a way there is none of.
    """
    if switches.channels_last:  # on an H200 SDXL is an eighth faster without
        pipeline.unet.to(memory_format=torch.channels_last)
        pipeline.vae.to(memory_format=torch.channels_last)
    if switches.fp8:
        # Norms and embeddings stay as they are; every other layer is cast up for the time of its own call.
        pipeline.unet.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=dtype)
    forward: Forward | None = None
    if switches.compile:
        forward = compiled(pipeline.unet, switches.compile, card, "compile")
    elif switches.compile_blocks:  # one kernel for all of them, in a fraction of the time
        forward = compiled_blocks(pipeline.unet, switches.compile_blocks, card)
    elif switches.graphs:
        forward = captured(pipeline.unet, card)
    decode = None
    if switches.compile_vae:
        decode = compiled(pipeline.vae.decode, switches.compile_vae, card, "compile_vae")
    kernel = switches.attention
    if kernel and kernel not in ATTENTION:
        raise CardError(f"models/{card}.toml: options.attention: {kernel!r} is not one of {', '.join(ATTENTION)}")
    return Ways(
        forward=forward,
        decode=decode,
        context=partial(attention, kernel) if kernel else nullcontext,
        shapes=switches.warm_shapes,
    )


def compiled(forward: Forward, how: str, card: str, option: str) -> Forward:
    """`forward` through torch.compile, as the card's `option` says. Raises CardError for a way there is none of."""
    return Fallible(torch.compile(forward, **_compiling(how, card, option)), forward, f"{card}: torch.compile ({how})")


def compiled_blocks(unet: Any, how: str, card: str) -> Forward:
    """The UNet with its transformer blocks through torch.compile: SDXL has seventy of them, in two widths (diffusers' regional
    compilation, but that the UNet itself stays as it is: the shortcuts change what is inside the blocks). Raises CardError for
    a way there is none of."""
    blocks = [block for block in unet.modules() if type(block).__name__ in unet._repeated_blocks]
    calls = [torch.compile(block._call_impl, **_compiling(how, card, "compile_blocks")) for block in blocks]

    def fast(*args: Any, **words: Any) -> Any:
        for block, call in zip(blocks, calls, strict=True):
            block._compiled_call_impl = call
        try:
            return unet(*args, **words)
        finally:
            for block in blocks:
                block._compiled_call_impl = None

    return Fallible(fast, unet, f"{card}: torch.compile of its blocks ({how})")


def _compiling(how: str, card: str, option: str) -> dict[str, Any]:
    """Arguments of torch.compile: a kernel for each shape there is, for as many as a model may see."""
    if how not in (*MODES, *BACKENDS):
        raise CardError(f"models/{card}.toml: options.{option}: {how!r} is not one of {', '.join((*MODES, *BACKENDS))}")
    torch._dynamo.config.recompile_limit = SHAPES
    return {"dynamic": False, ("mode" if how in MODES else "backend"): how}


def captured(forward: Forward, card: str) -> Forward | None:
    """`forward` as CUDA graphs; None where there is no CUDA."""
    if not torch.cuda.is_available():
        log.warning("%s: options.graphs needs CUDA; the model runs without", card)
        return None
    return Fallible(Graphs(forward), forward, f"{card}: CUDA graphs")


@contextmanager
def attention(kernel: str) -> Iterator[None]:
    """Every attention inside runs on this kernel, or, where it cannot (wide heads, a mask), as the plain formula."""
    with sdpa_kernel([ATTENTION[kernel], SDPBackend.MATH], set_priority=True):
        yield


class Fallible:
    """A fast way and the plain one. The first input that only the plain one can take ends the fast way; one that neither can
    take, memory that runs out and a lost GPU are not its fault."""

    def __init__(self, fast: Forward, plain: Forward, name: str) -> None:
        self._fast: Forward | None = fast
        self._plain = plain
        self._name = name

    @property
    def is_fast(self) -> bool:
        return self._fast is not None

    def __call__(self, *args: Any, **words: Any) -> Any:
        if self._fast is None:
            return self._plain(*args, **words)
        try:
            return self._fast(*args, **words)
        except Exception as error:  # compilers raise anything at all
            if is_full(error) or is_sticky(error):
                raise
            reason = str(error)[:300]
        answer = self._plain(*args, **words)  # once nothing holds what the fast way had made
        log.warning("%s failed, the model runs without it from now on: %s", self._name, reason)
        self._fast = None
        return answer

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
        # Other threads may ask the device how it is (the engine's heartbeat does); that must not spoil the recording.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            output = self._forward(*args, **words)
        self._recorded[key] = graph, [copy for copy in copies if isinstance(copy, Tensor)], output
