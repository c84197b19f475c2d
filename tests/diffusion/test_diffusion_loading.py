"""Weights from the disk: folders, shards, single checkpoints; and the sentence that says what is missing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import single_file
import tiny
from bench import apart, card, finish, request

from pergai.errors import CardError, ModelUnavailable
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


def test_a_single_checkpoint_is_loaded_with_the_configuration_of_its_family(weights: Path, expected) -> None:  # type: ignore[no-untyped-def]
    folder = weights / "studio-own"
    folder.mkdir()
    single_file.write(tiny.build("sd9"), folder / "own.safetensors")
    model = load(card("studio-own", file="own.safetensors", base="sd9"), folder, "cpu")
    assert apart(finish(model, request())[0].pixels, expected("sd9")) == 0


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
