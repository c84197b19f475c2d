"""LoRAs: each request's own, one model for all of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from bench import apart, card, device, finish, request, stock, together, work
from safetensors.torch import save_file

from pergai.errors import CardError, ModelUnavailable
from pergai.runners import registry
from pergai.runners.diffusion.lora import Lora
from pergai.runners.diffusion.model import StepModel
from pergai.runners.diffusion.request import Request

Fresh = Callable[..., StepModel]
LAYOUTS = ("peft", "diffusers", "older", "kohya")


def trained(layout: str, seed: int = 9) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """A LoRA of the tiny model's attention, as a file holds it, and what it adds to each layer of the UNet by itself."""
    torch.manual_seed(seed)
    tensors: dict[str, torch.Tensor] = {}
    changes: dict[str, torch.Tensor] = {}
    for name, layer in tiny.build("sd9").unet.named_modules():
        if not name.endswith(("to_q", "to_v")):
            continue
        down, up = torch.randn(4, layer.in_features), torch.randn(layer.out_features, 4)
        changes[name] = up @ down * (2 / 4 if layout == "kohya" else 1)
        flat = f"lora_unet_{name.replace('.', '_')}"
        tensors |= {
            "peft": {f"unet.{name}.lora_A.weight": down, f"unet.{name}.lora_B.weight": up},
            "diffusers": {f"unet.{name}.lora.down.weight": down, f"unet.{name}.lora.up.weight": up},
            "older": {
                f"unet.{name.replace('.to_', '.processor.to_')}_lora.down.weight": down,
                f"unet.{name.replace('.to_', '.processor.to_')}_lora.up.weight": up,
            },
            "kohya": {
                f"{flat}.lora_down.weight": down,
                f"{flat}.lora_up.weight": up,
                f"{flat}.alpha": torch.tensor(2.0),
            },
        }[layout]
    return tensors, changes


def put(tensors: dict[str, torch.Tensor], folder: Path) -> Lora:
    """A LoRA saved and loaded as a card's weights are."""
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / "own.safetensors")
    lora = registry.load_model(card(folder.name, family="lora", file="own.safetensors"), folder, "cpu")
    assert isinstance(lora, Lora)
    return lora


def by_hand(*added: tuple[dict[str, torch.Tensor], float]) -> StepModel:
    """The tiny model with changes made to its weights by hand."""
    pipeline = tiny.build("sd9")
    with torch.no_grad():
        for changes, scale in added:
            for name, change in changes.items():
                pipeline.unet.get_submodule(name).weight.add_(change * scale)
    pipeline.set_progress_bar_config(disable=True)
    return StepModel(pipeline, dtype=torch.float32, max_batch=1, rows=[], single=False)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_request_wears_its_lora_at_its_scale(fresh: Fresh, tmp_path: Path, layout: str) -> None:
    tensors, changes = trained(layout)
    lora = put(tensors, tmp_path / "style")
    picture = finish(fresh("sd9"), request(loras=(("style", 0.5),)), style=lora)[0].pixels
    assert apart(picture, finish(by_hand((changes, 0.5)), request())[0].pixels) <= 1
    assert apart(picture, finish(fresh("sd9"), request())[0].pixels) > 1


def test_the_original_names_of_sdxl_are_understood(fresh: Fresh, tmp_path: Path) -> None:
    """As kohya's trainers save them: the UNet's by the original code's names, the text encoders' by their own."""
    torch.manual_seed(5)
    blocks, query = "down_blocks.0.attentions.0.transformer_blocks.0", "encoder.layers.0.self_attn.q_proj"
    layers = {
        "lora_unet_input_blocks_1_1_transformer_blocks_0_attn1_to_q": ("unet", f"{blocks}.attn1.to_q"),
        "lora_unet_input_blocks_1_1_transformer_blocks_0_attn2_to_out_0": ("unet", f"{blocks}.attn2.to_out.0"),
        "lora_unet_middle_block_1_proj_in": ("unet", "mid_block.attentions.0.proj_in"),
        "lora_te1_text_model_encoder_layers_0_self_attn_q_proj": ("text_encoder", query),
        "lora_te2_text_model_encoder_layers_0_self_attn_q_proj": ("text_encoder_2", query),
    }
    model, plain, tensors, changes = fresh("xl9"), tiny.build("xl9"), {}, {}
    for flat, (part, path) in layers.items():
        (name,) = (name for name, _ in getattr(plain, part).named_modules() if name.endswith(path))
        layer = getattr(plain, part).get_submodule(name)
        down, up = torch.randn(2, layer.in_features), torch.randn(layer.out_features, 2)
        tensors |= {f"{flat}.lora_down.weight": down, f"{flat}.lora_up.weight": up, f"{flat}.alpha": torch.tensor(1.0)}
        changes[part, f"{name}.weight"] = 0.5 * (up @ down) * (1 / 2)
    lora = put(tensors, tmp_path / "style")
    finish(model, request(steps=1, loras=(("style", 0.5),)), style=lora)
    for part in ("unet", "text_encoder", "text_encoder_2"):
        for name, own in getattr(plain, part).named_parameters():
            worn = getattr(model._pipeline, part).get_parameter(name)
            assert torch.allclose(worn, own + changes.pop((part, name), 0.0), atol=1e-5), (part, name)
    assert not changes


def test_two_loras_are_worn_together(fresh: Fresh, tmp_path: Path) -> None:
    (one, adds), (two, more) = trained("peft", 1), trained("kohya", 2)
    loras = {"one": put(one, tmp_path / "one"), "two": put(two, tmp_path / "two")}
    picture = finish(fresh("sd9"), request(loras=(("one", 0.4), ("two", 0.3))), **loras)[0].pixels
    assert apart(picture, finish(by_hand((adds, 0.4), (more, 0.3)), request())[0].pixels) <= 1


def test_taken_off_again_the_model_is_itself_to_the_last_bit(fresh: Fresh, tmp_path: Path) -> None:
    model, lora = fresh("sd9"), put(trained("peft")[0], tmp_path / "style")
    before = {name: weight.clone() for name, weight in model._pipeline.unet.state_dict().items()}
    expected = finish(model, request())[0].pixels
    finish(model, request(loras=(("style", 0.7),)), style=lora)
    assert apart(finish(model, request())[0].pixels, expected) == 0
    assert all(torch.equal(weight, before[name]) for name, weight in model._pipeline.unet.state_dict().items())


def test_requests_of_different_loras_go_on_side_by_side_and_never_share_a_step(fresh: Fresh, tmp_path: Path) -> None:
    model, lora = fresh("sd9"), put(trained("peft")[0], tmp_path / "style")
    outfits = [(), (("style", 0.5),), (), (("style", 0.2),)]

    def several() -> list[Request]:
        return [request(loras=outfit, seed=seed) for seed, outfit in enumerate(outfits)]

    expected = [finish(model, one, style=lora)[0].pixels for one in several()]
    waiting = [work(one, job=str(index), library=str(index)) for index, one in enumerate(several())]
    pictures, diary = together(model, waiting, style=lora)
    assert all(apart(a, b) <= 1 for a, b in zip(pictures, expected, strict=True))
    assert max(diary.batches) == 2  # the two without any


def test_requests_that_take_turns_get_the_pictures_that_diffusers_makes_with_their_lora_alone(
    fresh: Fresh, tmp_path: Path
) -> None:
    (one, adds), (two, more) = trained("peft", 1), trained("kohya", 2)
    loras = {"one": put(one, tmp_path / "one"), "two": put(two, tmp_path / "two")}
    judges = {(): by_hand(), (("one", 0.4),): by_hand((adds, 0.4)), (("two", 0.3),): by_hand((more, 0.3))}
    asked = [request(loras=outfit, seed=seed, steps=6) for seed in (1, 2, 3) for outfit in judges]
    with device(fresh("sd9"), **loras) as (loop, _):
        futures = [loop.submit(work(each, job=str(index))) for index, each in enumerate(asked)]
        pictures = [future.result(120).pixels for future in futures]
    for each, picture in zip(asked, pictures, strict=True):
        assert apart(picture, stock(judges[each.loras], each)) <= 1


def test_a_lora_of_the_words_changes_them_and_nobody_elses(fresh: Fresh, tmp_path: Path) -> None:
    model = fresh("sd9")
    name = next(name for name, _ in model._pipeline.text_encoder.named_modules() if name.endswith("q_proj"))
    flat = f"lora_te_text_model_{name.removeprefix('text_model.').replace('.', '_')}"
    lora = put(
        {f"{flat}.lora_down.weight": torch.randn(2, 32), f"{flat}.lora_up.weight": torch.randn(32, 2)},
        tmp_path / "words",
    )
    expected = finish(model, request())[0].pixels
    changed = finish(model, request(loras=(("words", 1.0),)), words=lora)[0].pixels
    assert apart(changed, expected) > 0
    assert apart(finish(model, request())[0].pixels, expected) == 0


def test_a_lora_of_another_family_fails_its_request_and_leaves_the_model_as_it_was(
    fresh: Fresh, tmp_path: Path
) -> None:
    model = fresh("sd9")
    strange = put(
        {"lora_unet_input_blocks_4_1_proj_in.lora_down.weight": torch.ones(4, 4)}
        | {"lora_unet_input_blocks_4_1_proj_in.lora_up.weight": torch.ones(4, 4)},
        tmp_path / "strange",
    )
    with pytest.raises(ModelUnavailable, match="strange is not a LoRA for this model"):
        finish(model, request(loras=(("strange", 1.0),)), strange=strange)
    assert apart(finish(model, request())[0].pixels, finish(fresh("sd9"), request())[0].pixels) == 0


def test_a_lora_for_which_there_is_no_memory_is_not_called_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 40.00 MiB")

    put(trained("peft")[0], tmp_path / "style")
    monkeypatch.setattr("pergai.runners.diffusion.lora.load_file", full)
    with pytest.raises(MemoryError):
        registry.load_model(card("style", family="lora", file="own.safetensors"), tmp_path / "style", "cpu")


def test_a_file_that_is_no_lora_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="not a LoRA for this model: whatever"):
        put({"whatever": torch.ones(1)}, tmp_path / "none")
    with pytest.raises(ModelUnavailable, match="pergai models pull gone"):
        registry.load_model(card("gone", family="lora"), tmp_path / "gone", "cpu")
    with pytest.raises(CardError, match="safetensors"):
        registry.load_model(card("none", family="lora", file="own.ckpt"), tmp_path / "none", "cpu")
