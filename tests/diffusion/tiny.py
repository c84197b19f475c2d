"""Small Stable Diffusion models with random weights, in the real format: saved as diffusers saves them, loaded as pergai
loads real ones. 8 pixels a latent, like the large ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    ControlNetModel,
    DDIMScheduler,
    DDPMScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxFillPipeline,
    FluxTransformer2DModel,
    KandinskyV22InpaintCombinedPipeline,
    PriorTransformer,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionUpscalePipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLInpaintPipeline,
    UnCLIPScheduler,
    UNet2DConditionModel,
    VQModel,
)
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)

KINDS = ("sd9", "sd4", "lcm4", "xl9")
Kind = Literal["sd9", "sd4", "lcm4", "xl9"]

SIZE = 64
WINDOW = 77


def build(kind: Kind) -> Any:
    """A pipeline with random weights; the same every time."""
    torch.manual_seed({"sd9": 1, "sd4": 2, "xl9": 3, "lcm4": 4}[kind])
    vae = _vae()
    scheduler = EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, timestep_spacing="leading"
    )
    common: dict[str, Any] = {"vae": vae, "scheduler": scheduler, "tokenizer": tokenizer(), "unet": _unet(kind)}
    if kind == "xl9":
        return StableDiffusionXLInpaintPipeline(
            text_encoder=CLIPTextModel(_text(32)).eval(),
            text_encoder_2=CLIPTextModelWithProjection(_text(48)).eval(),
            tokenizer_2=tokenizer(),
            **common,
        )
    return StableDiffusionInpaintPipeline(
        text_encoder=CLIPTextModel(_text(32)).eval(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
        **common,
    )


def save(kind: Kind, folder: Path, **options: Any) -> Path:
    build(kind).save_pretrained(folder, safe_serialization=True, **options)
    return folder


def build_small_vae(kind: Kind) -> Any:
    """With the autoencoder that is a thirtieth of the usual one's size, and encodes to one picture, not to many."""
    pipeline = build(kind)
    sizes: dict[str, Any] = {f"{part}_block_out_channels": (8, 8, 8, 8) for part in ("encoder", "decoder")}
    sizes |= {f"num_{part}_blocks": (1, 1, 1, 1) for part in ("encoder", "decoder")}
    torch.manual_seed(51)
    pipeline.vae = AutoencoderTiny(**sizes)
    return pipeline


def build_refiner() -> StableDiffusionXLImg2ImgPipeline:
    """SDXL's second stage: 4 channels, one text encoder, aesthetic scores in place of the target's size."""
    whole = build("xl9")
    torch.manual_seed(52)
    config = {name: value for name, value in whole.unet.config.items() if not name.startswith("_")}
    unet = UNet2DConditionModel.from_config(
        {**config, "in_channels": 4, "cross_attention_dim": 48, "projection_class_embeddings_input_dim": 5 * 8 + 48}
    )
    _enliven(unet)
    return StableDiffusionXLImg2ImgPipeline(
        vae=whole.vae,
        unet=unet,
        scheduler=whole.scheduler,
        text_encoder=None,
        tokenizer=None,
        text_encoder_2=whole.text_encoder_2,
        tokenizer_2=whole.tokenizer_2,
        requires_aesthetics_score=True,
        force_zeros_for_empty_prompt=False,
    )


def build_control(kind: Kind) -> ControlNetModel:
    """A ControlNet for one of them. Its last layers are zero when training begins; here they say something."""
    torch.manual_seed({"sd9": 11, "sd4": 12, "xl9": 13, "lcm4": 14}[kind])
    net = ControlNetModel.from_unet(_unet(kind, 4), conditioning_embedding_out_channels=(8, 16, 16, 32))
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.startswith("controlnet_"):
                parameter.copy_(torch.randn_like(parameter) * 0.2)
    return net


def build_upscaler() -> StableDiffusionUpscalePipeline:
    """The ×4 upscaler: 4 channels of noise and 3 of the small picture, 4 pixels a latent."""
    torch.manual_seed(21)
    unet = UNet2DConditionModel(
        sample_size=16,
        in_channels=7,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(32, 64),
        norm_num_groups=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=32,
        attention_head_dim=4,
        num_class_embeds=1000,
    )
    vae = AutoencoderKL(
        block_out_channels=(16, 32, 32),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        latent_channels=4,
        norm_num_groups=8,
        layers_per_block=1,
        scaling_factor=0.08333,
    )
    _enliven(unet)
    _enliven(vae)
    return StableDiffusionUpscalePipeline(
        vae=vae,
        unet=unet,
        text_encoder=CLIPTextModel(_text(32)).eval(),
        tokenizer=tokenizer(),
        low_res_scheduler=DDPMScheduler(beta_schedule="scaled_linear", beta_start=0.0001, beta_end=0.02),
        scheduler=DDIMScheduler(prediction_type="v_prediction", steps_offset=1, clip_sample=False),
    )


def build_flux() -> FluxFillPipeline:
    """A model that the step engine does not know: a transformer on packed latents, with T5 beside CLIP."""
    torch.manual_seed(41)
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=16 + 16 + 256,  # the noise, the masked picture, the mask's pixels
        out_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        axes_dims_rope=(4, 4, 8),
        guidance_embeds=True,
    )
    vae = _vae(shift_factor=0.1, use_quant_conv=False, use_post_quant_conv=False)
    _enliven(transformer)
    return FluxFillPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=vae,
        transformer=transformer,
        text_encoder=CLIPTextModel(_text(32)).eval(),
        tokenizer=tokenizer(),
        text_encoder_2=_t5(),
        tokenizer_2=_t5_tokenizer(),
    )


def build_sd3() -> StableDiffusion3Pipeline:
    """Stable Diffusion 3, as it is published: not for inpainting. A transformer on 16 channels, three text encoders."""
    torch.manual_seed(42)
    transformer = SD3Transformer2DModel(
        sample_size=16,
        patch_size=1,
        in_channels=16,
        out_channels=16,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=32,
        caption_projection_dim=32,
        pooled_projection_dim=64,
        pos_embed_max_size=16,
    )
    _enliven(transformer)
    return StableDiffusion3Pipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=_vae(latent_channels=16, shift_factor=0.06, use_quant_conv=False, use_post_quant_conv=False),
        transformer=transformer,
        text_encoder=CLIPTextModelWithProjection(_text(32)).eval(),
        tokenizer=tokenizer(),
        text_encoder_2=CLIPTextModelWithProjection(_text(32)).eval(),
        tokenizer_2=tokenizer(),
        text_encoder_3=_t5(),
        tokenizer_3=_t5_tokenizer(),
    )


def build_kandinsky() -> KandinskyV22InpaintCombinedPipeline:
    """Kandinsky 2.2: a prior makes an image's embedding of the words, a UNet paints from it, a MoVQ decodes."""
    torch.manual_seed(43)
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=9,
        out_channels=8,  # mean and variance
        addition_embed_type="image",
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        block_out_channels=(32, 64),
        layers_per_block=1,
        encoder_hid_dim=32,
        encoder_hid_dim_type="image_proj",
        cross_attention_dim=32,
        attention_head_dim=4,
        resnet_time_scale_shift="scale_shift",
        norm_num_groups=8,
    )
    movq = VQModel(
        block_out_channels=(32, 32, 32, 32),
        down_block_types=("DownEncoderBlock2D",) * 3 + ("AttnDownEncoderBlock2D",),
        up_block_types=("AttnUpDecoderBlock2D",) + ("UpDecoderBlock2D",) * 3,
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=8,
        norm_type="spatial",
        num_vq_embeddings=12,
        vq_embed_dim=4,
    )
    prior = PriorTransformer(num_attention_heads=2, attention_head_dim=16, embedding_dim=32, num_layers=1)
    vision = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=37,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=32,
        patch_size=8,
        projection_dim=32,
    )
    for part in (unet, movq, prior):
        _enliven(part)
    prior.clip_std.data.fill_(1.0)  # a fresh one's answer is multiplied by nothing
    size = {"height": 32, "width": 32}
    return KandinskyV22InpaintCombinedPipeline(
        unet=unet,
        scheduler=DDPMScheduler(
            beta_schedule="linear", beta_start=0.00085, beta_end=0.012, variance_type="learned_range"
        ),
        movq=movq,
        prior_prior=prior,
        prior_image_encoder=CLIPVisionModelWithProjection(vision).eval(),
        prior_text_encoder=CLIPTextModelWithProjection(_text(32)).eval(),
        prior_tokenizer=tokenizer(),
        prior_scheduler=UnCLIPScheduler(variance_type="fixed_small_log", prediction_type="sample"),
        prior_image_processor=CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=size),
    )


def save_checker(folder: Path, limit: float) -> Path:
    """A safety checker that refuses a picture when CLIP's view of it is nearer than `limit` (cosine) to what it knows."""
    torch.manual_seed(31)
    vision = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = CLIPConfig(vision_config={**vision, "image_size": 32, "patch_size": 8}, projection_dim=16)
    checker = StableDiffusionSafetyChecker(config)
    with torch.no_grad():
        checker.concept_embeds.copy_(torch.randn(17, 16))
        checker.special_care_embeds.copy_(torch.randn(3, 16))
        checker.concept_embeds_weights.fill_(limit)
        checker.special_care_embeds_weights.fill_(2.0)
    checker.save_pretrained(folder / "safety_checker")
    size = {"height": 32, "width": 32}
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=size).save_pretrained(folder / "feature_extractor")
    return folder


def tokenizer() -> CLIPTokenizer:
    """Byte-level CLIP tokens without merges: every letter is a token, so prompts grow long quickly."""
    letters = sorted(ByteLevel.alphabet())
    names = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={name: i for i, name in enumerate(names)}, merges=[], model_max_length=WINDOW)


def _t5() -> T5EncoderModel:
    return T5EncoderModel(T5Config(vocab_size=64, d_model=32, d_kv=8, d_ff=37, num_layers=1, num_heads=4)).eval()


def _t5_tokenizer() -> T5TokenizerFast:
    """A letter a token, as far as they are small."""
    marks = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    letters = [(letter, -1.0) for letter in "▁abcdefghijklmnopqrstuvwxyz"]
    return T5TokenizerFast(vocab=[*marks, *letters], extra_ids=0, model_max_length=512)


def _vae(**more: Any) -> AutoencoderKL:
    vae = AutoencoderKL(
        block_out_channels=(16, 16, 32, 32),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        norm_num_groups=8,
        layers_per_block=1,
        **{"latent_channels": 4, **more},
    )
    _enliven(vae)
    return vae


def _unet(kind: Kind, channels: int = 0) -> UNet2DConditionModel:
    xl = kind == "xl9"
    extra: dict[str, Any] = {}
    if xl:
        extra = {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 6 * 8 + 48,
            "use_linear_projection": True,
            "transformer_layers_per_block": (1, 2),
        }
    if kind == "lcm4":
        extra = {"time_cond_proj_dim": 32}
    unet = UNet2DConditionModel(
        sample_size=SIZE // 8,
        in_channels=channels or (9 if kind in ("sd9", "xl9") else 4),
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(32, 64),
        norm_num_groups=8,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D")
        if xl
        else ("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D") if xl else ("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=32 + 48 if xl else 32,
        attention_head_dim=(2, 4) if xl else 4,
        **extra,
    )
    _enliven(unet)
    return unet


def _text(width: int) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=514,
        hidden_size=width,
        intermediate_size=37,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=WINDOW,
        projection_dim=width,
        bos_token_id=512,
        eos_token_id=513,
        pad_token_id=513,
    )


def _enliven(module: torch.nn.Module) -> None:
    """Fresh nets are nearly linear and answer nearly nothing; larger weights make every input matter."""
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim > 1:
                parameter.mul_(1.3)
            else:
                parameter.add_(torch.randn_like(parameter) * 0.05)


def read_index(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "model_index.json").read_text())
