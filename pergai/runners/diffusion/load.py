"""Diffusion weights from the disk: a diffusers folder, or one checkpoint file with the configuration of another card.

Only safetensors are read, only code of diffusers and transformers is run, and nothing is looked up on the network.
"""

from __future__ import annotations

import ast
import inspect
import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from pergai.cards.structs import ModelCard
from pergai.cards.weights import edition
from pergai.errors import CardError, ModelUnavailable, PergaiError
from pergai.runners.diffusion.faults import is_full, translated
from pergai.runners.diffusion.switches import NetSwitches, PipelineSwitches

log = logging.getLogger(__name__)

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}
LIBRARIES = ("diffusers", "transformers", "stable_diffusion")
"""Where the parts of a pipeline may come from; anything else is code of the weights' own."""
FIRST_LAYER = "model.diffusion_model.input_blocks.0.0.weight"
"""Of the UNet, in a checkpoint with the names of the original code: (channels, input channels, 3, 3)."""

PARTLY = re.compile(r"Pipeline <class '[\w.]*?(\w+)'> expected (\[.*\]), but only (\{.*\}) were passed")
"""What diffusers says of a folder that does not hold the whole of a pipeline, such as Kandinsky's decoder, whose prior has a
repository of its own."""


def dtype_for(card: ModelCard, switches: NetSwitches, device: str) -> torch.dtype:
    """What the model computes in: its card's `dtype` on a GPU, float32 on a CPU, where half precision is emulated, many times
    slower. Raises CardError."""
    name = switches.dtype
    if name not in DTYPES:
        raise CardError(f"models/{card.id}.toml: options.dtype: {name!r} is not one of {', '.join(DTYPES)}")
    return DTYPES[name] if device.startswith("cuda") else torch.float32


def edition_of(card: ModelCard, folder: Path, dtype: torch.dtype | None = None) -> dict[str, str]:
    """What the record says of a model when it is loaded: its `revision` and `sha256` as far as they are known, and the
    `dtype` that it computes in."""
    computes = {"dtype": str(dtype).removeprefix("torch.")} if dtype is not None else {}
    return {**edition(card, folder), **computes}


def load_pipeline(card: ModelCard, switches: PipelineSwitches, folder: Path, device: str, kind: Any = None) -> Any:
    """The diffusers pipeline of a card, on the device, ready to run: of the class `kind`, or whichever inpaints with it.

    Raises ModelUnavailable or CardError.
    """
    quiet_libraries()
    dtype = dtype_for(card, switches, device)
    with _loading(card, folder):
        if switches.file:
            pipeline = _from_file(card, folder / switches.file, switches.base, dtype, kind)
        else:
            pipeline = _from_folder(card, folder, _options(switches, dtype), kind)
        with translated():
            pipeline.to(device)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def load_part(kind: Any, card: ModelCard, switches: NetSwitches, folder: Path, device: str) -> Any:
    """One net of diffusers or transformers (`kind` is its class) from a folder of its own, on the device.

    Raises ModelUnavailable or CardError.
    """
    quiet_libraries()
    dtype = dtype_for(card, switches, device)
    with _loading(card, folder):
        net = kind.from_pretrained(folder, **_options(switches, dtype))
        with translated():
            return net.to(device)


def quiet_libraries() -> None:
    """No hub, no progress bars, no log lines of theirs: weights are here or they are not, and the log is ours."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import diffusers
    import transformers

    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()


@contextmanager
def _loading(card: ModelCard, folder: Path) -> Iterator[None]:
    """Whatever goes wrong with the files of a card becomes ModelUnavailable, with its reason."""
    if not folder.is_dir():
        raise ModelUnavailable(f"model {card.id} is missing; run `pergai models pull {card.id}`")
    try:
        yield
    except PergaiError:
        raise
    except Exception as error:  # of three libraries, which raise anything at all
        if is_full(error):
            raise MemoryError(str(error)) from None
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        if "meta tensor" in reason:  # what diffusers leaves where a file holds nothing
            reason = "some of its weights are missing"
        if found := PARTLY.match(reason):
            lacking = sorted(set(ast.literal_eval(found[2])) - ast.literal_eval(found[3]))
            reason = f"{found[1]} is made of {', '.join(lacking)}, too, which must lie in the same folder"
        doubt = "; is its file of the family of options.base?" if card.options.get("base") else ""
        raise ModelUnavailable(f"model {card.id} cannot be loaded ({reason.strip()[:300]}){doubt}") from error


def _options(switches: NetSwitches, dtype: torch.dtype) -> dict[str, Any]:
    options: dict[str, Any] = {"dtype": dtype, "use_safetensors": True, "local_files_only": True}
    if switches.variant:
        options["variant"] = switches.variant
    return options


def _from_folder(card: ModelCard, folder: Path, options: dict[str, Any], kind: Any) -> Any:
    index = _index(card, folder)
    if "safety_checker" in index:
        options |= {"safety_checker": None, "requires_safety_checker": False}
    return (kind or _kind(index)).from_pretrained(folder, **options)


def _from_file(card: ModelCard, file: Path, base: str, dtype: torch.dtype, kind: Any) -> Any:
    if file.suffix != ".safetensors":
        raise CardError(f"models/{card.id}.toml: options.file: only .safetensors are read, not {file.name}")
    if not file.is_file():
        raise ModelUnavailable(f"model {card.id}: {file.name} is missing in {file.parent}")
    config = file.parent.parent / base if base else file.parent / "config"
    if not (config / "model_index.json").is_file():
        raise ModelUnavailable(
            f"model {card.id}: a single checkpoint needs the configuration of its family; "
            + (f"run `pergai models pull {base}`" if base else "name its card in options.base")
        )
    index = _index(card, config)
    options: dict[str, Any] = {"config": str(config), "dtype": dtype, "local_files_only": True}
    unet = _unet_of_its_own_channels(file, options) if "unet" in index else {}
    if "safety_checker" in index:
        options["safety_checker"] = None
    return (kind or _kind(index)).from_single_file(str(file), **options, **unet)


def _unet_of_its_own_channels(file: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """The UNet of a checkpoint that sees 4 channels where its base sees 9, or the other way round: most checkpoints of one's
    own are no inpainting models, but have all else in common with one."""
    from diffusers import UNet2DConditionModel

    with safe_open(file, framework="pt") as checkpoint:
        if FIRST_LAYER not in checkpoint.keys():  # noqa: SIM118 - not a dict
            return {}
        channels = checkpoint.get_slice(FIRST_LAYER).get_shape()[1]
    if channels == UNet2DConditionModel.load_config(options["config"], subfolder="unet")["in_channels"]:
        return {}
    return {"unet": UNet2DConditionModel.from_single_file(str(file), subfolder="unet", in_channels=channels, **options)}


def _index(card: ModelCard, folder: Path) -> Mapping[str, Any]:
    path = folder / "model_index.json"
    if not path.is_file():
        raise ModelUnavailable(
            f"model {card.id}: {folder} has no model_index.json; run `pergai models pull {folder.name}`"
        )
    index: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    foreign = [
        name
        for name, part in index.items()
        if isinstance(part, list)
        and part
        and part[0] is not None
        and (name == "_class_name" or part[0] not in LIBRARIES)
    ]
    if foreign:
        raise ModelUnavailable(f"model {card.id} brings its own code ({', '.join(foreign)}), which is never run")
    return {name: part for name, part in index.items() if part != [None, None]}


def _kind(index: Mapping[str, Any]) -> Any:
    """The pipeline class for these parts: what the step engine takes apart, else whatever diffusers has for it."""
    import diffusers

    if "unet" in index and "text_encoder" in index and "controlnet" not in index:
        if "text_encoder_2" in index:
            return diffusers.StableDiffusionXLInpaintPipeline
        if (index["text_encoder"] or [None, ""])[1] in ("CLIPTextModel", "CLIPTextModelWithProjection"):
            return diffusers.StableDiffusionInpaintPipeline
    own = getattr(diffusers, str(index.get("_class_name")), None)
    if own is not None and {"prompt", "mask_image"} <= inspect.signature(own.__call__).parameters.keys():
        return own  # FluxFillPipeline, for one, is not among those that diffusers chooses by itself
    return diffusers.AutoPipelineForInpainting
