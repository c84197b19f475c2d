"""What a model card may say to the loaders of this package: `options`, by family."""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec

from pergai.cards.structs import ModelCard
from pergai.errors import CardError

Count = Annotated[int, msgspec.Meta(ge=1)]
Kind = TypeVar("Kind", bound="NetSwitches")


class NetSwitches(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Any net; alone for the family `safety`."""

    dtype: str = "float16"
    """What it computes in on a GPU: float16, bfloat16 or float32. A CPU computes in float32."""
    variant: str = ""
    """Which set of files, e.g. "fp16"."""


class ControlSwitches(NetSwitches, frozen=True, kw_only=True):
    """Family `controlnet`."""

    channels_last: bool = False
    """As of the model that it guides."""


class LoraSwitches(NetSwitches, frozen=True, kw_only=True):
    """Family `lora`."""

    file: str = "pytorch_lora_weights.safetensors"


class PipelineSwitches(NetSwitches, frozen=True, kw_only=True):
    """What any whole pipeline is loaded with."""

    file: str = ""
    """A single checkpoint in the folder; with the configuration of `base`, or of a folder `config` beside it."""
    base: str = ""
    """Id of the card whose folder has the configuration of the checkpoint."""


class PainterSwitches(PipelineSwitches, frozen=True, kw_only=True):
    """Family `diffusers`. The faster ways are explained in `accelerate`."""

    max_batch: Count | None = None
    """Requests sharing a step: 16 on a GPU, 4 on a CPU unless it is said."""
    rows: tuple[Count, ...] = ()
    """Batch sizes the UNet is run at; whatever comes when there are none."""
    deterministic: bool = False
    """One batch size, one picture at a time in the autoencoder: the same bytes in any company."""
    channels_last: bool = False
    compile: str = ""
    compile_blocks: str = ""
    compile_vae: str = ""
    """How torch.compile runs the UNet, the blocks that it repeats, the decoder: a mode, or a backend."""
    graphs: bool = False
    """CUDA graphs of the plain UNet."""
    attention: str = ""
    """A kernel of scaled_dot_product_attention."""
    fp8: bool = False
    warm_shapes: tuple[tuple[Count, Count], ...] = ()
    """(height, width) of pictures that are compiled or recorded for before anybody asks."""


def switches_of(card: ModelCard, kind: type[Kind]) -> Kind:
    """The card's options, checked. Raises CardError naming the field."""
    try:
        return msgspec.convert(card.options, kind)
    except msgspec.ValidationError as error:
        raise CardError(f"models/{card.id}.toml: options: {error}") from error
