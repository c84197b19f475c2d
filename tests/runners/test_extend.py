"""The extend runner on real photos with the real net: exact source, honest notes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pergai.cards.catalogue import load_catalogue
from pergai.engine.core import Job, Outcome
from pergai.imaging.picture import RGB
from pergai.runners import segment
from pergai.runners.registry import runner
from tests.runners.desk import BenchDesk, real_model


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> BenchDesk:
    card = load_catalogue().pipelines["extend"]
    return BenchDesk(card, {"isnet": real_model(segment.load, "u2netp")}, tmp_path_factory.mktemp("cache"))


def expand(desk: BenchDesk, source: Path, seed: int = 1, **params: Any) -> Outcome:
    job = Job(
        id="g", kind="expand", library="l", pipeline="extend", provider="p", source=str(source), source_sha256="",
        params=params, seed=seed,
    )  # fmt: skip
    return asyncio.run(runner(desk.pipeline.runner).run(job, desk))


def test_a_photo_goes_on_to_sixteen_by_nine_and_stays_exact(
    desk: BenchDesk, photos: dict[str, RGB], sample_photo: Path
) -> None:
    photo = np.asarray(Image.open(sample_photo).convert("RGB"))
    height, width = photo.shape[:2]
    out = expand(desk, sample_photo, width=width + 112, height=height)
    assert out.pixels.shape == (height, width + 112, 3)
    assert np.array_equal(out.pixels[:, 56 : 56 + width], photo)
    assert out.reference is not None
    assert out.reference.where.sum() == height * width
    assert np.array_equal(out.reference.pixels[out.reference.where], out.pixels[out.reference.where])
    assert out.details["placement"] == {"left": 56, "top": 0, "width": width, "height": height}
    assert out.model == "isnet"
    assert out.notes == ()


def test_a_prompt_is_never_silently_dropped(desk: BenchDesk, sample_photo: Path) -> None:
    with Image.open(sample_photo) as photo:
        width, height = photo.size
    out = expand(desk, sample_photo, width=width, height=height, prompt="a beach at sunset")
    assert "prompt_not_used" in out.notes


def test_a_source_larger_than_the_canvas_is_shrunk_once_and_said_so(desk: BenchDesk, sample_photo: Path) -> None:
    with Image.open(sample_photo) as opened:
        photo = opened.convert("RGB")
    side = photo.width // 2
    out = expand(desk, sample_photo, width=side, height=side)
    placed = out.details["placement"]
    expected = photo.resize((placed["width"], placed["height"]), Image.Resampling.LANCZOS)
    top, left = placed["top"], placed["left"]
    window = out.pixels[top : top + placed["height"], left : left + placed["width"]]
    assert placed["width"] == side
    assert np.array_equal(window, np.asarray(expected))
    assert "source_scaled" in out.notes


def test_a_cut_out_gets_more_transparency(desk: BenchDesk, tmp_path: Path, photos: dict[str, RGB]) -> None:
    pixels = photos["coffee"][50:250, 150:350]
    alpha = np.zeros((200, 200), np.uint8)
    alpha[40:160, 40:160] = 255
    Image.fromarray(np.dstack([pixels, alpha])).save(tmp_path / "cut.png")
    out = expand(desk, tmp_path / "cut.png", width=320, height=240)
    assert out.alpha is not None
    assert np.array_equal(out.alpha[20:220, 60:260], alpha)
    assert out.alpha.sum() == alpha.sum(dtype=int)
    assert np.array_equal(out.pixels[20:220, 60:260][alpha == 255], pixels[alpha == 255])
    assert "transparent_background_kept" in out.notes


def test_a_product_cut_off_by_the_border_is_noted_and_not_smeared(desk: BenchDesk, tmp_path: Path) -> None:
    y, x = np.mgrid[0:320, 0:320]
    picture = np.full((320, 320, 3), 226.0) + np.random.default_rng(1).normal(0, 1.5, (320, 320, 3))
    bottle = (np.abs(x - 160) < 55) & (y > 90)
    picture[bottle] = (190, 25, 30)
    picture[bottle & (np.abs(y - 200) < 30)] = (245, 225, 120)
    Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(tmp_path / "cropped.png")
    out = expand(desk, tmp_path / "cropped.png", width=320, height=480)
    assert "product_touches_border" in out.notes
    below = out.pixels[402:].astype(int)
    assert (below[..., 0] - below[..., 1] > 60).mean() < 0.002


def test_the_same_job_gives_the_same_picture(desk: BenchDesk, sample_photo: Path) -> None:
    with Image.open(sample_photo) as photo:
        size = {"width": photo.width, "height": photo.height + 40}
    first, again = (expand(desk, sample_photo, seed=7, **size) for _ in range(2))
    assert np.array_equal(first.pixels, again.pixels)


def test_every_side_is_a_step_of_its_own(desk: BenchDesk, sample_photo: Path) -> None:
    """Between two calls of the CPU pool a job can be cancelled, and its progress is seen."""
    desk.phases.clear()
    expand(desk, sample_photo, width=620, height=420)
    steps = [fraction for fraction, phase in desk.phases if phase == "extend"]
    assert steps == sorted(steps)
    assert len(set(steps)) == 5  # the start and four sides
