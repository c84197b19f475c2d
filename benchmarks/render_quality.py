"""Every rendered set against the truth: its default pipeline and 2,048 undenoised paths a pixel, outside the product.

    python -m benchmarks.render_quality                  # the sets that are not measured yet; stop and go on at will
    python -m benchmarks.render_quality --scenes marble,wood --again
    python -m benchmarks.render_quality --report         # which sets miss 40 dB or FLIP 0.03

Writes benchmarks/results/render_quality.json after each set. A reference is kept under --cache by what decides about it, so
that another number of samples is tried in seconds. About a minute a set on two idle cores with an LLVM library.

PSNR and FLIP (Andersson et al. 2020, at its default 67 pixels a degree) of the developed picture; `fireflies` are pixels that
stand out from their neighbours and not in the reference.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import flip_evaluator
import numpy as np
from scipy import ndimage

from benchmarks import results_file
from benchmarks.render import product, psnr, spent
from pergai.cards.catalogue import load_catalogue
from pergai.engine.core import SceneParams
from pergai.runners.render import catalogue, model, shoot
from pergai.runners.render.spec import check
from pergai.runners.render.subject import Photo, stood
from pergai.runners.render.translate import lit

REFERENCE_SAMPLES = 2048
AT_ONCE = 64
LEAST_PSNR, MOST_FLIP = 40.0, 0.03
PACKAGES = ("mitsuba", "drjit", "pyoidn", "flip-evaluator")


def reference(engine: model.Renderer, take: model.Take, cache: Path) -> np.ndarray:
    """Linear light of 2,048 paths a pixel, with what noise that leaves."""
    import mitsuba as mi

    key = catalogue.fingerprint(mi.__version__, REFERENCE_SAMPLES, replace(take, samples=0))
    path = cache / "references" / f"{key}.npy"
    if path.exists():
        return np.load(path)
    mi.set_variant(model.VARIANTS[engine.variant])
    scene = lit(mi, take.view, take.aperture, take.solids, take.emitters)
    integrator = mi.load_dict({"type": "path", "max_depth": take.depth, "rr_depth": 4})
    total = np.zeros((take.view.height, take.view.width, 3))
    for number in range(REFERENCE_SAMPLES // AT_ONCE):
        total += np.array(mi.render(scene, integrator=integrator, spp=AT_ONCE, seed=900_000 + number))[..., :3]
    light = (total / (REFERENCE_SAMPLES // AT_ONCE)).astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, light)
    return light


def fireflies(picture: np.ndarray, truth: np.ndarray, where: np.ndarray) -> int:
    """Pixels at least a tenth brighter than all around them, and than in the reference."""
    ring = np.ones((3, 3), bool)
    ring[1, 1] = False
    level = picture.mean(axis=-1) / 255
    out = (level > ndimage.maximum_filter(level, footprint=ring) + 0.1) & (level > truth.mean(axis=-1) / 255 + 0.1)
    return int((out & where).sum())


def measure(scene: str, engine: model.Renderer, size: int, cache: Path) -> dict[str, Any]:
    card = load_catalogue().pipelines["render"]
    photo_set = check(load_catalogue().scenes[scene])
    params = SceneParams(scene=scene, width=size, height=size)
    subject = stood(photo_set, params, [Photo(*product())])
    plan = shoot.plan(
        photo_set, params, subject, seed=1, cache=cache, samples=card.options["samples"], depth=card.options["depth"]
    )
    outside = plan.subject.placed.alpha == 0
    engine.run([replace(plan.take, samples=1)])  # compiles
    started = spent()
    (light,) = engine.run([plan.take])
    took = spent() - started
    truth = shoot.finish(plan, replace(light, colour=reference(engine, plan.take, cache))).pixels
    picture = shoot.finish(plan, light).pixels
    error, _, _ = flip_evaluator.evaluate(
        np.float32(truth) / 255, np.float32(picture) / 255, "LDR", inputsRGB=True, applyMagma=False
    )
    return {
        "samples": plan.take.samples,
        "cpuSeconds": round(took, 2),
        "psnr": psnr(picture, truth, outside),
        "flip": round(float(np.squeeze(error)[outside].mean()), 4),
        "fireflies": fireflies(picture, truth, outside),
    }


def report(sets: dict[str, Any]) -> None:
    for scene, found in sorted(sets.items(), key=lambda item: item[1]["psnr"]):
        missed = found["psnr"] < LEAST_PSNR or found["flip"] > MOST_FLIP or found["fireflies"]
        print(f"{'MISSED' if missed else 'ok':8}{scene:18}", *(f"{name} {value}" for name, value in found.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", default=",".join(load_catalogue().scenes))
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--again", action="store_true", help="also the sets that are measured already")
    parser.add_argument("--report", action="store_true", help="only print what is known")
    parser.add_argument("--cache", type=Path, default=Path("data/cache"))
    arguments = parser.parse_args()
    path = results_file.RESULTS / "render_quality.json"
    sets = json.loads(path.read_text())["results"]["sets"] if path.exists() else {}
    if not arguments.report:
        engine = model.load(load_catalogue().models["mitsuba"], Path(), "cpu")
        for scene in arguments.scenes.split(","):
            if scene not in sets or arguments.again:
                sets[scene] = measure(scene, engine, arguments.size, arguments.cache)
                results = {"size": arguments.size, "variant": engine.variant, "sets": sets}
                results_file.write("render_quality", results, PACKAGES)
    report(sets)


if __name__ == "__main__":
    main()
