"""The remove-bg runner on real photos with the real net, and the cache its mattes come from."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image, ImageDraw

from pergai.cards.catalogue import load_catalogue
from pergai.cards.structs import ModelCard
from pergai.engine.core import Job, Model, Outcome
from pergai.errors import CardError, ModelUnavailable, NoProductFound, UnreadableImage
from pergai.imaging.decode import decode
from pergai.imaging.picture import Matte, Picture
from pergai.runners import segment
from pergai.runners.cutout import cut_out
from pergai.runners.remove_bg import RemoveBg
from pergai.runners.render import model as render
from tests.runners.desk import WEIGHTS, BenchDesk, real_model

SHOTS = Path(__file__).parent / "shots" / "held_out"


@pytest.fixture(scope="module")
def net() -> Model:
    return real_model(segment.load, "isnet")


@pytest.fixture(scope="module")
def shared(net: Model, tmp_path_factory: pytest.TempPathFactory) -> BenchDesk:
    """One desk for all tests that only look at results, so that the photo is cut out once."""
    return BenchDesk(load_catalogue().pipelines["cutout"], {"isnet": net}, tmp_path_factory.mktemp("cache"))


@pytest.fixture
def desk(net: Model, tmp_path: Path) -> BenchDesk:
    return BenchDesk(load_catalogue().pipelines["cutout"], {"isnet": net}, tmp_path / "cache")


def job(source: Path, **params: Any) -> Job:
    return Job(
        id="g1", kind="remove-bg", library="l", pipeline="cutout", provider="p", source=str(source), source_sha256="",
        params=params,
    )  # fmt: skip


def remove(desk: BenchDesk, source: Path, **params: Any) -> Outcome:
    return asyncio.run(RemoveBg().run(job(source, **params), desk))


def cut(desk: BenchDesk, source: Path) -> Matte:
    return asyncio.run(cut_out(job(source), desk, Picture(pixels_of(source)), "isnet"))


def pixels_of(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


@pytest.fixture
def small(tmp_path: Path, sample_photo: Path) -> Path:
    path = tmp_path / "small.png"
    Image.open(sample_photo).convert("RGB").resize((150, 100)).save(path)
    return path


# --- the tool ----------------------------------------------------------------------------------------


def test_a_product_comes_out_on_nothing_at_the_sources_size(shared: BenchDesk, sample_photo: Path) -> None:
    out = remove(shared, sample_photo)
    photo = pixels_of(sample_photo)
    assert out.pixels.shape == photo.shape
    assert out.alpha is not None
    assert out.alpha[0].max() == 0
    assert out.alpha[photo.shape[0] // 2, photo.shape[1] // 2] == 255
    assert out.model == "isnet"
    assert out.ai_made == "enhanced"


def test_the_product_keeps_its_own_pixels_inside_the_eroded_matte(shared: BenchDesk, sample_photo: Path) -> None:
    out = remove(shared, sample_photo)
    assert out.reference is not None
    where = out.reference.where
    assert where.mean() > 0.2
    assert np.array_equal(out.pixels[where], pixels_of(sample_photo)[where])
    assert np.array_equal(out.reference.pixels[where], pixels_of(sample_photo)[where])


def test_a_background_colour_fills_what_was_cleared(shared: BenchDesk, sample_photo: Path) -> None:
    clear, filled = remove(shared, sample_photo), remove(shared, sample_photo, background="#10a0F0")
    assert clear.alpha is not None
    assert filled.alpha is None
    assert (filled.pixels[clear.alpha == 0] == (0x10, 0xA0, 0xF0)).all()
    assert np.array_equal(filled.pixels[clear.alpha == 255], clear.pixels[clear.alpha == 255])


def test_a_crop_leaves_the_products_bounding_box(shared: BenchDesk, sample_photo: Path) -> None:
    whole, cropped = remove(shared, sample_photo), remove(shared, sample_photo, crop=True)
    assert whole.alpha is not None
    assert cropped.alpha is not None
    for edge in (cropped.alpha[0], cropped.alpha[-1], cropped.alpha[:, 0], cropped.alpha[:, -1]):
        assert edge.any()
    assert cropped.alpha.astype(int).sum() == whole.alpha.astype(int).sum()


def test_a_margin_adds_a_share_of_the_longer_side_even_beyond_the_photo(shared: BenchDesk, sample_photo: Path) -> None:
    tight, loose = remove(shared, sample_photo, crop=True), remove(shared, sample_photo, crop=True, margin=0.5)
    assert tight.alpha is not None
    assert loose.alpha is not None
    space = round(0.5 * max(tight.alpha.shape))
    assert loose.alpha.shape == (tight.alpha.shape[0] + 2 * space, tight.alpha.shape[1] + 2 * space)
    assert np.array_equal(loose.alpha[space:-space, space:-space], tight.alpha)
    assert loose.alpha[:space].max() == 0


def test_mask_only_answers_the_matte_itself(shared: BenchDesk, sample_photo: Path) -> None:
    out, mask = remove(shared, sample_photo), remove(shared, sample_photo, mask_only=True)
    assert mask.grey
    assert mask.alpha is None
    assert mask.reference is None
    assert out.alpha is not None
    assert np.array_equal(mask.pixels, np.dstack([out.alpha] * 3))


def test_a_photo_of_nothing_is_refused(shared: BenchDesk, tmp_path: Path) -> None:
    path = tmp_path / "nothing.png"
    Image.new("RGB", (300, 200), (230, 230, 228)).save(path)
    with pytest.raises(NoProductFound):
        remove(shared, path)


def test_a_file_that_is_no_image_is_refused(shared: BenchDesk, tmp_path: Path) -> None:
    path = tmp_path / "text.png"
    path.write_text("not an image")
    with pytest.raises(UnreadableImage):
        remove(shared, path)


# --- its shadow ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stage(net: Model, tmp_path_factory: pytest.TempPathFactory) -> BenchDesk:
    """A desk with the renderer."""
    catalogue = load_catalogue()
    models = {"isnet": net, "mitsuba": real_model(render.load, "mitsuba")}
    return BenchDesk(catalogue.pipelines["cutout"], models, tmp_path_factory.mktemp("cache"), catalogue.scenes)


@pytest.fixture(scope="module")
def can(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A can that is cut out already, in the middle of its picture."""
    big = Image.new("RGBA", (1280, 960))
    draw = ImageDraw.Draw(big)
    draw.rectangle([480, 240, 800, 720], fill=(30, 120, 200, 255))
    draw.ellipse([480, 690, 800, 750], fill=(30, 120, 200, 255))
    path = tmp_path_factory.mktemp("products") / "can.png"
    big.resize((320, 240), Image.Resampling.LANCZOS).save(path)
    return path


def test_a_shadow_lies_in_the_alpha_and_the_product_stays(stage: BenchDesk, can: Path) -> None:
    bare, out = remove(stage, can), remove(stage, can, shadow="soft")
    assert bare.alpha is not None
    assert out.alpha is not None
    assert out.pixels.shape == bare.pixels.shape
    solid, beside = bare.alpha == 255, (bare.alpha == 0) & (out.alpha > 0)
    assert np.array_equal(out.pixels[solid], bare.pixels[solid])
    assert (out.alpha[solid] == 255).all()
    assert (out.pixels[beside] == 0).all(), "a shadow is black, and only its alpha says how dark"
    shadow = np.where(beside, out.alpha, 0)
    rows = np.flatnonzero((shadow > 0).any(axis=1))
    assert rows.min() > 120, "it lies at the foot of the can, which stands from 60 to 187"
    assert shadow.max() > 25
    assert 165 < np.unravel_index(shadow.argmax(), shadow.shape)[0] < 195, "it is darkest where the can stands"
    edge = np.concatenate([out.alpha[0], out.alpha[-1], out.alpha[:, 0], out.alpha[:, -1]])
    assert edge.max() == 0
    assert out.model == "isnet+mitsuba"
    assert out.ai_made == "composite"
    assert out.reference is not None
    assert np.array_equal(out.pixels[out.reference.where], out.reference.pixels[out.reference.where])


def test_a_hard_shadow_is_another_one_and_none_is_none(stage: BenchDesk, can: Path) -> None:
    soft, hard = remove(stage, can, shadow="soft"), remove(stage, can, shadow="hard")
    bare, none = remove(stage, can), remove(stage, can, shadow="none")
    assert not np.array_equal(soft.alpha, hard.alpha)
    assert np.array_equal(bare.alpha, none.alpha)
    assert none.model == "isnet"


def test_the_same_seed_casts_the_same_shadow(stage: BenchDesk, can: Path) -> None:
    first, again = remove(stage, can, shadow="soft"), remove(stage, can, shadow="soft")
    assert np.array_equal(first.alpha, again.alpha)


def test_a_shadow_darkens_a_background(stage: BenchDesk, can: Path) -> None:
    clear, filled = remove(stage, can, shadow="soft"), remove(stage, can, shadow="soft", background="#ffffff")
    assert clear.alpha is not None
    assert filled.alpha is None
    shadow = (clear.pixels == 0).all(axis=-1) & (clear.alpha > 0)
    assert np.array_equal(filled.pixels[shadow][:, 0], 255 - clear.alpha[shadow])


def test_a_crop_keeps_the_shadow_that_can_be_seen(stage: BenchDesk, can: Path) -> None:
    bare, cropped = remove(stage, can, crop=True), remove(stage, can, crop=True, shadow="soft")
    assert bare.alpha is not None
    assert cropped.alpha is not None
    assert cropped.alpha.shape[1] > bare.alpha.shape[1]
    for edge in (cropped.alpha[0], cropped.alpha[-1], cropped.alpha[:, 0], cropped.alpha[:, -1]):
        assert edge.max() >= 5


# --- the cache ---------------------------------------------------------------------------------------


def test_a_source_is_cut_out_once(desk: BenchDesk, small: Path) -> None:
    first = cut(desk, small)
    looks = len(desk.runs)
    second = cut(desk, small)
    assert len(desk.runs) == looks > 0
    assert np.array_equal(first.alpha, second.alpha)
    assert np.array_equal(first.foreground, second.foreground)


@pytest.mark.parametrize(
    ("shot", "doubted"),
    [("parcel-white", True), ("cup-white", True), ("carafe-white", False), ("trainer-asphalt", False)],
)
def test_a_cut_out_that_somebody_ought_to_look_at_is_noted_each_time(desk: BenchDesk, shot: str, doubted: bool) -> None:
    """The pale side of a white box on white and the saucer of a cup, of which the net is not sure."""
    source = SHOTS / f"{shot}.jpg"
    first = remove(desk, source)
    looks = len(desk.runs)
    kept = remove(desk, source)
    assert len(desk.runs) == looks > 0
    assert ("cut_out_doubtful" in first.notes, "cut_out_doubtful" in kept.notes) == (doubted, doubted)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "emptied"])
def test_a_damaged_matte_is_made_again(desk: BenchDesk, small: Path, damage: str) -> None:
    first = cut(desk, small)
    (path,) = (desk.cache / "mattes").iterdir()
    whole = path.read_bytes()
    broken = {
        "truncated": whole[: len(whole) // 2],
        "flipped": whole[:500] + bytes([whole[500] ^ 1]) + whole[501:],
        "emptied": b"",
    }[damage]
    path.write_bytes(broken)
    looks = len(desk.runs)
    again = cut(desk, small)
    assert len(desk.runs) == 2 * looks
    assert np.array_equal(first.alpha, again.alpha)
    assert path.read_bytes() == whole


def test_another_picture_gets_another_matte(desk: BenchDesk, small: Path, tmp_path: Path) -> None:
    mirrored = tmp_path / "mirrored.png"
    Image.fromarray(pixels_of(small)[:, ::-1]).save(mirrored)
    cut(desk, small)
    looks = len(desk.runs)
    cut(desk, mirrored)
    assert len(desk.runs) > looks
    assert len(list((desk.cache / "mattes").iterdir())) == 2


def test_a_cut_out_needs_no_net(desk: BenchDesk, shared: BenchDesk, sample_photo: Path, tmp_path: Path) -> None:
    made = remove(shared, sample_photo)
    assert made.alpha is not None
    path = tmp_path / "cutout.png"
    Image.fromarray(np.dstack([made.pixels, made.alpha])).save(path)
    again = remove(desk, path)
    assert desk.runs == []
    assert again.alpha is not None
    assert np.array_equal(again.alpha, made.alpha)


# --- the loader --------------------------------------------------------------------------------------


def test_a_missing_file_is_named_and_nothing_is_fetched(tmp_path: Path) -> None:
    card = load_catalogue().models["u2netp"]
    with pytest.raises(ModelUnavailable, match=r"u2netp\.onnx is missing"):
        segment.load(card, tmp_path, "cpu")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_net_is_refused(tmp_path: Path) -> None:
    (tmp_path / "u2netp.onnx").write_bytes(b"not a net")
    with pytest.raises(ModelUnavailable, match="cannot be read"):
        segment.load(load_catalogue().models["u2netp"], tmp_path, "cpu")


def test_remote_sessions_cannot_be_named() -> None:
    card = load_catalogue().models["u2netp"]
    remote = ModelCard(
        id="u2netp", title=card.title, family=card.family, licence=card.licence, source=card.source, files=card.files,
        memory_mib=1, options={**card.options, "session": "withoutbg-cloud"},
    )  # fmt: skip
    with pytest.raises(ModelUnavailable, match="not a local session"):
        segment.load(remote, WEIGHTS / "u2netp", "cpu")


def batched(**more: object) -> ModelCard:
    card = load_catalogue().models["u2netp"]
    return msgspec.structs.replace(card, options={**card.options, "max_batch": 3, **more})


def test_a_file_with_a_batch_of_one_cannot_be_asked_for_more() -> None:
    with pytest.raises(CardError, match=r"u2netp\.onnx takes one picture at a time"):
        segment.load(batched(), WEIGHTS / "u2netp", "cpu")


def test_an_export_whose_first_axis_is_free_takes_several_pictures_at_once(sample_photo: Path, tmp_path: Path) -> None:
    """u2netp itself, its stated batch of one made one that is not stated (ONNX's TensorShapeProto)."""
    one, unstated = b"\x12\x12\n\x02\x08\x01", b"\x12\x12\n\x02\x1a\x00"
    (tmp_path / "u2netp.onnx").write_bytes((WEIGHTS / "u2netp" / "u2netp.onnx").read_bytes().replace(one, unstated))
    free, net = segment.load(batched(), tmp_path, "cpu"), real_model(segment.load, "u2netp")
    photo = decode(sample_photo).pixels
    pictures = [photo, photo[:, ::-1].copy(), 255 - photo[:200]]
    assert free.max_batch == 3
    for look, picture in zip(free.run(pictures), pictures, strict=True):
        assert look.mask.shape == picture.shape[:2]
        assert np.abs(look.mask - net.run([picture])[0].mask).max() < 1e-3


def test_every_segmentation_card_names_a_local_session_and_how_to_verify_it() -> None:
    cards = [card for card in load_catalogue().models.values() if card.family == "rembg"]
    assert {card.options["session"] for card in cards} == segment.LOCAL_SESSIONS
    for card in cards:
        assert card.files[0].sha256 or card.files[0].md5
        assert card.licence


def test_a_mask_has_the_size_of_its_payload_and_stays_within_bounds(net: Model, sample_photo: Path) -> None:
    photo = pixels_of(sample_photo)[:, :333]
    mask = net.run([photo])[0].mask
    assert mask.shape == photo.shape[:2]
    assert mask.dtype == np.float32
    assert mask.min() >= 0.0
    assert mask.max() <= 1.0
