"""Work that a request may leave out, at a small loss: off unless its pipeline card asks for it.

DeepCache (Ma et al. 2023, arXiv 2312.00858): the UNet's deep layers hardly change from step to step, so most steps run only
the outermost ones on the deep layers' last answer. T-GATE (Zhang et al. 2024, arXiv 2404.02747): once the words have settled
what is where, cross-attention repeats its last answer, the mean of the guided pair, and guidance ends.

Each request keeps what is its own, so neighbours in a batch may do as they like.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

Way = Literal["whole", "keep", "reuse"]
"""A step taken in full; in full and remembered; and one that leaves out what is remembered."""


@dataclass(slots=True, eq=False)
class DeepCache:
    """`interval`: every so many steps the whole UNet is run, from 2 on."""

    interval: int
    aside: Mapping[str, Tensor] = field(default_factory=dict)
    """`deep`: what the deep layers said, (rows, channels, h, w)."""

    def way(self, index: int, steps: int) -> Way:  # noqa: ARG002 - as the other shortcut
        return "keep" if index % self.interval == 0 else "reuse"

    def remember(self, kept: Mapping[str, Tensor]) -> None:
        self.aside = {name: rows.clone() for name, rows in kept.items()}


@dataclass(slots=True, eq=False)
class Gate:
    """`share` of the steps, 0-1, after which words are no longer read."""

    share: float
    aside: Mapping[str, Tensor] = field(default_factory=dict)
    """What each cross-attention said, (1, places, channels)."""

    def way(self, index: int, steps: int) -> Way:
        last = max(1, round(self.share * steps)) - 1
        return "whole" if index < last else "keep" if index == last else "reuse"

    def remember(self, kept: Mapping[str, Tensor]) -> None:
        self.aside = {name: rows.mean(dim=0, keepdim=True) for name, rows in kept.items()}


Shortcut = DeepCache | Gate


# --- DeepCache ----------------------------------------------------------------------------------------

DEPTH = 1
"""Layers of the first block, and one more of the last, that every step runs."""


@contextmanager
def keeping_deep(unet: Any) -> Iterator[Callable[[], dict[str, Tensor]]]:
    """While inside, a call of the UNet leaves what its deep layers said, to be taken by the function given."""
    caught: list[Tensor] = []
    skip = int(unet.config.block_out_channels[0])

    def catch(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        caught.append(inputs[0][:, :-skip])

    handle = _tail(unet)[0][0].register_forward_pre_hook(catch)
    try:
        yield lambda: {"deep": caught.pop()}
    finally:
        handle.remove()


def shallow(unet: Any, aside: Mapping[str, Tensor], sample: Tensor, times: Tensor, words: Mapping[str, Any]) -> Tensor:
    """The UNet's answer with its deep layers' answer given: `UNet2DConditionModel.forward` less what lies between."""
    text, added = words["encoder_hidden_states"], words.get("added_cond_kwargs")
    emb = unet.time_embedding(unet.get_time_embed(sample=sample, timestep=times), words.get("timestep_cond"))
    extra = unet.get_aug_embed(emb=emb, encoder_hidden_states=text, added_cond_kwargs=added)
    emb = emb if extra is None else emb + extra
    if unet.time_embed_act is not None:
        emb = unet.time_embed_act(emb)
    text = unet.process_encoder_hidden_states(encoder_hidden_states=text, added_cond_kwargs=added)
    hidden = unet.conv_in(sample)
    skips = [hidden]
    for layer in _layers(unet.down_blocks[0])[:DEPTH]:
        hidden = _through(layer, hidden, emb, text)
        skips.append(hidden)
    hidden = aside["deep"]
    for layer in _tail(unet):
        hidden = _through(layer, torch.cat([hidden, skips.pop()], dim=1), emb, text)
    if unet.conv_norm_out is not None:
        hidden = unet.conv_act(unet.conv_norm_out(hidden))
    answer: Tensor = unet.conv_out(hidden)
    return answer


Layer = tuple[Any, Any]
"""A resnet, and the attention behind it or None."""


def _layers(block: Any) -> list[Layer]:
    resnets = list(block.resnets)
    return list(zip(resnets, getattr(block, "attentions", [None] * len(resnets)), strict=True))


def _tail(unet: Any) -> list[Layer]:
    return _layers(unet.up_blocks[-1])[-DEPTH - 1 :]


def _through(layer: Layer, hidden: Tensor, emb: Tensor, text: Tensor) -> Tensor:
    resnet, attention = layer
    hidden = resnet(hidden, emb)
    return hidden if attention is None else attention(hidden, encoder_hidden_states=text, return_dict=False)[0]


# --- T-GATE -------------------------------------------------------------------------------------------


@contextmanager
def keeping_crossed(unet: Any) -> Iterator[Callable[[], dict[str, Tensor]]]:
    """While inside, a call of the UNet leaves what each cross-attention said, to be taken by the function given."""
    caught: dict[str, Tensor] = {}

    def catch(name: str) -> Callable[..., None]:
        return lambda _module, _inputs, output: caught.__setitem__(name, output)

    def take() -> dict[str, Tensor]:
        taken = dict(caught)
        caught.clear()
        return taken

    handles = [module.register_forward_hook(catch(name)) for name, module in _crossings(unet)]
    try:
        yield take
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def crossed_already(unet: Any, crossed: Mapping[str, Tensor]) -> Iterator[None]:
    """While inside, every cross-attention answers what is given instead of reading words."""
    modules = _crossings(unet)

    def repeat(name: str) -> Callable[..., Tensor]:
        return lambda *_, **__: crossed[name]

    for name, module in modules:
        module.forward = repeat(name)
    try:
        yield
    finally:
        for _, module in modules:
            del module.forward  # the class's own is found again


def _crossings(unet: Any) -> list[tuple[str, nn.Module]]:
    return [(name, module) for name, module in unet.named_modules() if name.endswith(".attn2")]
