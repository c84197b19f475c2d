"""Catalogue mode against pictures rendered each alone: processor seconds and error, the empty set being lit already.

    python -m benchmarks.render_catalogue [--scenes marble] [--size 512]

Writes benchmarks/results/render_catalogue.json. Errors are those of `render_quality`, in its windows; `atSameError` is how many
times longer a picture alone takes, with as many paths as it needs to have no lower PSNR.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import results_file
from benchmarks.render import as_engine, product, spent
from benchmarks.render_quality import compared, hardest, windows
from benchmarks.render_truth import true_lights
from pergai.cards.catalogue import load_catalogue
from pergai.engine.core import SceneParams
from pergai.runners.render import model, shoot
from pergai.runners.render.spec import check
from pergai.runners.render.subject import Photo, stood
from tests.runners.desk import real_model


def timed(engine: model.Renderer, payload: model.Take | model.Contrast) -> tuple[model.Light, float]:
    """The median of three: now and then a picture takes a second more, for the renderer gave its memory back before."""
    engine.run([payload])  # compiles, and lights the empty set
    seconds = []
    for _ in range(3):
        started = spent()
        (light,) = engine.run([payload])
        seconds.append(spent() - started)
    assert isinstance(light, model.Light)
    return light, round(statistics.median(seconds), 2)


def measure(scene: str, engine: model.Renderer, size: int, cache: Path) -> dict[str, Any]:
    options = load_catalogue().pipelines["render"].options
    photo_set = check(load_catalogue().scenes[scene])
    params = SceneParams(scene=scene, width=size, height=size, lock_camera=True)
    subject = stood(photo_set, params, [Photo(*product())])
    plan = shoot.plan(
        photo_set, params, subject, seed=1, cache=cache, samples=options["samples"], depth=options["depth"]
    )
    outside = subject.placed.alpha == 0
    shared = model.Contrast(take=plan.take, bare=plan.bare, hidden=plan.hidden, folder=cache / "sets")
    alone, other = engine.run([plan.take, replace(plan.take, seed=2)])
    assert isinstance(alone, model.Light)
    assert isinstance(other, model.Light)
    pictures = [shoot.finish(plan, light).pixels.astype(np.float32) for light in (alone, other)]
    where = windows(plan, alone, ((pictures[0] - pictures[1]) ** 2).sum(axis=-1) * outside)

    def judged(payload: model.Take | model.Contrast) -> dict[str, Any]:
        light, seconds = timed(engine, payload)
        picture, *truths = (
            shoot.finish(plan, one).pixels
            for one in (light, *true_lights(engine, plan.take, light, where.values(), cache))
        )
        return {"cpuSeconds": seconds, **hardest(compared(picture, truths, outside), where)}

    found: dict[str, Any] = {"shared": judged(shared), "alone": {}}
    for samples in (plan.take.samples * factor for factor in (1, 1.5, 2, 3, 4, 8)):
        found["alone"][int(samples)] = one = judged(replace(plan.take, samples=int(samples)))
        if one["psnr"] >= found["shared"]["psnr"]:
            break
    found["atSameError"] = round(one["cpuSeconds"] / found["shared"]["cpuSeconds"], 2)
    return found


def main() -> None:
    as_engine()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", default="marble")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--cache", type=Path, default=Path("data/cache"))
    arguments = parser.parse_args()
    engine = real_model(model.load, "mitsuba")
    sets: dict[str, Any] = {}
    for scene in arguments.scenes.split(","):
        sets[scene] = measure(scene, engine, arguments.size, arguments.cache)
        results = {"size": arguments.size, "variant": engine.variant, "sets": sets}
        results_file.write("render_catalogue", results, ("mitsuba", "drjit", "pyoidn", "flip-evaluator"))


if __name__ == "__main__":
    main()
