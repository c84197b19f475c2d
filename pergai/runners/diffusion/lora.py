"""A LoRA added to the weights it was trained for, once, at load (Hu et al. 2021: W + scale · alpha / rank · B A).

Read are the layouts of diffusers and peft (`unet.….lora_A.weight`, `….lora.down.weight`) and of kohya's trainers on
diffusers' names (`lora_unet_….lora_down.weight`, `.alpha`).
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

ENDINGS = {"lora_A": "down", "lora_down": "down", "lora.down": "down", "lora_B": "up", "lora_up": "up", "lora.up": "up"}
KEY = re.compile(r"(.+?)\.(lora_A|lora_B|lora_down|lora_up|lora\.down|lora\.up)(?:\.\w+)?\.weight|(.+)\.alpha")
PREFIXES = {
    "unet": ("unet.", "lora_unet_"),
    "text_encoder": ("text_encoder.", "lora_te_", "lora_te1_"),
    "text_encoder_2": ("text_encoder_2.", "lora_te2_"),
}


def fuse(pipeline: Any, path: Path, scale: float) -> int:
    """Add the LoRA in `path` to a pipeline's weights; how many layers it changed. Raises ValueError when part of it fits
    nowhere: a LoRA of another family."""
    layers: dict[str, dict[str, Tensor]] = defaultdict(dict)
    strange: list[str] = []
    for key, tensor in load_file(path).items():
        found = KEY.fullmatch(key)
        if found is None:
            strange.append(key)
        elif found[3]:
            layers[found[3]]["alpha"] = tensor
        else:
            layers[found[1].removesuffix(".processor")][ENDINGS[found[2]]] = tensor
    modules = _modules(pipeline)
    strange += [name for name in layers if name not in modules or not {"down", "up"} <= layers[name].keys()]
    if strange or not layers:
        shown = ", ".join(strange[:3]) or "no layer at all"
        raise ValueError(f"{path.name} is not a LoRA for this model: {shown}")
    for name, parts in layers.items():
        _add(modules[name], parts, scale)
    return len(layers)


def _modules(pipeline: Any) -> dict[str, nn.Module]:
    """Every layer a LoRA may change, by each of its names."""
    named: dict[str, nn.Module] = {}
    for part, (dotted, *flat) in PREFIXES.items():
        root = getattr(pipeline, part, None)
        if root is None:
            continue
        for name, module in root.named_modules():
            if not isinstance(module, (nn.Linear, nn.Conv2d)):
                continue
            # transformers dropped the level `text_model`, which files still name.
            for spelling in (name, f"text_model.{name}") if part != "unet" else (name,):
                named[dotted + spelling] = module
                named.update({prefix + spelling.replace(".", "_"): module for prefix in flat})
    return named


def _add(module: nn.Module, parts: dict[str, Tensor], scale: float) -> None:
    weight = module.get_parameter("weight")
    down, up = parts["down"].float(), parts["up"].float()
    strength = scale * (float(parts["alpha"]) / down.shape[0] if "alpha" in parts else 1.0)
    change = (up.flatten(1) @ down.flatten(1)).reshape(weight.shape) * strength
    with torch.no_grad():
        weight.copy_((weight.float() + change.to(weight.device)).to(weight.dtype))
