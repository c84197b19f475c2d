"""Rendered sets: which variants work here, seconds by phase, and what samples buy.

    python -m benchmarks.render [--size 512] [--scenes studio,marble]

Writes benchmarks/results/render.json. Error is PSNR of the developed set outside the product against 256 paths a pixel.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks import results_file
from pergai.cards.catalogue import load_catalogue
from pergai.engine.core import SceneParams
from pergai.errors import ModelUnavailable
from pergai.imaging.picture import Matte, Picture
from pergai.runners.render import model, shoot
from pergai.runners.render.spec import check
from pergai.runners.render.subject import Photo, stood

REFERENCE_SAMPLES = 256


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
    error = float(np.mean((a[where].astype(float) - b[where].astype(float)) ** 2))
    return round(10 * float(np.log10(255**2 / max(error, 1e-9))), 2)


def measure(scene: str, engine: model.Renderer, size: int, cache: Path) -> dict[str, Any]:
    source, matte = product()
    photo_set = check(load_catalogue().scenes[scene])
    params = SceneParams(scene=scene, width=size, height=size)

    def planned() -> shoot.Plan:
        return shoot.plan(photo_set, params, stood(photo_set, params, [Photo(source, matte)]), seed=1, cache=cache)

    planned()  # paints the textures
    seconds = {"plan": spent()}
    plan = planned()
    seconds["plan"] = round(spent() - seconds["plan"], 2)
    still = replace(plan, subject=replace(plan.subject, noise=0.0))
    outside = plan.subject.placed.alpha == 0
    engine.run([replace(plan.take, samples=1)])  # compiles
    reference = shoot.finish(still, engine.run([replace(plan.take, samples=REFERENCE_SAMPLES)])[0]).pixels
    quality = {}
    for samples in (4, 8, 24):
        start = spent()
        light = engine.run([replace(plan.take, samples=samples, seed=2)])[0]
        took = round(spent() - start, 2)
        quality[samples] = {"cpuSeconds": took, "psnr": psnr(shoot.finish(still, light).pixels, reference, outside)}
    seconds["finish"] = spent()
    shoot.finish(plan, light)
    seconds["finish"] = round(spent() - seconds["finish"], 2)
    return {"cpuSeconds": seconds, "samples": quality}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--scenes", default="studio,marble")
    parser.add_argument("--variants", default="llvm,scalar")
    parser.add_argument("--cache", type=Path, default=Path("data/cache"))
    arguments = parser.parse_args()
    card = load_catalogue().models["mitsuba"]
    results: dict[str, Any] = {"size": arguments.size, "variants": {}}
    for variant in arguments.variants.split(","):
        only = msgspec.structs.replace(card, options={**card.options, "variants": [variant]})
        try:
            engine = model.load(only, Path(), "cpu")
        except ModelUnavailable as error:
            results["variants"][variant] = {"unavailable": error.detail}
            continue
        results["variants"][variant] = {
            scene: measure(scene, engine, arguments.size, arguments.cache) for scene in arguments.scenes.split(",")
        }
    results_file.write("render", results, ("mitsuba", "drjit", "pyoidn"))


if __name__ == "__main__":
    main()
