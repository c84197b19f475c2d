"""Catalogue mode against pictures rendered each alone: processor seconds and error, the empty set being lit already.

    python -m benchmarks.render_catalogue [--scenes marble] [--size 512]

Writes benchmarks/results/render_catalogue.json. Error is PSNR of the developed set outside the product against 2,048 paths a
pixel, `atSameError` how many times longer a picture alone takes, with as many paths as it needs to be no worse.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import results_file
from benchmarks.render import product, psnr, spent
from benchmarks.render_quality import reference
from pergai.cards.catalogue import load_catalogue
from pergai.engine.core import SceneParams
from pergai.runners.render import model, shoot
from pergai.runners.render.spec import check
from pergai.runners.render.subject import Photo, stood


def timed(engine: model.Renderer, payload: model.Take | model.Contrast) -> tuple[model.Light, float]:
    engine.run([payload])  # compiles, and lights the empty set
    started = spent()
    (light,) = engine.run([payload])
    assert isinstance(light, model.Light)
    return light, round(spent() - started, 2)


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
    light, seconds = timed(engine, shared)
    truth = shoot.finish(plan, replace(light, colour=reference(engine, plan.take, cache))).pixels

    def error(found: model.Light) -> float:
        return psnr(shoot.finish(plan, found).pixels, truth, outside)

    found: dict[str, Any] = {"shared": {"cpuSeconds": seconds, "psnr": error(light)}, "alone": {}}
    for samples in (plan.take.samples, 8, 16, 32):
        light, alone = timed(engine, replace(plan.take, samples=samples))
        found["alone"][samples] = {"cpuSeconds": alone, "psnr": error(light)}
        if found["alone"][samples]["psnr"] >= found["shared"]["psnr"]:
            break
    found["atSameError"] = round(alone / seconds, 2)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", default="marble")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--cache", type=Path, default=Path("data/cache"))
    arguments = parser.parse_args()
    engine = model.load(load_catalogue().models["mitsuba"], Path(), "cpu")
    sets = {scene: measure(scene, engine, arguments.size, arguments.cache) for scene in arguments.scenes.split(",")}
    results = {"size": arguments.size, "variant": engine.variant, "sets": sets}
    results_file.write("render_catalogue", results, ("mitsuba", "drjit", "pyoidn"))


if __name__ == "__main__":
    main()
