"""Writes a pipeline as one checkpoint with the names of the original Stable Diffusion code: the files that fine-tuned
models are passed around in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
UNET_TOP = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}
OPEN_CLIP = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}
OPEN_CLIP_TOP = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm.weight": "ln_final.weight",
    "final_layer_norm.bias": "ln_final.bias",
}
VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def write(pipeline: Any, path: Path) -> Path:
    tensors = {}
    layers = pipeline.unet.config.layers_per_block + 1
    for name, tensor in pipeline.unet.state_dict().items():
        tensors["model.diffusion_model." + _unet_name(name, layers)] = tensor
    blocks = len(pipeline.vae.config.block_out_channels)
    for name, tensor in pipeline.vae.state_dict().items():
        kept = tensor[:, :, None, None] if ".attentions." in name and tensor.ndim == 2 else tensor
        tensors["first_stage_model." + _vae_name(name, blocks)] = kept
    second = getattr(pipeline, "text_encoder_2", None)
    first = "cond_stage_model." if second is None else "conditioner.embedders.0."
    for name, tensor in pipeline.text_encoder.state_dict().items():
        tensors[f"{first}transformer.text_model.{name.removeprefix('text_model.')}"] = tensor
    if second is not None:
        for name, tensor in _open_clip(second.state_dict()).items():
            tensors["conditioner.embedders.1.model." + name] = tensor
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return path


def _unet_name(name: str, layers: int) -> str:
    for ours, theirs in UNET_TOP.items():
        if name.startswith(ours + "."):
            return theirs + name.removeprefix(ours)
    if found := re.fullmatch(r"mid_block\.(resnets|attentions)\.(\d)\.(.+)", name):
        kind, index, rest = found.groups()
        return f"middle_block.{1 if kind == 'attentions' else 2 * int(index)}.{_resnet(rest, kind)}"
    if found := re.fullmatch(r"(down|up)_blocks\.(\d)\.(resnets|attentions)\.(\d)\.(.+)", name):
        way, block, kind, layer, rest = found.groups()
        place = int(block) * layers + int(layer)
        side = f"input_blocks.{place + 1}" if way == "down" else f"output_blocks.{place}"
        return f"{side}.{int(kind == 'attentions')}.{_resnet(rest, kind)}"
    if found := re.fullmatch(r"down_blocks\.(\d)\.downsamplers\.0\.conv\.(.+)", name):
        return f"input_blocks.{(int(found[1]) + 1) * layers}.0.op.{found[2]}"
    if found := re.fullmatch(r"up_blocks\.(\d)\.upsamplers\.0\.conv\.(.+)", name):
        # Behind the resnet and, in the first block, its attention.
        return f"output_blocks.{int(found[1]) * layers + layers - 1}.{2 if found[1] == '0' else 1}.conv.{found[2]}"
    raise ValueError(f"no name for {name}")


def _resnet(rest: str, kind: str) -> str:
    part, _, last = rest.partition(".")
    return f"{RESNET[part]}.{last}" if kind == "resnets" else rest


def _open_clip(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """SDXL's second text encoder: queries, keys and values are one matrix there, the projection lies on its side."""
    tensors = {"text_projection": state["text_projection.weight"].T}
    for full, tensor in state.items():
        name = full.removeprefix("text_model.")
        if name in OPEN_CLIP_TOP:
            tensors[OPEN_CLIP_TOP[name]] = tensor
        elif found := re.fullmatch(r"encoder\.layers\.(\d+)\.(.+)\.(weight|bias)", name):
            layer, part, last = found.groups()
            if part in OPEN_CLIP:
                tensors[f"transformer.resblocks.{layer}.{OPEN_CLIP[part]}.{last}"] = tensor
            elif part == "self_attn.q_proj":
                three = [state[full.replace("q_proj", f"{one}_proj")] for one in "qkv"]
                tensors[f"transformer.resblocks.{layer}.attn.in_proj_{last}"] = torch.cat(three)
    return tensors


def _vae_name(name: str, blocks: int) -> str:
    name = re.sub(r"down_blocks\.(\d)\.resnets\.(\d)", r"down.\1.block.\2", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(r"up_blocks\.(\d)\.resnets\.(\d)", lambda m: f"up.{blocks - 1 - int(m[1])}.block.{m[2]}", name)
    name = re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{blocks - 1 - int(m[1])}.upsample", name)
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
    if ".attentions." in name:
        name = name.replace("mid_block.attentions.0", "mid.attn_1")
        for ours, theirs in VAE_ATTENTION.items():
            name = name.replace(f".{ours}.", f".{theirs}.")
    return name.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")
