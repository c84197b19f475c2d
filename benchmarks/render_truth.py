"""What a picture of a rendered set would be without any noise, in windows of it: 2,048 undenoised paths a pixel, in two halves
that know nothing of each other, so that what they disagree about tells how much noise is left in them.

What is true is kept under the cache by what decides about it, so that another way to the same picture is judged in seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pergai.runners.render import catalogue, model
from pergai.runners.render.trace import ROULETTE_FROM, brought
from pergai.runners.render.translate import lit, sensor
from pergai.runners.render.variants import VARIANTS

SAMPLES = 2048
"""Half of them, which are traced in one pass, has to be a square, or the sampler takes more."""
VERSION = 7
"""Raised when a texture or a shape changes and no Take tells: what was true is so no more."""
FIRST_SEED, SEED_STEP = 900_000_000, 1_000_003
SIDE = 48
"""Pixels of a window's side."""


@dataclass(frozen=True, slots=True)
class Window:
    """A square of the picture, `SIDE` pixels wide."""

    left: int
    top: int

    def pixels(self, rim: int = 0) -> tuple[slice, slice]:
        return np.s_[self.top + rim : self.top + SIDE - rim, self.left + rim : self.left + SIDE - rim]


def tiles(height: int, width: int) -> list[Window]:
    """All of the picture, but less than a tile at its right and lower border."""
    return [Window(left, top) for top in range(0, height - SIDE + 1, SIDE) for left in range(0, width - SIDE + 1, SIDE)]


def true_lights(
    engine: model.Renderer,
    take: model.Take,
    light: model.Light,
    where: Iterable[Window],
    cache: Path,
    samples: int = SAMPLES,
) -> list[model.Light]:
    """A picture's light with what is true in the windows, so that it is developed like the picture: by all paths, by one half of
    them, and by the other."""
    kept = {window: _path(take, window, cache, samples) for window in where}
    if missing := [window for window, path in kept.items() if not path.exists()]:
        for window, true in zip(missing, _traced(engine, take, missing, samples // 2), strict=True):
            kept[window].parent.mkdir(parents=True, exist_ok=True)
            part = kept[window].with_suffix(".part.npy")
            np.save(part, true)
            part.replace(kept[window])
    colours = [light.colour.copy() for _ in range(3)]
    for window, path in kept.items():
        first, second = np.load(path)
        for colour, true in zip(colours, ((first + second) / 2, first, second), strict=True):
            colour[window.pixels()] = true
    return [replace(light, colour=colour) for colour in colours]


def _path(take: model.Take, window: Window, cache: Path, samples: int) -> Path:
    import mitsuba as mi

    take = replace(take, view=take.view.cropped(window.left, window.top, SIDE, SIDE), samples=0, unseen=None)
    key = catalogue.fingerprint(mi.__version__, VERSION, samples, take)
    return cache / "references" / f"{key}.npy"


def _traced(engine: model.Renderer, take: model.Take, windows: list[Window], half: int) -> Iterator[np.ndarray]:
    """Linear light (2, SIDE, SIDE, 3) of each, by twice `half` paths a pixel. One kernel for all windows of all pictures: to
    compile one for each would take longer than the paths do."""
    import mitsuba as mi

    mi.set_variant(VARIANTS[engine.variant])
    scene = lit(mi, take.view, take.aperture, take.solids, take.emitters, {})
    path = mi.load_dict({"type": "path", "max_depth": take.depth, "rr_depth": ROULETTE_FROM})
    if engine.variant == "scalar":
        yield from (_rendered(mi, scene, path, take, window, half) for window in windows)
        return
    import drjit as dr

    camera, size = mi.load_dict(sensor(mi, take.view, take.aperture)), mi.Vector2f(take.view.width, take.view.height)
    sampler = camera.sampler().clone()
    sampler.set_sample_count(half)
    sampler.set_samples_per_wavefront(half)
    for window in windows:
        y, x = (place.ravel().repeat(half).astype(np.float32) for place in _places(window))
        corner, halves = mi.Point2f(mi.Float(x), mi.Float(y)), []
        for number in range(2):
            sampler.seed(FIRST_SEED + number * SEED_STEP, len(x))
            at = (corner + sampler.next_2d()) / size
            lens = sampler.next_2d() if camera.needs_aperture_sample() else mi.Point2f(0.5)
            ray, weight = camera.sample_ray_differential(0.0, 0.0, at, lens)
            found = weight * brought(path, scene, sampler, ray)
            dr.eval(found)
            means = [np.asarray(plane).reshape(-1, half).mean(axis=-1) for plane in found]
            halves.append(np.stack(means, axis=-1).reshape(SIDE, SIDE, 3))
        yield np.array(halves, np.float32)


def _places(window: Window) -> np.ndarray:
    """Row and column of each pixel, (2, SIDE, SIDE)."""
    return np.mgrid[window.top : window.top + SIDE, window.left : window.left + SIDE]


def _rendered(mi: Any, scene: Any, path: Any, take: model.Take, window: Window, half: int) -> np.ndarray:
    camera = mi.load_dict(sensor(mi, take.view.cropped(window.left, window.top, SIDE, SIDE), take.aperture))
    seeds = (FIRST_SEED + number * SEED_STEP for number in range(2))
    halves = [np.array(mi.render(scene, sensor=camera, integrator=path, spp=half, seed=seed)) for seed in seeds]
    return np.array(halves, np.float32)[..., :3]
