"""Light: what keeps its noise small, and what takes the rest away without touching its colour."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pergai.runners.render import camera, geometry, lights, model
from pergai.runners.render.denoise import denoise
from pergai.runners.render.materials import surface
from pergai.runners.render.spec import Finish, Light
from tests.runners.desk import real_model

SIZE = 32
KEY = lights.lamp(Light(power=1.0, size=(1.0, 1.0)))
FEEBLE = tuple(lights.lamp(Light(power=0.01, azimuth=30.0 * k, size=(1.0, 1.0))) for k in range(5))


@pytest.fixture(scope="module")
def take(tmp_path_factory: pytest.TempPathFactory) -> model.Take:
    """Grey paper on the ground under one lamp."""
    return model.Take(
        view=camera.aim(SIZE, SIZE, (SIZE // 2, SIZE // 2), SIZE / 3, 40.0, 5.0),
        aperture=0.0,
        solids=((geometry.ground((-9, 9), (-9, 9)), surface(Finish(), tmp_path_factory.mktemp("cache"))),),
        emitters=(KEY,),
        samples=4,
        depth=3,
        seed=1,
    )


def noise(take: model.Take) -> float:
    """Of light before it is denoised: between pictures that differ in nothing else, against their level."""
    import mitsuba as mi

    renderer = real_model(model.load, "mitsuba")
    mi.set_variant(model.VARIANTS[renderer.variant])
    looks = np.stack([model._light(mi, replace(take, seed=seed)) for seed in range(4)])
    return float(looks.std(axis=0).mean() / looks.mean())


def test_feeble_lamps_cost_no_noise(take: model.Take) -> None:
    """A path asks one lamp. Where all six are asked as often, five paths of six come back with next to nothing."""
    assert noise(replace(take, emitters=(KEY, *FEEBLE))) < 0.15


@pytest.mark.parametrize("tint", [(0.58, 0.52, 0.44), (0.02, 0.02, 0.03)], ids=["plaster", "dark"])
def test_denoised_light_keeps_its_colour(tint: tuple[float, float, float]) -> None:
    random = np.random.default_rng(1)
    noisy = np.float32(tint) * random.gamma(4.0, 0.25, (96, 96, 1)).astype(np.float32)
    clean = denoise(noisy, np.full_like(noisy, 0.7))
    assert np.allclose(clean.mean(axis=(0, 1)), noisy.mean(axis=(0, 1)), rtol=0.003)
    assert (clean.std(axis=(0, 1)) < 0.05 * noisy.std(axis=(0, 1))).all()


def test_a_window_of_a_picture_shows_what_the_picture_shows_there(take: model.Take) -> None:
    window = take.view.cropped(6, 9, 20, 12)
    y, x = np.mgrid[0:12, 0:20]
    assert np.allclose(window.rays(x, y), take.view.rays(x + 6, y + 9))
