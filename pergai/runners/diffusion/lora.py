"""LoRA (Hu et al. 2021: W + scale · alpha / rank · B A): worn by a model for the requests that ask for it.

Read are the layouts of diffusers and peft (`unet.….lora_A.weight`, `….lora.down.weight`) and of kohya's trainers
(`lora_unet_….lora_down.weight`, `.alpha`), on diffusers' names or on those of the original SDXL code, which diffusers maps.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from pergai.cards.structs import ModelCard
from pergai.errors import CardError, ModelUnavailable
from pergai.runners.diffusion.companion import Companion
from pergai.runners.diffusion.faults import translated
from pergai.runners.diffusion.load import edition_of
from pergai.runners.diffusion.switches import LoraSwitches, switches_of

ENDINGS = {"lora_A": "down", "lora_down": "down", "lora.down": "down", "lora_B": "up", "lora_up": "up", "lora.up": "up"}
KEY = re.compile(r"(.+?)\.(lora_A|lora_B|lora_down|lora_up|lora\.down|lora\.up)(?:\.\w+)?\.weight|(.+)\.alpha")
ORIGINAL = re.compile(r"lora_unet_(input_blocks|middle_block|output_blocks)_")
PROCESSOR = re.compile(r"\.processor\.to_(\w+?)_lora\.")
PREFIXES = {
    "unet": ("unet.", "lora_unet_"),
    "text_encoder": ("text_encoder.", "lora_te_", "lora_te1_"),
    "text_encoder_2": ("text_encoder_2.", "lora_te2_"),
}

Outfit = tuple[tuple[str, float], ...]
"""LoRAs worn together: id of the model card, and scale."""


Layers = Mapping[str, Mapping[str, Tensor]]
"""Name of a layer → its `down`, its `up`, and its `alpha` where it has one."""


class Lora(Companion):
    """The tensors of one LoRA, on the device. `name` is for messages."""

    def __init__(self, name: str, tensors: Mapping[str, Tensor], edition: Mapping[str, str] | None = None) -> None:
        super().__init__(edition)
        self.name = name
        self._tensors = tensors

    def layers(self, pipeline: Any) -> Layers:
        """By the names that the layers have in a pipeline, or spellings of them. Raises ModelUnavailable."""
        tensors = dict(self._tensors)
        if any(ORIGINAL.match(key) for key in tensors):
            # Of the UNet only: the text encoders' layers have the names that they have elsewhere.
            own = {key: tensors.pop(key) for key in self._tensors if key.startswith("lora_unet_")}
            mapped, alphas = pipeline.lora_state_dict(own, unet_config=pipeline.unet.config)
            tensors |= mapped
            for key, alpha in (alphas or {}).items():
                name = PROCESSOR.sub(_as_layer, key).removesuffix(".alpha").removesuffix(".lora.down.weight")
                tensors[f"{name}.alpha"] = torch.tensor(alpha)
        return _parsed(self.name, tensors)


def load(card: ModelCard, folder: Path, device: str) -> Lora:
    """Family `lora`. Raises ModelUnavailable or CardError."""
    name = switches_of(card, LoraSwitches).file
    if not name.endswith(".safetensors"):
        raise CardError(f"models/{card.id}.toml: options.file: only .safetensors are read, not {name}")
    path = folder / name
    if not path.is_file():
        raise ModelUnavailable(f"model {card.id} is missing; run `pergai models pull {card.id}`")
    try:
        with translated():
            tensors = load_file(path, device=device)
    except (OSError, SafetensorError) as error:
        raise ModelUnavailable(f"model {card.id} cannot be loaded ({str(error)[:300]})") from error
    _parsed(card.id, tensors)
    return Lora(card.id, tensors, edition_of(card, folder))


def _parsed(name: str, tensors: Mapping[str, Tensor]) -> Layers:
    layers: dict[str, dict[str, Tensor]] = defaultdict(dict)
    strange: list[str] = []
    for key, tensor in tensors.items():
        found = KEY.fullmatch(PROCESSOR.sub(_as_layer, key))
        if found is None:
            strange.append(key)
        elif found[3]:
            layers[found[3]]["alpha"] = tensor
        else:
            layers[found[1].removesuffix(".processor")][ENDINGS[found[2]]] = tensor
    strange += [layer for layer, parts in layers.items() if not {"down", "up"} <= parts.keys()]
    if strange or not layers:
        raise _not_a_lora(name, strange)
    return layers


def _as_layer(found: re.Match[str]) -> str:
    """Diffusers' older name of a layer of attention as its present one."""
    return f".to_{'out.0' if found[1] == 'out' else found[1]}.lora."


class Wardrobe:
    """What a pipeline wears. The weights a LoRA changes are kept as they were and put back to the last bit, so that a
    request without one sees the model as it came."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        self._own: dict[nn.Module, Tensor] = {}
        self._modules: Mapping[str, nn.Module] | None = None
        self.worn: Outfit = ()

    def wear(self, outfit: Outfit, loras: Mapping[str, Any]) -> None:
        """Change into `outfit`. Raises ModelUnavailable when one is of another family of models."""
        if outfit == self.worn:
            return
        self._undress()
        fitted = [(self._fitted(loras[name]), scale) for name, scale in outfit]
        try:
            for layers, scale in fitted:
                for module, parts in layers:
                    self._change(module, parts, scale)
        except BaseException:  # no memory, as a rule
            self._undress()
            raise
        self.worn = outfit

    def _fitted(self, lora: Lora) -> Sequence[tuple[nn.Module, Mapping[str, Tensor]]]:
        if self._modules is None:
            self._modules = _modules(self._pipeline)
        layers = lora.layers(self._pipeline)
        strange = [
            name for name, parts in layers.items() if name not in self._modules or not _fits(self._modules[name], parts)
        ]
        if strange:
            raise _not_a_lora(lora.name, strange)
        return [(self._modules[name], parts) for name, parts in layers.items()]

    def _change(self, module: nn.Module, parts: Mapping[str, Tensor], scale: float) -> None:
        weight = module.get_parameter("weight")
        if module not in self._own:
            # Beside the device: a LoRA that changes every layer would need room for a second model.
            self._own[module] = weight.detach().to("cpu", copy=True)
        down, up = parts["down"].to(weight.device).float(), parts["up"].to(weight.device).float()
        strength = scale * (float(parts["alpha"]) / down.shape[0] if "alpha" in parts else 1.0)
        change = (up.flatten(1) @ down.flatten(1)).reshape(weight.shape) * strength
        with torch.no_grad():
            weight.copy_((weight.float() + change).to(weight.dtype))

    def _undress(self) -> None:
        with torch.no_grad():
            for module, own in self._own.items():
                module.get_parameter("weight").copy_(own)
        self._own.clear()
        self.worn = ()


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


def _fits(module: nn.Module, parts: Mapping[str, Tensor]) -> bool:
    return parts["up"].shape[0] * parts["down"][0].numel() == module.get_parameter("weight").numel()


def _not_a_lora(name: str, strange: Sequence[str]) -> ModelUnavailable:
    shown = ", ".join(strange[:3]) or "no layer at all"
    return ModelUnavailable(f"{name} is not a LoRA for this model: {shown}")
