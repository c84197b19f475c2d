"""What upscaling must do, with the genuine nets on real photos."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from desk import BenchDesk
from PIL import Image
from safetensors.torch import load_file
from scipy import ndimage

from pergai.cards.catalogue import load_catalogue
from pergai.cards.structs import PipelineCard, WeightFile
from pergai.cards.weights import pull
from pergai.engine.core import Job, Model, Outcome
from pergai.errors import Cancelled, CardError, JobError, ModelUnavailable
from pergai.imaging.picture import RGB
from pergai.runners.upscale.model import load
from pergai.runners.upscale.runner import Upscale

SMALL, PHOTO, DRAWING = "realesr-animevideov3", "realesrgan-x4plus", "realesrgan-x4plus-anime"


@pytest.fixture(scope="module")
def net(weights_folder: Path) -> Callable[[str], Model]:
    """The genuine net of a model card, pulled when it is not there yet."""
    loaded: dict[str, Model] = {}

    def get(id: str) -> Model:
        if id not in loaded:
            card = load_catalogue().models[id]
            loaded[id] = load(card, pull(card, weights_folder), "cpu")
        return loaded[id]

    return get


@pytest.fixture
def upscale(net: Callable[[str], Model], tmp_path: Path) -> Callable[..., Outcome]:
    """Run the runner on pixels as the engine would: RGB or RGBA in, an Outcome out."""

    def run(pixels: Any, scale: int = 2, pipeline: str = "upscale-fast", **kept: Any) -> Outcome:
        Image.fromarray(pixels).save(tmp_path / "source.png")
        desk = kept.get("desk") or bench(net, tmp_path, pipeline, **kept.get("options", {}))
        return asyncio.run(Upscale().run(job(tmp_path / "source.png", scale, **kept.get("params", {})), desk))

    return run


def bench(net: Callable[[str], Model], cache: Path, pipeline: str = "upscale-fast", **options: Any) -> BenchDesk:
    card = load_catalogue().pipelines[pipeline]
    card = msgspec.structs.replace(card, options={**card.options, **options})
    return BenchDesk(card, {id: net(id) for id in card.models.values()}, cache)


def job(source: Path, scale: int, **params: Any) -> Job:
    return Job(
        id="0",
        kind="upscale",
        library="l",
        pipeline="upscale-fast",
        provider="nano-banana",
        source=str(source),
        source_sha256="",
        params={"scale": scale, **params},
    )


def psnr(one: RGB, other: RGB) -> float:
    error = float(((one.astype(np.float64) - other) ** 2).mean())
    return float("inf") if error == 0 else 10 * np.log10(255**2 / error)


def enlarged(pixels: RGB, scale: int) -> RGB:
    size = (pixels.shape[1] * scale, pixels.shape[0] * scale)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


def plain_gradient() -> RGB:
    """A studio backdrop: where seams show most."""
    rows, columns = np.mgrid[:120, :200].astype(np.float32)
    light = 235 - 0.25 * rows - 0.1 * columns
    return np.rint(np.dstack([light, light - 4, light - 10])).astype(np.uint8)


# --- the nets ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("id", [SMALL, PHOTO, DRAWING])
def test_a_converted_net_enlarges_a_photo_by_four(net: Callable[[str], Model], photos: dict[str, RGB], id: str) -> None:
    tile = photos["astronaut"][100:148, 200:264]
    (out,) = net(id).run([tile])
    assert out.shape == (192, 256, 3)
    assert psnr(out, enlarged(tile, 4)) > 24  # the same picture …
    assert _sharpness(out) > 1.15 * _sharpness(enlarged(tile, 4))  # … but sharper: the weights are in their places


def _sharpness(pixels: RGB) -> float:
    return float(np.abs(ndimage.laplace(pixels.astype(np.float32).mean(axis=2))).mean())


def test_float_tiles_and_byte_tiles_give_the_same(net: Callable[[str], Model], photos: dict[str, RGB]) -> None:
    tile = photos["coffee"][100:140, 100:140]
    byte, floating = net(SMALL).run([tile, tile.astype(np.float32) / 255])
    np.testing.assert_array_equal(byte, floating)


def test_an_upstream_release_loads_into_the_same_net(
    net: Callable[[str], Model], weights_folder: Path, tmp_path: Path, photos: dict[str, RGB]
) -> None:
    tensors = load_file(weights_folder / SMALL / "model.safetensors")
    card = msgspec.structs.replace(load_catalogue().models[SMALL], files=(WeightFile(name="release.pth"),))
    tile = photos["coffee"][100:140, 100:140]
    for wrapped in ({"params": tensors}, {"params": {}, "params_ema": tensors}, tensors):
        torch.save(wrapped, tmp_path / "release.pth")
        np.testing.assert_array_equal(load(card, tmp_path, "cpu").run([tile])[0], net(SMALL).run([tile])[0])


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("code in a weights file ran",))


def test_code_in_a_release_never_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = msgspec.structs.replace(load_catalogue().models[SMALL], files=(WeightFile(name="release.pth"),))
    torch.save({"params": Bomb()}, tmp_path / "release.pth")
    with pytest.raises(ModelUnavailable, match=r"release\.pth cannot be loaded"):
        load(card, tmp_path, "cpu")
    assert "ran" not in capsys.readouterr().out


def test_weights_that_do_not_fit_are_refused(weights_folder: Path, tmp_path: Path) -> None:
    cards = load_catalogue().models
    with pytest.raises(ModelUnavailable, match="pergai models pull"):
        load(cards[SMALL], tmp_path, "cpu")
    with pytest.raises(ModelUnavailable, match="cannot be loaded"):
        load(cards[PHOTO], weights_folder / SMALL, "cpu")
    (tmp_path / "model.safetensors").write_bytes((weights_folder / SMALL / "model.safetensors").read_bytes()[:-10])
    with pytest.raises(ModelUnavailable, match="cannot be loaded"):
        load(cards[SMALL], tmp_path, "cpu")
    with pytest.raises(CardError, match="SwinIR"):
        load(msgspec.structs.replace(cards[SMALL], options={"architecture": "SwinIR"}), tmp_path, "cpu")


# --- size, seams, colour ---------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize("shape", [(37, 53), (1, 1), (3, 90)], ids=str)
def test_any_size_comes_back_exactly_scaled(
    upscale: Callable[..., Outcome], photos: dict[str, RGB], scale: int, shape: tuple[int, int]
) -> None:
    out = upscale(photos["coffee"][150 : 150 + shape[0], 250 : 250 + shape[1]], scale)
    assert out.pixels.shape == (shape[0] * scale, shape[1] * scale, 3)
    assert out.alpha is None
    assert out.model == SMALL
    assert out.ai_made == "enhanced"


@pytest.mark.parametrize("subject", ["coffee", "motorcycle", "gradient"])
@pytest.mark.parametrize("scale", [2, 4])
def test_tiles_leave_no_seam(upscale: Callable[..., Outcome], photos: dict[str, RGB], subject: str, scale: int) -> None:
    pixels = plain_gradient() if subject == "gradient" else photos[subject][180:300, 330:530]
    tiled = upscale(pixels, scale, options={"tile": 96})
    whole = upscale(pixels, scale, options={"tile": 1000})
    assert tiled.details["tiles"] == 6
    assert whole.details["tiles"] == 1
    assert psnr(tiled.pixels, whole.pixels) > 50
    # A seam is a step that runs on: far below one level, once single pixels are averaged out.
    difference = tiled.pixels.astype(np.float32) - whole.pixels
    if subject == "gradient":
        assert np.abs(ndimage.gaussian_filter(difference, (3, 3, 0))).max() < 0.3


@pytest.mark.slow
@pytest.mark.parametrize("subject", ["motorcycle", "gradient"])
def test_the_deep_net_leaves_no_seam_either(
    upscale: Callable[..., Outcome], photos: dict[str, RGB], subject: str
) -> None:
    pixels = plain_gradient() if subject == "gradient" else photos["motorcycle"][160:320, 320:580]
    tiled = upscale(pixels, 2, "upscale-illustration")
    whole = upscale(pixels, 2, "upscale-illustration", options={"tile": 1000})
    assert tiled.details["tiles"] > 1
    assert psnr(tiled.pixels, whole.pixels) > 50


@pytest.mark.parametrize("scale", [1, 2])
def test_colour_does_not_drift(upscale: Callable[..., Outcome], photos: dict[str, RGB], scale: int) -> None:
    source = photos["chelsea"][:160, 100:300]
    out = upscale(source, scale).pixels.astype(np.float32)
    small = out.reshape(160, scale, 200, scale, 3).mean(axis=(1, 3))
    assert np.abs(small.mean(axis=(0, 1)) - source.mean(axis=(0, 1))).max() < 0.1
    blurred = [ndimage.gaussian_filter(planes, (8, 8, 0)) for planes in (small, source.astype(np.float32))]
    assert np.abs(blurred[0] - blurred[1]).max() < 1.0


def test_a_blurred_photo_comes_back_sharper_at_the_same_size(
    upscale: Callable[..., Outcome], photos: dict[str, RGB]
) -> None:
    source = np.rint(ndimage.gaussian_filter(photos["motorcycle"][180:300, 330:490].astype(float), (1, 1, 0)))
    source = source.astype(np.uint8)
    assert _sharpness(upscale(source, 1).pixels) > 1.2 * _sharpness(source)


def test_lettering_survives(upscale: Callable[..., Outcome], photos: dict[str, RGB]) -> None:
    """The tank's name plate: what is light stays light and what is dark stays dark, letter by letter."""
    plate = photos["motorcycle"][195:215, 400:450]
    out = upscale(plate, 2).pixels.mean(axis=2)
    back = out.reshape(20, 2, 50, 2).mean(axis=(1, 3)).ravel()
    assert np.corrcoef(back, plate.mean(axis=2).ravel())[0, 1] > 0.97


def test_the_same_job_gives_the_same_pixels(upscale: Callable[..., Outcome], photos: dict[str, RGB]) -> None:
    source = photos["rocket"][100:160, 200:280]
    np.testing.assert_array_equal(upscale(source).pixels, upscale(source).pixels)


# --- alpha -----------------------------------------------------------------------------------------------


def cut_disc(soft: float) -> Any:
    """A red disc, (120, 120, 4), on clear pixels that hide a vivid green."""
    rows, columns = np.mgrid[:120, :120].astype(np.float32)
    inside = np.clip((40 - np.hypot(rows - 59.5, columns - 59.5)) / soft + 0.5, 0, 1)
    disc = np.zeros((120, 120, 4), np.uint8)
    disc[..., 1] = 255
    disc[inside > 0, :3] = (190, 40, 30)
    disc[..., 3] = np.rint(inside * 255)
    return disc


@pytest.mark.parametrize("soft", [1.0, 24.0], ids=["crisp", "soft"])
def test_a_cut_out_is_enlarged_without_a_halo(upscale: Callable[..., Outcome], soft: float) -> None:
    disc = cut_disc(soft)
    out = upscale(disc, 2)
    assert out.alpha is not None
    assert out.alpha.shape == (240, 240)
    on_white = out.pixels * (out.alpha[..., None] / 255.0) + 255 * (1 - out.alpha[..., None] / 255.0)
    assert (on_white[..., 1] - on_white[..., 0]).max() < 4  # no green left anywhere
    assert out.alpha[:4].max() == 0
    assert out.alpha[118:122, 118:122].min() == 255
    expected = np.asarray(Image.fromarray(cut_disc(soft)[..., 3]).resize((240, 240), Image.Resampling.BICUBIC))
    assert np.abs(out.alpha.astype(int) - expected).mean() < 1.5


def test_a_net_sharpens_the_edge_of_a_solid_thing_but_never_a_soft_one(upscale: Callable[..., Outcome]) -> None:
    crisp, soft = upscale(cut_disc(1.0), 2), upscale(cut_disc(24.0), 2)
    assert crisp.details["tiles"] == 2 * soft.details["tiles"]
    assert soft.alpha is not None
    assert np.abs(np.diff(soft.alpha[120].astype(int))).max() <= 8


def test_a_wholly_clear_picture_stays_clear(upscale: Callable[..., Outcome]) -> None:
    out = upscale(np.zeros((30, 30, 4), np.uint8), 4)
    assert out.alpha is not None
    assert out.alpha.max() == 0


# --- the job ---------------------------------------------------------------------------------------------


def test_the_size_the_client_states_is_taken_first(upscale: Callable[..., Outcome], photos: dict[str, RGB]) -> None:
    source = photos["coffee"][100:180, 100:220]
    for use_sharp in (True, False):
        out = upscale(source, 2, params={"width": 60, "height": 40, "use_sharp": use_sharp})
        assert out.pixels.shape == (80, 120, 3)


def test_a_result_beyond_the_limit_is_refused_before_any_work(
    upscale: Callable[..., Outcome], net: Callable[[str], Model], tmp_path: Path
) -> None:
    desk = bench(net, tmp_path)
    desk.pipeline = msgspec.structs.replace(desk.pipeline, max_megapixels=0.01)
    with pytest.raises(JobError, match=r"240×240 = 0\.1 megapixels; upscale-fast makes at most 0\.01"):
        upscale(cut_disc(1.0), 2, desk=desk)
    assert desk.runs == []


def test_large_sources_take_the_faster_net_and_the_record_says_so(
    upscale: Callable[..., Outcome], photos: dict[str, RGB]
) -> None:
    source = photos["coffee"][100:150, 100:150]
    out = upscale(source, 2, "upscale-fine", options={"large_megapixels": 0.001})
    assert out.model == SMALL
    assert "faster_model_for_large_source" in out.notes
    assert upscale(source[:20, :20], 2, "upscale-fine").model == PHOTO


def test_progress_moves_with_the_tiles(net: Callable[[str], Model], tmp_path: Path, photos: dict[str, RGB]) -> None:
    Image.fromarray(photos["coffee"][:100, :200]).save(tmp_path / "source.png")
    desk = bench(net, tmp_path, tile=80)
    out = asyncio.run(Upscale().run(job(tmp_path / "source.png", 2), desk))
    fractions = [fraction for fraction, _ in desk.phases]
    assert len(desk.runs) == out.details["tiles"] > 4
    assert len(fractions) > out.details["tiles"]
    assert fractions == sorted(fractions)
    assert fractions[-1] <= 1


class CancellingDesk(BenchDesk):
    """Cancels the job at its third tile, as the engine does: between two calls."""

    async def device(self, model: str, payload: Any, *, shape: Hashable = None) -> Any:
        await asyncio.sleep(0)
        if len(self.runs) == 2:
            raise Cancelled("cancelled")
        return await super().device(model, payload, shape=shape)


def test_a_job_can_be_cancelled_between_tiles(
    net: Callable[[str], Model], tmp_path: Path, photos: dict[str, RGB]
) -> None:
    Image.fromarray(photos["coffee"][:200, :300]).save(tmp_path / "source.png")
    card: PipelineCard = bench(net, tmp_path, tile=80).pipeline
    desk = CancellingDesk(card, {SMALL: net(SMALL)}, tmp_path)
    with pytest.raises(Cancelled):
        asyncio.run(Upscale().run(job(tmp_path / "source.png", 2), desk))
    assert len(desk.runs) == 2
