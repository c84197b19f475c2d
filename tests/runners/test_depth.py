"""Sixteen bits a channel, from a file that has them to a file that keeps them."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import pyvips

from pergai.cards.structs import PipelineCard
from pergai.engine.core import Job, RemoveBgParams
from pergai.engine.delivery import deliver
from pergai.imaging.composite import foreground_deep
from pergai.imaging.decode import decode
from pergai.imaging.picture import Matte
from pergai.imaging.placement import Spot, place
from pergai.imaging.psd import read_psd
from pergai.runners.remove_bg import RemoveBg
from tests.runners.desk import BenchDesk

PIPELINE = PipelineCard(
    id="cut", title="", runner="remove-bg", tasks=("remove-bg",), models={"segment": "isnet", "engine": "mitsuba"}
)
Deep = npt.NDArray[np.uint16]


@pytest.fixture(scope="module")
def colours() -> Deep:
    """A gradient finer than 8 bits can tell."""
    values = np.linspace(20_000, 22_000, 80 * 60 * 3).reshape(80, 60, 3)
    return values.astype(np.uint16)


@pytest.fixture(scope="module")
def deep_cut_out(colours: Deep, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cut out already: a solid block with a half clear rim, 16 bits a channel."""
    alpha = np.zeros((80, 60, 1), np.uint16)
    alpha[8:72, 8:52], alpha[10:70, 10:50] = 30_000, 65_535
    image = pyvips.Image.new_from_array(np.dstack([colours, alpha])).copy(interpretation="rgb16")
    path = tmp_path_factory.mktemp("deep") / "block.png"
    image.pngsave(str(path), bitdepth=16)
    return path


def cut(source: Path, tmp_path: Path, format: Any = "png", **params: Any) -> Any:
    return decode(delivered(source, tmp_path, format, **params), keep_depth=True)


def delivered(source: Path, tmp_path: Path, format: Any, **params: Any) -> Path:
    job = Job(
        id="job",
        kind="remove-bg",
        library="test",
        pipeline=PIPELINE.id,
        provider="x",
        source=str(source),
        source_sha256="",
        params=asdict(RemoveBgParams(**params)),
        format=format,
        target=str(tmp_path / "result"),
    )
    outcome = asyncio.run(RemoveBg().run(job, BenchDesk(PIPELINE, {}, tmp_path)))
    result = deliver(job, outcome, pipeline=PIPELINE)
    assert result.fidelity is not None and result.fidelity.max_difference == 0
    return tmp_path / "result"


@pytest.mark.parametrize("format", ["png", "tiff"])
def test_a_cut_out_keeps_the_sources_sixteen_bits(
    deep_cut_out: Path, colours: Deep, tmp_path: Path, format: str
) -> None:
    stored = cut(deep_cut_out, tmp_path, format, bit_depth=16)
    assert np.array_equal(stored.deep[10:70, 10:50], colours[10:70, 10:50])
    assert stored.alpha is not None and (stored.alpha[:8] == 0).all()


def test_a_cut_outs_layers_keep_them_too(deep_cut_out: Path, colours: Deep, tmp_path: Path) -> None:
    path = delivered(deep_cut_out, tmp_path, "psd", bit_depth=16, background="#ff8000")
    (ground, product), merged = read_psd(path.read_bytes())
    assert (ground.pixels == np.array([65_535, 128 * 257, 0])).all()
    for pixels in (product.pixels, merged):
        assert np.array_equal(pixels[10:70, 10:50], colours[10:70, 10:50])


def test_on_a_colour_the_product_keeps_them_too(deep_cut_out: Path, colours: Deep, tmp_path: Path) -> None:
    stored = cut(deep_cut_out, tmp_path, bit_depth=16, background="#ff8000", crop=True, margin=0.1)
    pixels = stored.deep.reshape(-1, 3)
    wanted = {tuple(colour) for colour in colours[12:68, 12:48].reshape(-1, 3).tolist()}
    assert wanted <= {tuple(colour) for colour in pixels.tolist()}
    assert tuple(pixels[0]) == (65_535, 128 * 257, 0)


def test_eight_bits_are_what_is_asked_for_by_default(deep_cut_out: Path, tmp_path: Path) -> None:
    assert cut(deep_cut_out, tmp_path).deep is None


def test_a_product_that_is_moved_or_resampled_keeps_them(colours: Deep) -> None:
    alpha = np.full((80, 60), 255, np.uint8)
    matte = Matte(alpha, ((colours.astype(np.uint32) + 128) // 257).astype(np.uint8))
    deep = foreground_deep(colours, matte)
    moved = place(matte, 100, 100, Spot(height=0.8, width=1, x=0.5, y=0.5, anchor="center"), deep)
    assert moved is not None and moved.deep is not None
    assert moved.scale == 1.0
    assert np.array_equal(moved.deep[10:90, 20:80], colours)
    larger = place(matte, 100, 100, Spot(height=1.6, width=2, x=0.5, y=0.5, anchor="center"), deep)
    assert larger is not None and larger.deep is not None
    solid = larger.alpha == 255
    assert (larger.deep[solid] % 257 != 0).mean() > 0.8, "between the levels of 8 bits"
    assert np.array_equal(larger.foreground, ((larger.deep.astype(np.uint32) + 128) // 257).astype(np.uint8))
