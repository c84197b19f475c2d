"""Delivery: the file a job leaves behind, and what its result says about it."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import get_args

import c2pa
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from PIL import Image
from psd_tools import PSDImage

from pergai.cards.structs import PipelineCard
from pergai.engine.core import ImageFormat, Job, Outcome, Reference
from pergai.engine.delivery import deliver
from pergai.errors import JobError, ProductAltered, TooLarge
from pergai.imaging.colour import to_8_bits, to_16_bits
from pergai.imaging.credentials import SIGNED_FORMATS, load_identity
from pergai.imaging.decode import decode, probe
from pergai.imaging.fidelity import LIMITS
from pergai.imaging.layers import Layer, flatten
from pergai.imaging.picture import RGB
from pergai.imaging.provenance import SOURCE_TYPES, read_provenance
from tests.identity import write_identity

PIPELINE = PipelineCard(title="Rendered sets", id="render", runner="render", tasks=("scene",))
FORMATS: tuple[ImageFormat, ...] = get_args(ImageFormat)
PHOTO_FORMATS = tuple(format for format in FORMATS if format != "psd")
"""Those that can be read as a source again."""


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(
        id="0193f0a0-0000-7000-8000-000000000001",
        kind="scene",
        library="shop",
        pipeline="render",
        provider="nano-banana",
        source="cup.png",
        source_sha256="ab" * 32,
        params={"scene": "marble", "prompt": "gold & <silver>", "negative_prompt": ""},
        seed=42,
        target=str(tmp_path / "result.tmp"),
    )


@pytest.fixture
def outcome(photos: dict[str, RGB]) -> Outcome:
    """A cup in a scene: the product is the middle of the picture."""
    pixels = photos["coffee"]
    where = np.zeros(pixels.shape[:2], bool)
    where[80:330, 160:450] = True
    scene = np.where(where[:, :, None], pixels, pixels // 2 + 100)
    reference = Reference(pixels=pixels, where=where)
    return Outcome(
        pixels=scene,
        reference=reference,
        model="u2netp",
        notes=("prompt_not_used",),
        words=("gold",),
        details={"view": "front"},
    )


@pytest.mark.parametrize("format", PHOTO_FORMATS)
def test_a_result_describes_the_file_that_is_there(job: Job, outcome: Outcome, format: ImageFormat) -> None:
    job = replace(job, format=format)
    result = deliver(job, outcome, pipeline=PIPELINE)
    content = Path(job.target).read_bytes()
    assert probe(content).format == format
    assert (result.job, result.error, result.width, result.height) == (job.id, "", 600, 400)
    assert result.bytes == len(content)
    assert result.sha256 == hashlib.sha256(content).hexdigest()
    assert (result.model, result.notes, result.words) == ("u2netp", ("prompt_not_used",), ("gold",))
    assert result.details == {"view": "front"}


@pytest.mark.parametrize("format", PHOTO_FORMATS)
def test_the_receipt_is_taken_from_the_stored_bytes(job: Job, outcome: Outcome, format: ImageFormat) -> None:
    job = replace(job, format=format)
    fidelity = deliver(job, outcome, pipeline=PIPELINE).fidelity
    assert fidelity is not None
    assert outcome.reference is not None
    where = outcome.reference.where
    stored = decode(Path(job.target)).pixels[where].astype(int)
    measured = np.abs(stored - outcome.reference.pixels[where])
    assert fidelity.max_difference == measured.max() <= LIMITS[format].max_difference
    assert fidelity.mean_difference == pytest.approx(measured.mean(), abs=1e-4)
    assert fidelity.checked_pixels == 250 * 290
    assert (fidelity.max_difference == 0) == (format in ("png", "webp", "tiff"))


@pytest.mark.parametrize("format", FORMATS)
def test_a_planted_alteration_fails_in_every_format_and_leaves_no_file(
    job: Job, outcome: Outcome, format: ImageFormat
) -> None:
    """One level in one pixel: far less than a lossy codec changes."""
    pixels = outcome.pixels.copy()
    pixels[200, 300, 1] ^= 1
    with pytest.raises(ProductAltered):
        deliver(replace(job, format=format), replace(outcome, pixels=pixels), pipeline=PIPELINE)
    assert not Path(job.target).exists()


def layers_of(outcome: Outcome) -> tuple[Layer, ...]:
    """The cup in its scene as layers: a lighter ground, what darkens it, what brightens it, the cup."""
    assert outcome.reference is not None
    cup = outcome.reference.where.astype(np.uint8) * 255
    light = np.full_like(outcome.pixels, 9)
    return (
        Layer("background", np.full_like(outcome.pixels, 240)),
        Layer("shadow", outcome.pixels // 2 + 100, blend="multiply"),
        Layer("bounce", light, blend="linear-dodge"),
        Layer("product", outcome.reference.pixels, cup),
    )


@pytest.fixture
def layered(outcome: Outcome) -> Outcome:
    layers = layers_of(outcome)
    return replace(outcome, layers=layers, pixels=flatten(layers)[0])


def test_a_psd_opens_everywhere_and_its_layers_add_up_to_the_picture(job: Job, layered: Outcome) -> None:
    result = deliver(replace(job, format="psd", params={**job.params, "dpi": 300}), layered, pipeline=PIPELINE)
    content = Path(job.target).read_bytes()
    document = PSDImage.open(io.BytesIO(content))
    assert [(layer.name, layer.blend_mode.name) for layer in document] == [
        ("background", "NORMAL"), ("shadow", "MULTIPLY"), ("bounce", "LINEAR_DODGE"), ("product", "NORMAL"),
    ]  # fmt: skip
    others = np.asarray(document.composite(force=True).convert("RGB")).astype(int)
    assert np.abs(others - layered.pixels).max() <= 1, "as another program blends them"
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(content))), layered.pixels), "as one without layers shows it"
    assert result.fidelity is not None
    assert (result.fidelity.max_difference, result.fidelity.checked_pixels) == (0, 250 * 290)
    assert read_provenance(content)["scene"] == "marble"


@pytest.fixture
def deep(layered: Outcome) -> Outcome:
    """The same with 16 bits, and colours between the levels of 8."""
    random = np.random.default_rng(4)
    layers = [replace(layer, pixels=to_16_bits(layer.pixels)) for layer in layered.layers]
    ground, *_, cup = layers
    ground.pixels[...] += 90
    cup.pixels[...] += random.integers(0, 100, cup.pixels.shape, np.uint16) * (cup.pixels < 65_000)
    assert layered.reference is not None
    pixels, _, wide = flatten(layers)
    reference = replace(layered.reference, pixels=to_8_bits(cup.pixels), deep=cup.pixels)
    return replace(layered, pixels=pixels, deep=wide, layers=tuple(layers), reference=reference)


def test_a_psd_of_sixteen_bits_has_them_in_every_layer_and_beside_them(job: Job, deep: Outcome) -> None:
    result = deliver(replace(job, format="psd"), deep, pipeline=PIPELINE)
    content = Path(job.target).read_bytes()
    document = PSDImage.open(io.BytesIO(content))
    assert document.depth == 16
    assert content.count(b"8BIMLr16") == 1, "where Photoshop looks for them"
    for layer, wanted in zip(document, deep.layers, strict=True):
        box = np.s_[layer.top : layer.bottom, layer.left : layer.right]
        assert np.array_equal(np.rint(layer.numpy()[..., :3] * 65_535), wanted.pixels[box])
    assert deep.deep is not None
    assert np.array_equal(np.rint(document.numpy() * 65_535), deep.deep)
    assert len(np.unique(deep.deep % 257)) > 50, "more than eight bits"
    assert result.fidelity is not None
    assert result.fidelity.max_difference == 0
    assert read_provenance(content)["scene"] == "marble"


def test_the_least_change_of_a_product_with_sixteen_bits_fails(job: Job, deep: Outcome) -> None:
    *others, cup = deep.layers
    altered = cup.pixels.copy()
    altered[200, 300, 1] ^= 1
    layers = (*others, replace(cup, pixels=altered))
    pixels, _, wide = flatten(layers)
    with pytest.raises(ProductAltered, match="16-bit"):
        deliver(replace(job, format="psd"), replace(deep, layers=layers, pixels=pixels, deep=wide), pipeline=PIPELINE)


def test_layers_that_add_up_to_another_picture_are_not_delivered(job: Job, layered: Outcome) -> None:
    brighter = replace(layered.layers[2], pixels=layered.layers[2].pixels + 2)
    wrong = replace(layered, layers=(*layered.layers[:2], brighter, layered.layers[3]))
    with pytest.raises(JobError, match="the layers add up to another picture"):
        deliver(replace(job, format="psd"), wrong, pipeline=PIPELINE)
    assert not Path(job.target).exists()


def test_a_product_altered_in_its_layer_only_fails_too(job: Job, layered: Outcome) -> None:
    pixels = layered.layers[3].pixels.copy()
    pixels[200, 300, 1] ^= 1
    wrong = replace(layered, layers=(*layered.layers[:3], replace(layered.layers[3], pixels=pixels)))
    with pytest.raises(ProductAltered):
        deliver(replace(job, format="psd"), wrong, pipeline=PIPELINE)


@pytest.mark.parametrize("format", ["png", "tiff"])
def test_sixteen_bits_are_stored_and_an_eight_bit_product_is_exact_in_them(
    job: Job, outcome: Outcome, format: ImageFormat
) -> None:
    assert outcome.reference is not None
    where = outcome.reference.where
    deep = outcome.pixels.astype(np.uint16) * 257
    deep[~where] += 100  # light between two levels of 8 bits
    wanted = replace(job, format=format, params={**job.params, "bit_depth": 16, "dpi": 300})
    result = deliver(wanted, replace(outcome, deep=deep), pipeline=PIPELINE)
    content = Path(job.target).read_bytes()
    assert probe(content).mode == "RGB;16"
    stored = decode(content, keep_depth=True)
    assert stored.deep is not None
    assert np.array_equal(stored.deep, deep)
    assert result.fidelity is not None
    assert result.fidelity.max_difference == 0
    assert read_provenance(content)["seed"] == "42"
    assert round(float(Image.open(io.BytesIO(content)).info["dpi"][0])) == 300


def test_an_alteration_below_a_level_of_eight_bits_fails(job: Job, outcome: Outcome) -> None:
    deep = outcome.pixels.astype(np.uint16) * 257
    deep[200, 300, 1] ^= 1
    with pytest.raises(ProductAltered, match="16-bit"):
        deliver(job, replace(outcome, deep=deep), pipeline=PIPELINE)


def test_an_alteration_outside_the_product_is_none(job: Job, outcome: Outcome) -> None:
    pixels = outcome.pixels.copy()
    pixels[5, 5] ^= 255
    fidelity = deliver(job, replace(outcome, pixels=pixels), pipeline=PIPELINE).fidelity
    assert fidelity is not None
    assert fidelity.max_difference == 0


def test_without_a_reference_there_is_no_receipt(job: Job, outcome: Outcome) -> None:
    assert deliver(job, replace(outcome, reference=None), pipeline=PIPELINE).fidelity is None


def test_the_file_says_how_it_was_made(job: Job, outcome: Outcome) -> None:
    deliver(job, outcome, pipeline=PIPELINE)
    assert read_provenance(Path(job.target).read_bytes()) == {
        "CreatorTool": read_provenance(Path(job.target).read_bytes())["CreatorTool"],
        "DigitalSourceType": SOURCE_TYPES["composite"],
        "generation": job.id,
        "kind": "scene",
        "provider": "nano-banana",
        "pipeline": "render",
        "model": "u2netp",
        "seed": "42",
        "scene": "marble",
        "prompt": "gold & <silver>",
        "source": "ab" * 32,
        "notes": "prompt_not_used",
    }


def test_the_same_job_and_outcome_give_the_same_file(job: Job, outcome: Outcome) -> None:
    first, second = (deliver(job, outcome, pipeline=PIPELINE).sha256 for _ in range(2))
    assert first == second


def test_a_cut_out_keeps_its_alpha_and_a_matte_its_single_channel(job: Job, outcome: Outcome) -> None:
    alpha = outcome.pixels[:, :, 0]
    deliver(job, replace(outcome, alpha=alpha), pipeline=PIPELINE)
    assert np.array_equal(decode(Path(job.target)).alpha, alpha)
    matte = Outcome(pixels=np.dstack([alpha] * 3), grey=True, ai_made="enhanced")
    deliver(job, matte, pipeline=PIPELINE)
    assert probe(Path(job.target)).mode == "L"


def test_a_file_keeps_within_its_limit_of_bytes_or_is_not_delivered(job: Job, outcome: Outcome) -> None:
    bytes = deliver(job, outcome, pipeline=PIPELINE).bytes
    enough = replace(job, params={**job.params, "max_bytes": bytes})
    assert deliver(enough, outcome, pipeline=PIPELINE).bytes == bytes
    Path(job.target).unlink()
    with pytest.raises(JobError, match=f"at most {bytes - 1:,} are allowed"):
        deliver(replace(job, params={**job.params, "max_bytes": bytes - 1}), outcome, pipeline=PIPELINE)
    assert not Path(job.target).exists()


def test_a_format_that_cannot_hold_the_size_says_so(job: Job) -> None:
    ribbon = Outcome(pixels=np.zeros((16, 16_400, 3), np.uint8))
    with pytest.raises(TooLarge, match="webp"):
        deliver(replace(job, format="webp"), ribbon, pipeline=PIPELINE)


@pytest.mark.parametrize("format", FORMATS)
def test_a_studio_with_a_certificate_signs_its_files(
    format: ImageFormat, job: Job, outcome: Outcome, tmp_path: Path, photos: dict[str, RGB]
) -> None:
    source = tmp_path / "cup.png"
    Image.fromarray(photos["coffee"]).save(source)
    identity = load_identity(*write_identity(tmp_path, ec.generate_private_key(ec.SECP256R1())))
    result = deliver(replace(job, format=format, source=str(source)), outcome, pipeline=PIPELINE, identity=identity)
    content = Path(job.target).read_bytes()
    assert result.sha256 == hashlib.sha256(content).hexdigest()
    assert result.bytes == len(content)
    if format not in SIGNED_FORMATS:
        return
    with c2pa.Reader(f"image/{format}", io.BytesIO(content)) as reader:
        assert json.loads(reader.json())["validation_state"] == "Valid"
