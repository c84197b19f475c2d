"""Diffusion pipelines with random weights, small or at the real sizes: speed does not depend on what a net has learned."""

from __future__ import annotations

from typing import Any, Literal

import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    StableDiffusionInpaintPipeline,
    StableDiffusionXLInpaintPipeline,
    UNet2DConditionModel,
)
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

Size = Literal["small", "medium", "sd15", "sdxl", "small-xl"]

SMALL: dict[str, Any] = {
    "block_out_channels": (32, 64, 128),
    "cross_attention_dim": 64,
    "attention_head_dim": 4,
    "layers_per_block": 1,
    "norm_num_groups": 16,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "sample_size": 16,
}
UNETS: dict[str, dict[str, Any]] = {
    "small": SMALL,
    "medium": SMALL | {"block_out_channels": (160, 320, 640)},
    "sd15": {"cross_attention_dim": 768, "attention_head_dim": 8, "sample_size": 64},
    "sdxl": {
        "block_out_channels": (320, 640, 1280),
        "cross_attention_dim": 2048,
        "attention_head_dim": (5, 10, 20),
        "transformer_layers_per_block": (1, 2, 10),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
        "sample_size": 128,
    },
    "small-xl": {
        "block_out_channels": (32, 64),
        "cross_attention_dim": 128,
        "attention_head_dim": (2, 4),
        "layers_per_block": 1,
        "norm_num_groups": 16,
        "transformer_layers_per_block": (1, 2),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 6 * 8 + 64,
        "sample_size": 16,
    },
}
"""What differs from the class's own defaults, which are SD 1.5's."""

SMALL_TEXT = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
TEXTS: dict[str, list[dict[str, Any]]] = {
    "small": [SMALL_TEXT],
    "medium": [SMALL_TEXT],
    "sd15": [{"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}],
    "sdxl": [
        {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12},
        {
            "hidden_size": 1280,
            "intermediate_size": 5120,
            "num_hidden_layers": 32,
            "num_attention_heads": 20,
            "projection_dim": 1280,
            "hidden_act": "gelu",
        },
    ],
    "small-xl": [
        SMALL_TEXT,
        SMALL_TEXT | {"projection_dim": 64},
    ],
}


def build(size: Size, dtype: torch.dtype = torch.float32, device: str = "cpu") -> Any:
    """A 9-channel inpainting pipeline. The large ones are filled on the device in `dtype`, so a GPU builds them in seconds."""
    torch.manual_seed(1)
    small = size not in ("sd15", "sdxl")
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            unet = UNet2DConditionModel(in_channels=9, out_channels=4, **UNETS[size])
            vae = AutoencoderKL(
                block_out_channels=(16, 16, 32, 32) if small else (128, 256, 512, 512),
                down_block_types=("DownEncoderBlock2D",) * 4,
                up_block_types=("UpDecoderBlock2D",) * 4,
                layers_per_block=1 if small else 2,
                norm_num_groups=8 if small else 32,
                latent_channels=4,
                force_upcast=size == "sdxl",
                scaling_factor=0.13025 if "xl" in size else 0.18215,
            )
            texts = [CLIPTextConfig(vocab_size=514, bos_token_id=512, eos_token_id=513, pad_token_id=513, **one)
                     for one in TEXTS[size]]  # fmt: skip
            first = CLIPTextModel(texts[0])
            second = CLIPTextModelWithProjection(texts[1]) if len(texts) > 1 else None
    finally:
        torch.set_default_dtype(before)
    scheduler = EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, timestep_spacing="leading"
    )
    parts = {"vae": vae, "unet": unet, "text_encoder": first, "tokenizer": _tokenizer(), "scheduler": scheduler}
    for part in parts.values():
        if isinstance(part, torch.nn.Module):
            part.eval().to(dtype=dtype)
    if second is not None:
        pipeline = StableDiffusionXLInpaintPipeline(
            text_encoder_2=second.eval().to(dtype=dtype), tokenizer_2=_tokenizer(), **parts
        )
    else:
        pipeline = StableDiffusionInpaintPipeline(
            safety_checker=None, feature_extractor=None, requires_safety_checker=False, **parts
        )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def _tokenizer() -> CLIPTokenizer:
    """Every byte is a token."""
    letters = sorted(ByteLevel.alphabet())
    names = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={name: index for index, name in enumerate(names)}, merges=[], model_max_length=77)
