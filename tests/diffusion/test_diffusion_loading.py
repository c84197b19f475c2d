"""Weights from the disk: folders, shards, single checkpoints; and the sentence that says what is missing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import single_file
import tiny
from bench import MASK, PHOTO, apart, card, device, finish, request, work
from diffusers import EDMEulerScheduler
from safetensors.torch import load_file, save_file

from pergai.errors import CardError, JobError, ModelUnavailable
from pergai.runners.diffusion.control import Control
from pergai.runners.diffusion.generic import GenericModel
from pergai.runners.diffusion.model import StepModel, load

Fresh = Callable[..., StepModel]


@pytest.fixture(scope="module")
def expected(models: dict[str, StepModel]) -> Callable[[str], object]:
    return lambda kind: finish(models[kind], request())[0].pixels


@pytest.mark.parametrize("kind", ["sd9", "xl9"])
def test_weights_in_shards_give_the_same_picture(tmp_path: Path, expected, kind: str) -> None:  # type: ignore[no-untyped-def]
    folder = tiny.save(kind, tmp_path / "sharded", max_shard_size="200KB")  # type: ignore[arg-type]
    assert len(list((folder / "unet").glob("*.safetensors"))) > 2
    assert apart(finish(load(card("sharded"), folder, "cpu"), request())[0].pixels, expected(kind)) == 0


@pytest.fixture(scope="module")
def checkpoints(weights: Path) -> Path:
    """A folder of single files beside the tiny models."""
    folder = weights / "studio-own"
    folder.mkdir()
    for kind in ("sd9", "sd4", "xl9"):
        single_file.write(tiny.build(kind), folder / f"{kind}.safetensors")  # type: ignore[arg-type]
    return folder


@pytest.mark.parametrize(("kind", "base"), [("sd9", "sd9"), ("xl9", "xl9"), ("sd4", "sd9"), ("sd9", "sd4")])
def test_a_single_checkpoint_is_loaded_with_the_configuration_of_its_family_and_its_own_channels(
    checkpoints: Path, expected, kind: str, base: str
) -> None:  # type: ignore[no-untyped-def]
    model = load(card("studio-own", file=f"{kind}.safetensors", base=base), checkpoints, "cpu")
    assert apart(finish(model, request())[0].pixels, expected(kind)) == 0


@pytest.mark.parametrize(("kind", "base"), [("sd9", "xl9"), ("xl9", "sd9")])
def test_a_checkpoint_of_another_family_than_its_base_is_asked_about(checkpoints: Path, kind: str, base: str) -> None:
    with pytest.raises(ModelUnavailable, match=r"studio-own cannot be loaded .*of the family of options\.base\?"):
        load(card("studio-own", file=f"{kind}.safetensors", base=base), checkpoints, "cpu")


@pytest.mark.parametrize(
    ("lost", "says"),
    [
        ("first_stage_model.", "Failed to load AutoencoderKL"),
        ("cond_stage_model.", "Failed to load CLIPTextModel"),
        ("model.diffusion_model.", "Failed to load UNet2DConditionModel"),
        ("cond_stage_model.transformer.text_model.final", "some of its weights are missing"),
        ("model.diffusion_model.out.2.", "some of its weights are missing"),
    ],
)
def test_what_a_checkpoint_lacks_is_named(checkpoints: Path, lost: str, says: str) -> None:
    tensors = load_file(checkpoints / "sd9.safetensors")
    holed = {name: tensor for name, tensor in tensors.items() if not name.startswith(lost)}
    save_file(holed, checkpoints / "holed.safetensors")
    with pytest.raises(ModelUnavailable, match=says):
        load(card("studio-own", file="holed.safetensors", base="sd9"), checkpoints, "cpu")


def test_a_variant_of_the_files_is_chosen_by_the_card(tmp_path: Path, expected) -> None:  # type: ignore[no-untyped-def]
    folder = tiny.save("sd9", tmp_path / "half", variant="fp16")
    assert apart(finish(load(card("half", variant="fp16"), folder, "cpu"), request())[0].pixels, expected("sd9")) == 0
    with pytest.raises(ModelUnavailable, match="cannot be loaded"):
        load(card("half"), folder, "cpu")


def test_weights_that_are_not_there_are_never_looked_for_on_the_network(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="pergai models pull nothing"):
        load(card("nothing"), tmp_path / "nothing", "cpu")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelUnavailable, match=r"model_index\.json"):
        load(card("empty"), tmp_path / "empty", "cpu")
    folder = tiny.save("sd9", tmp_path / "torn")
    shutil.rmtree(folder / "vae")
    with pytest.raises(ModelUnavailable, match="torn cannot be loaded"):
        load(card("torn"), folder, "cpu")


def test_a_torn_file_is_named_as_a_fault_of_the_weights(tmp_path: Path) -> None:
    folder = tiny.save("sd9", tmp_path / "torn")
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(ModelUnavailable, match="torn cannot be loaded"):
        load(card("torn"), folder, "cpu")


def test_pickled_weights_are_not_read(tmp_path: Path) -> None:
    folder = tmp_path / "pickled"
    tiny.build("sd9").save_pretrained(folder, safe_serialization=False)
    with pytest.raises(ModelUnavailable, match="cannot be loaded"):
        load(card("pickled"), folder, "cpu")
    (folder / "own.ckpt").write_bytes(b"")
    with pytest.raises(CardError, match="safetensors"):
        load(card("pickled", file="own.ckpt"), folder, "cpu")


@pytest.mark.parametrize("change", [{"unet": ["own_code", "OwnUNet"]}, {"_class_name": ["own_pipeline", "Own"]}])
def test_code_that_comes_with_weights_is_not_run(weights: Path, tmp_path: Path, change: dict[str, object]) -> None:
    folder = tmp_path / "own"
    shutil.copytree(weights / "sd9", folder)
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | change))
    with pytest.raises(ModelUnavailable, match="its own code"):
        load(card("own"), folder, "cpu")


def test_a_single_checkpoint_without_its_family_says_what_to_pull(weights: Path, tmp_path: Path) -> None:
    folder = tmp_path / "lonely"
    folder.mkdir()
    (folder / "own.safetensors").write_bytes(b"x")
    with pytest.raises(ModelUnavailable, match="pergai models pull sd15-inpainting"):
        load(card("lonely", file="own.safetensors", base="sd15-inpainting"), folder, "cpu")


def test_an_unknown_number_format_is_an_error_of_the_card(weights: Path) -> None:
    with pytest.raises(CardError, match="float16, bfloat16, float32"):
        load(card("sd9", dtype="fp8"), weights / "sd9", "cpu")


def test_any_inpainting_pipeline_runs_whole(models: dict[str, StepModel]) -> None:
    seen: list[float] = []
    generic = GenericModel(models["sd9"]._pipeline)
    own = models["sd9"]._pipeline.scheduler
    asked = request(steps=3, report=seen.append)
    picture = finish(generic, asked)[0]
    assert apart(picture.pixels, finish(models["sd9"], request(steps=3))[0].pixels) <= 1
    assert seen == [pytest.approx(share) for share in (1 / 3, 2 / 3, 1)]
    assert models["sd9"]._pipeline.scheduler is own


@pytest.fixture(scope="module")
def flux(tmp_path_factory: pytest.TempPathFactory) -> GenericModel:
    folder = tmp_path_factory.mktemp("flux")
    tiny.build_flux().save_pretrained(folder)
    model = load(card("flux"), folder, "cpu")
    assert isinstance(model, GenericModel)
    return model


def test_a_pipeline_that_paints_what_is_masked_is_taken_as_it_is(flux: GenericModel) -> None:
    """FluxFillPipeline is none of those that AutoPipelineForInpainting knows."""
    one, other = (finish(flux, request(steps=2, seed=seed))[0] for seed in (1, 2))
    assert one.notes == ("negative_prompt_not_used",)
    assert one.pixels.std() > 5
    assert apart(one.pixels, other.pixels) > 10


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> dict[str, GenericModel]:
    made = {}
    for name, build in {"sd3": tiny.build_sd3, "kandinsky": tiny.build_kandinsky}.items():
        folder = tmp_path_factory.mktemp(name)
        build().save_pretrained(folder)
        model = load(card(name), folder, "cpu")
        assert isinstance(model, GenericModel)
        made[name] = model
    return made


@pytest.mark.parametrize(
    ("name", "kind", "notes"),
    [
        ("sd3", "StableDiffusion3InpaintPipeline", ()),
        ("kandinsky", "KandinskyV22InpaintCombinedPipeline", ("strength_not_used",)),
    ],
)
def test_whatever_diffusers_has_an_inpainting_pipeline_for_is_run_by_it(
    others: dict[str, GenericModel], name: str, kind: str, notes: tuple[str, ...]
) -> None:
    """Words, seed and mask count; and nothing is kept from one picture to the next."""
    model, seen = others[name], list[float]()
    assert type(model._pipeline).__name__ == kind
    one, seed, words, mask, again = (
        finish(model, request(steps=2, report=seen.append, **change))[0]
        for change in ({}, {"seed": 8}, {"prompt": "a hill"}, {"mask": np.ascontiguousarray(MASK.T)}, {})
    )
    assert one.notes == notes
    assert one.pixels.shape == PHOTO.shape
    assert all(apart(one.pixels, other.pixels) > 10 for other in (seed, words, mask))
    assert apart(one.pixels, again.pixels) == 0
    assert seen == [0.5, 1.0] * 5
    assert finish(model, request(steps=1, prompt="red cup " * 200))[0].notes == (*notes, "prompt_cut")


def test_nobody_waits_for_a_prior_either(others: dict[str, GenericModel]) -> None:
    steps: list[None] = []
    handle = others["kandinsky"]._pipeline.prior_prior.register_forward_hook(lambda *_: steps.append(None))
    with pytest.raises(JobError, match="nobody waits"):
        others["kandinsky"].run([request(wanted=lambda: False)])
    handle.remove()
    assert len(steps) == 1


def test_a_folder_that_holds_a_part_of_a_pipeline_says_what_else_belongs_there(tmp_path: Path) -> None:
    """The hub has Kandinsky's decoder and its prior in two repositories."""
    tiny.build_kandinsky().decoder_pipe.save_pretrained(tmp_path / "decoder")
    with pytest.raises(ModelUnavailable, match=r"CombinedPipeline is made of .*prior_tokenizer, too, .* same folder"):
        load(card("decoder"), tmp_path / "decoder", "cpu")


def test_a_prompt_that_every_encoder_cuts_is_noted_where_the_pipeline_runs_whole(
    flux: GenericModel, models: dict[str, StepModel]
) -> None:
    long = "red cup " * 20
    assert "prompt_cut" not in finish(flux, request(steps=1, prompt=long))[0].notes  # T5 reads 512 tokens
    assert "prompt_cut" in finish(flux, request(steps=1, prompt=long * 5))[0].notes
    generic = GenericModel(models["sd9"]._pipeline)
    assert finish(generic, request(steps=1))[0].notes == ()
    assert finish(generic, request(steps=1, prompt=long))[0].notes == ("prompt_cut",)


@pytest.mark.parametrize(
    "changes",
    [{"loras": (("style", 1.0),)}, {"control": Control(net="depth", hint=PHOTO)}, {"deep_cache": 2}, {"gate": 0.5}],
)
def test_what_only_the_step_engine_has_is_refused_and_not_left_out(flux: GenericModel, changes: dict[str, Any]) -> None:
    with pytest.raises(JobError, match="takes no LoRA, ControlNet"):
        flux.run([request(**changes)])


def test_a_picture_that_nobody_waits_for_is_not_painted_to_its_end(models: dict[str, StepModel]) -> None:
    steps: list[float] = []
    asked = request(steps=150, report=steps.append, wanted=lambda: len(steps) < 2)
    with device(GenericModel(models["sd9"]._pipeline)) as (loop, _):
        assert isinstance(loop.submit(work(asked)).exception(60), JobError)
        assert loop.submit(work(request(steps=2))).result(60).pixels.std() > 5
    assert len(steps) == 2


def test_a_model_trained_on_another_kind_of_schedule_keeps_its_own(tmp_path: Path) -> None:
    """Those of the table work on the noise schedule of Stable Diffusion."""
    pipeline = tiny.build("sd9")
    pipeline.scheduler = EDMEulerScheduler()
    pipeline.save_pretrained(tmp_path / "edm")
    model = load(card("edm"), tmp_path / "edm", "cpu")
    assert isinstance(model, GenericModel)
    assert finish(model, request(steps=2))[0].pixels.std() > 5
