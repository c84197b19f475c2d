"""Rendered sets by variant of the renderer: seconds of a picture as a pipeline delivers it, from the plan to the developed
picture, and how far the variants' pictures lie apart outside the product.

    python -m benchmarks.render [--pipeline render-fast] [--size 1024] [--scenes studio,marble] [--variants llvm,scalar]

Writes benchmarks/results/, one file a pipeline and size. How near the pictures come to the truth is
`benchmarks.render_quality`'s.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import msgspec
import numpy as np

from benchmarks import results_file
from pergai.cards.catalogue import load_catalogue
from pergai.cards.structs import PipelineCard
from pergai.engine.client import LARGE_PAGES
from pergai.engine.core import SceneParams
from pergai.errors import ModelUnavailable
from pergai.imaging.picture import Matte, Picture
from pergai.runners.render import model, shoot
from pergai.runners.render.spec import check
from pergai.runners.render.subject import Photo, stood
from tests.runners.desk import WEIGHTS

SCENES = "studio,nature,luxury,marble,wood,white,podium,pastel,dark,sunlight,flatlay,festive"


def product() -> tuple[Picture, Matte]:
    """A grey drum seen from a little above."""
    y, x = np.mgrid[0:600, 0:400]
    foot = 480 + 20 * np.sqrt(np.clip(1 - ((x - 200) / 120) ** 2, 0, 1))
    alpha = ((np.abs(x - 200) < 120) & (y > 100) & (y < foot)).astype(np.uint8) * 255
    shade = 90 + 120 * np.sqrt(np.clip(1 - ((x - 170) / 160) ** 2, 0, 1))
    pixels = np.repeat(shade[..., None], 3, axis=2).astype(np.uint8)
    return Picture(pixels), Matte(alpha, pixels)


def spent() -> float:
    """Processor seconds of this process so far: unlike the clock, not disturbed by neighbours."""
    times = os.times()
    return times.user + times.system


def psnr(a: np.ndarray, b: np.ndarray, where: np.ndarray) -> float:
    return decibels(float(np.mean((a[where].astype(float) - b[where].astype(float)) ** 2)))


def decibels(mean_square: float) -> float:
    """PSNR of 8-bit values."""
    return round(10 * float(np.log10(255**2 / max(mean_square, 1e-9))), 2)


def measure(
    scene: str, engine: model.Renderer, card: PipelineCard, size: int, cache: Path
) -> tuple[dict[str, float], shoot.Plan, np.ndarray]:
    """Seconds by the clock and of the processors, what was planned, and the picture."""
    photo_set = check(load_catalogue().scenes[scene])
    params = SceneParams(scene=scene, width=size, height=size)

    def planned() -> shoot.Plan:
        subject = stood(photo_set, params, [Photo(*product())])
        return shoot.plan(photo_set, params, subject, seed=1, cache=cache, **card.options)

    engine.run([planned().take])  # paints the textures, compiles
    clock, processors = perf_counter(), spent()
    plan = planned()
    picture = shoot.finish(plan, engine.run([plan.take])[0]).pixels
    took = {"seconds": round(perf_counter() - clock, 2), "cpuSeconds": round(spent() - processors, 2)}
    return took, plan, picture


def as_engine() -> None:
    """Go on with the memory pages that the engine process asks for."""
    if not LARGE_PAGES.items() <= os.environ.items():
        os.execve(sys.executable, sys.orig_argv, {**os.environ, **LARGE_PAGES})


def main() -> None:
    as_engine()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pipeline", default="render")
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--scenes", default=SCENES)
    parser.add_argument("--variants", default="llvm,scalar")
    parser.add_argument("--cache", type=Path, default=Path("data/cache"))
    arguments = parser.parse_args()
    card, pipeline = load_catalogue().models["mitsuba"], load_catalogue().pipelines[arguments.pipeline]
    variants: dict[str, Any] = {}
    pictures: dict[str, list[np.ndarray]] = {}
    outside: dict[str, np.ndarray] = {}
    sets: dict[str, Any] = {scene: {} for scene in arguments.scenes.split(",")}
    for variant in arguments.variants.split(","):
        only = msgspec.structs.replace(card, options={**card.options, "variants": [variant]})
        try:
            engine = model.load(only, WEIGHTS / card.id, "cpu")
        except ModelUnavailable as error:
            variants[variant] = {"unavailable": error.detail}
            continue
        for scene, found in sets.items():
            found[variant], plan, picture = measure(scene, engine, pipeline, arguments.size, arguments.cache)
            outside[scene] = plan.subject.placed.alpha == 0
            pictures.setdefault(scene, []).append(picture)
        medians = ("seconds", "cpuSeconds")
        variants[variant] = {key: round(median(found[variant][key] for found in sets.values()), 2) for key in medians}
    for scene, (first, *others) in pictures.items():
        for other in others:
            sets[scene]["psnr between"] = psnr(first, other, outside[scene])
    name = arguments.pipeline if arguments.size == 1024 else f"{arguments.pipeline}-{arguments.size}"
    results_file.write(name, {"size": arguments.size, "median": variants, "sets": sets}, ("mitsuba", "drjit", "pyoidn"))


if __name__ == "__main__":
    main()
