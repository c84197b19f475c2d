"""Every rendered set against the truth: the picture as it is delivered, at 1024² by the default pipeline, and 2,048
undenoised paths a pixel in three windows of it, outside the product.

    python -m benchmarks.render_quality                  # the sets that are not measured yet; stop and go on at will
    python -m benchmarks.render_quality --scenes marble,wood --again
    python -m benchmarks.render_quality --report         # which sets miss 40 dB or FLIP 0.03

Writes benchmarks/results/render_quality.json after each set. What is true is kept under --cache by what decides about it, so
that another number of samples is tried in seconds. About 25 processor seconds a set with an LLVM library.

A rule chooses the windows, see `windows`; the last of them is where the picture is worst. PSNR and FLIP (Andersson et al.
2020, at its default 67 pixels a degree) are those of the developed picture over all windows; FLIP leaves the windows' rims out,
for it looks at a pixel's surroundings. `fireflies` are pixels that stand out from their neighbours and not in the truth. `seeds`
is the PSNR between two pictures that differ in nothing but their noise, over the whole picture.
"""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import dataclass, replace
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
SIDE = 48
"""Pixels of a window's side."""
RIM = 9
"""Pixels at a window's border that FLIP does not count: so far its filters reach."""
LEAST_PSNR, MOST_FLIP = 40.0, 0.03
PACKAGES = ("mitsuba", "drjit", "pyoidn", "flip-evaluator")


@dataclass(frozen=True, slots=True)
class Window:
    """A square of the picture, `SIDE` pixels wide."""

    left: int
    top: int

    def pixels(self, rim: int = 0) -> tuple[slice, slice]:
        return np.s_[self.top + rim : self.top + SIDE - rim, self.left + rim : self.left + SIDE - rim]


def windows(plan: shoot.Plan, light: model.Light, error: np.ndarray) -> dict[str, Window]:
    """Where to look: at the darker end of the product's foot, for its contact shadow; in the backdrop, a fifth of the picture
    from its left and upper border; and the tile where `error` (height, width), 0 where none counts, is greatest besides."""
    height, width = error.shape

    def round_about(x: float, y: float) -> Window:
        return Window(*(int(np.clip(at - SIDE / 2, 0, most - SIDE)) for at, most in ((x, width), (y, height))))

    def level(window: Window) -> float:
        here = window.pixels()
        return float(light.colour[here][~plan.hidden[here]].mean())

    box = plan.subject.placed.box
    contact = min((round_about(x, box.bottom) for x in (box.left, box.right)), key=level)
    backdrop = round_about(width / 5, height / 5)
    left = error.copy()
    left[contact.pixels()] = left[backdrop.pixels()] = 0
    rows, columns = height // SIDE, width // SIDE
    tiles = left[: rows * SIDE, : columns * SIDE].reshape(rows, SIDE, columns, SIDE).sum(axis=(1, 3))
    row, column = divmod(int(np.argmax(tiles)), columns)
    return {"contact": contact, "backdrop": backdrop, "worst": Window(column * SIDE, row * SIDE)}


def reference(engine: model.Renderer, take: model.Take, window: Window, cache: Path) -> np.ndarray:
    """Linear light of 2,048 paths a pixel in a window, with what noise that leaves."""
    import mitsuba as mi

    take = replace(take, view=take.view.cropped(window.left, window.top, SIDE, SIDE), samples=0, unseen=None)
    key = catalogue.fingerprint(mi.__version__, catalogue.VERSION, REFERENCE_SAMPLES, take)
    path = cache / "references" / f"{key}.npy"
    if path.exists():
        return np.load(path)
    mi.set_variant(model.VARIANTS[engine.variant])
    scene = lit(mi, take.view, take.aperture, take.solids, take.emitters)
    integrator = mi.load_dict({"type": "path", "max_depth": take.depth, "rr_depth": 4})
    total = np.zeros((SIDE, SIDE, 3))
    for number in range(REFERENCE_SAMPLES // AT_ONCE):
        total += np.array(mi.render(scene, integrator=integrator, spp=AT_ONCE, seed=900_000 + number))[..., :3]
    light = (total / (REFERENCE_SAMPLES // AT_ONCE)).astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, light)
    return light


def true_light(
    engine: model.Renderer, take: model.Take, light: model.Light, where: dict[str, Window], cache: Path
) -> model.Light:
    """A picture's light with what is true in the windows, so that it is developed like the picture."""
    colour = light.colour.copy()
    for window in where.values():
        colour[window.pixels()] = reference(engine, take, window, cache)
    return replace(light, colour=colour)


def fireflies(picture: np.ndarray, truth: np.ndarray, where: np.ndarray) -> int:
    """Pixels at least a tenth brighter than all around them, and than in the truth."""
    ring = np.ones((3, 3), bool)
    ring[1, 1] = False
    level = picture.mean(axis=-1) / 255
    out = (level > ndimage.maximum_filter(level, footprint=ring) + 0.1) & (level > truth.mean(axis=-1) / 255 + 0.1)
    return int((out & where).sum())


def flip(picture: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """FLIP's error (height, width) of 8-bit pictures."""
    error, _, _ = flip_evaluator.evaluate(
        np.float32(truth) / 255, np.float32(picture) / 255, "LDR", inputsRGB=True, applyMagma=False
    )
    return np.squeeze(error)


def compared(picture: np.ndarray, truth: np.ndarray, outside: np.ndarray, where: dict[str, Window]) -> dict[str, Any]:
    """Errors over all windows, and the PSNR of each."""
    counted, within = np.zeros_like(outside), np.zeros_like(outside)
    for window in where.values():
        counted[window.pixels()], within[window.pixels(RIM)] = True, True
    return {
        "psnr": psnr(picture, truth, counted & outside),
        "flip": round(float(flip(picture, truth)[within & outside].mean()), 4),
        "fireflies": fireflies(picture, truth, counted & outside),
        "windows": {
            name: psnr(picture[here], truth[here], outside[here])
            for name, here in ((name, window.pixels()) for name, window in where.items())
        },
    }


def measure(scene: str, engine: model.Renderer, size: int, cache: Path) -> dict[str, Any]:
    card = load_catalogue().pipelines["render"]
    photo_set = check(load_catalogue().scenes[scene])
    params = SceneParams(scene=scene, width=size, height=size)
    subject = stood(photo_set, params, [Photo(*product())])
    plan = shoot.plan(
        photo_set, params, subject, seed=1, cache=cache, samples=card.options["samples"], depth=card.options["depth"]
    )
    outside = plan.subject.placed.alpha == 0
    (other,) = engine.run([replace(plan.take, seed=2)])  # compiles, too
    started = spent()
    (light,) = engine.run([plan.take])
    took = spent() - started
    assert isinstance(light, model.Light)
    assert isinstance(other, model.Light)
    picture, again = shoot.finish(plan, light).pixels, shoot.finish(plan, other).pixels
    difference = ((picture.astype(np.float32) - again) ** 2).sum(axis=-1)
    where = windows(plan, light, difference * outside)
    truth = shoot.finish(plan, true_light(engine, plan.take, light, where, cache)).pixels
    return {
        "samples": plan.take.samples,
        "cpuSeconds": round(took, 2),
        **compared(picture, truth, outside, where),
        "seeds": psnr(picture, again, outside),
    }


def report(sets: dict[str, Any]) -> None:
    for scene, found in sorted(sets.items(), key=lambda item: item[1]["psnr"]):
        missed = found["psnr"] < LEAST_PSNR or found["flip"] > MOST_FLIP or found["fireflies"]
        print(f"{'MISSED' if missed else 'ok':8}{scene:18}", *(f"{name} {value}" for name, value in found.items()))
    if sets:
        print(f"median processor seconds {statistics.median(found['cpuSeconds'] for found in sets.values())}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", default=",".join(load_catalogue().scenes))
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--again", action="store_true", help="also the sets that are measured already")
    parser.add_argument("--report", action="store_true", help="only print what is known")
    parser.add_argument("--cache", type=Path, default=Path("data/cache"))
    arguments = parser.parse_args()
    path = results_file.RESULTS / "render_quality.json"
    kept = json.loads(path.read_text())["results"] if path.exists() else {}
    sets = kept["sets"] if kept.get("size") == arguments.size else {}
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
