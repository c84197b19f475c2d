"""Every rendered set against the truth: the picture as it is delivered, at 1024² by the default pipeline or another, and 2,048
undenoised paths a pixel, outside the product, in tiles drawn from all of it and in its three hardest windows.

    python -m benchmarks.render_quality                  # the sets that are not measured yet; stop and go on at will
    python -m benchmarks.render_quality --scenes marble,wood --again
    python -m benchmarks.render_quality --report         # which sets miss 40 dB or FLIP 0.03 in the whole picture
    python -m benchmarks.render_quality --pipeline render-fine
    python -m benchmarks.render_quality --scenes pool --paths 8192   # besides, where the truth itself is noisy

Writes benchmarks/results/ after each set, one file a pipeline. What is true is kept under --cache by what decides about it, so
that another number of samples is tried in seconds. About 90 processor seconds a set with an LLVM library.

PSNR and FLIP (Andersson et al. 2020, at its default 67 pixels a degree) are those of the developed picture; FLIP leaves the
rims of tiles and windows out, for it looks at a pixel's surroundings. What is true has noise of its own, which both count as the
picture's. So besides: `psnrOfItself`, from the picture's errors against one half of the true paths times those against the
other, whose noise has nothing to do with each other's; and `flipOfTruth`, of all true paths against one half of them, which
differ from each other by as much noise as is in all of them.

- `picture` is the whole picture outside the product, as `TILES` tiles tell: drawn with a chance that grows with the noise seen
  in them and weighted by its inverse, so that their mean expects what all tiles would give (Hansen and Hurwitz 1943). `between`
  are the PSNRs one standard error of that mean away.
- `hardest` are three windows that a rule chooses (see `windows`), the last of them where the picture is noisiest: what a buyer
  who looks for the worst spot finds.

`fireflies` are pixels of all of these that stand out from their neighbours and not in the truth. `seeds` is the PSNR between two
pictures that differ in nothing but their noise, over the whole picture.
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
from benchmarks.render import decibels, product, psnr, spent
from benchmarks.render_truth import SAMPLES, SIDE, Window, tiles, true_lights
from pergai.cards.catalogue import load_catalogue
from pergai.cards.structs import PipelineCard
from pergai.engine.core import SceneParams
from pergai.runners.render import model, shoot
from pergai.runners.render.spec import check
from pergai.runners.render.subject import Photo, stood
from tests.runners.desk import real_model

TILES = 12
"""Tiles that stand for the whole picture."""
RIM = 9
"""Pixels at a window's border that FLIP does not count: so far its filters reach."""
LEAST_PSNR, MOST_FLIP = 40.0, 0.03
PACKAGES = ("mitsuba", "drjit", "pyoidn", "flip-evaluator")


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
    worst = max(tiles(height, width), key=lambda tile: left[tile.pixels()].sum())
    return {"contact": contact, "backdrop": backdrop, "worst": worst}


def drawn(error: np.ndarray, outside: np.ndarray) -> list[tuple[Window, float]]:
    """`TILES` tiles, and the share of the picture's pixels outside the product that each of these has, over the chance that a
    draw had to give it. `error` (height, width) is the squared noise, 0 where none counts."""
    every = tiles(*error.shape)
    pixels = np.array([outside[tile.pixels()].sum() for tile in every], float)
    noise = np.sqrt([error[tile.pixels()].sum() for tile in every] / np.maximum(pixels, 1))
    size = (noise + noise[pixels > 0].mean() / 2) * pixels
    reached = np.cumsum(size) / size.sum()
    start = np.random.default_rng(1).uniform()
    chosen = np.searchsorted(reached, (np.arange(TILES) + start) / TILES)
    return [(every[i], pixels[i] / pixels.sum() / (size[i] / size.sum())) for i in chosen]


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


@dataclass(frozen=True, slots=True)
class Errors:
    """Of a picture against the truth, where the truth is known, outside the product."""

    squared: np.ndarray
    """(height, width), of 8-bit values, the mean of the channels."""
    own: np.ndarray
    """The same without the truth's noise; that of a pixel may be less than 0."""
    flip: np.ndarray
    flip_of_truth: np.ndarray
    outside: np.ndarray

    def mean(self, plane: np.ndarray, window: Window, rim: int = 0) -> float:
        """Of one of the planes, over a window but its rim."""
        here = window.pixels(rim)
        if not self.outside[here].any():
            here = window.pixels()
        return float(plane[here][self.outside[here]].mean())


def compared(picture: np.ndarray, truths: list[np.ndarray], outside: np.ndarray) -> Errors:
    """`truths`: by all paths, by one half of them, by the other."""
    all_paths, first, second = (picture.astype(float) - truth for truth in truths)
    return Errors(
        (all_paths**2).mean(axis=-1),
        (first * second).mean(axis=-1),
        flip(picture, truths[0]),
        flip(truths[1], truths[0]),
        outside,
    )


def whole(errors: Errors, drawn: list[tuple[Window, float]]) -> dict[str, Any]:
    """The errors of the whole picture, as the tiles drawn from it tell."""

    def over(plane: np.ndarray, rim: int = 0) -> np.ndarray:
        return np.array([errors.mean(plane, tile, rim) * weight for tile, weight in drawn])

    squares = over(errors.squared)
    mean, error = squares.mean(), squares.std(ddof=1) / np.sqrt(len(squares))
    return {
        "psnr": decibels(mean),
        "between": [decibels(mean + error), decibels(max(mean - error, 0))],
        "psnrOfItself": decibels(over(errors.own).mean()),
        "flip": round(float(over(errors.flip, RIM).mean()), 4),
        "flipOfTruth": round(float(over(errors.flip_of_truth, RIM).mean()), 4),
    }


def hardest(errors: Errors, where: dict[str, Window]) -> dict[str, Any]:
    """Errors over the three windows, and the PSNR of each."""
    counted, within = np.zeros_like(errors.outside), np.zeros_like(errors.outside)
    for window in where.values():
        counted[window.pixels()], within[window.pixels(RIM)] = True, True
    return {
        "psnr": decibels(float(errors.squared[counted & errors.outside].mean())),
        "flip": round(float(errors.flip[within & errors.outside].mean()), 4),
        "windows": {name: decibels(errors.mean(errors.squared, window)) for name, window in where.items()},
    }


def measure(
    scene: str, engine: model.Renderer, card: PipelineCard, size: int, cache: Path, paths: int
) -> dict[str, Any]:
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
    noise = ((picture.astype(np.float32) - again) ** 2).sum(axis=-1) * outside
    where, sample = windows(plan, light, noise), drawn(noise, outside)
    known = [*where.values(), *(tile for tile, _ in sample)]
    truths = [shoot.finish(plan, true).pixels for true in true_lights(engine, plan.take, light, known, cache, paths)]
    errors = compared(picture, truths, outside)
    return {
        "samples": plan.take.samples,
        "cpuSeconds": round(took, 2),
        "picture": whole(errors, sample),
        "hardest": hardest(errors, where),
        "fireflies": fireflies(picture, truths[0], outside),
        "seeds": psnr(picture, again, outside),
    }


def report(sets: dict[str, Any]) -> None:
    for scene, found in sorted(sets.items(), key=lambda item: item[1]["picture"]["psnr"]):
        print(f"{verdict(found):8}{scene:18}", *(f"{name} {value}" for name, value in found.items()))
    if not sets:
        return
    for where in ("picture", "hardest"):
        parts = [found[where] for found in sets.values()]
        bright = sum(part["psnr"] >= LEAST_PSNR for part in parts)
        alike = sum(part["flip"] <= MOST_FLIP for part in parts)
        middle, middle_flip = (statistics.median(part[name] for part in parts) for name in ("psnr", "flip"))
        print(
            f"{where}: median {middle:.1f} dB, FLIP {middle_flip:.3f}; "
            f"{bright} of {len(parts)} reach {LEAST_PSNR:.0f} dB, {alike} FLIP {MOST_FLIP}"
        )
    known = [found["picture"] for found in sets.values() if "psnrOfItself" in found["picture"]]
    if known:
        own = [part["psnrOfItself"] for part in known]
        of_truth = statistics.median(part["flipOfTruth"] for part in known)
        print(
            f"without the truth's noise, {len(known)} sets: median {statistics.median(own):.1f} dB, "
            f"{sum(psnr >= LEAST_PSNR for psnr in own)} reach {LEAST_PSNR:.0f} dB; FLIP of the truth {of_truth:.3f}"
        )
    print(f"median processor seconds {statistics.median(found['cpuSeconds'] for found in sets.values())}")


def verdict(found: dict[str, Any]) -> str:
    good = found["picture"]["psnr"] >= LEAST_PSNR and found["picture"]["flip"] <= MOST_FLIP
    return "ok" if good and not found["fireflies"] else "MISSED"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", default=",".join(load_catalogue().scenes))
    parser.add_argument("--pipeline", default="render")
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--paths", type=int, default=SAMPLES, help="of the truth, a pixel: twice a square")
    parser.add_argument("--again", action="store_true", help="also the sets that are measured already")
    parser.add_argument("--report", action="store_true", help="only print what is known")
    parser.add_argument("--cache", type=Path, default=Path("data/cache"))
    arguments = parser.parse_args()
    name = arguments.pipeline.replace("render", "render_quality", 1)
    path = results_file.RESULTS / f"{name}.json"
    kept = json.loads(path.read_text())["results"] if path.exists() else {}
    sets = kept["sets"] if kept.get("size") == arguments.size else {}
    if not arguments.report:
        engine, card = real_model(model.load, "mitsuba"), load_catalogue().pipelines[arguments.pipeline]
        for scene in arguments.scenes.split(","):
            if scene not in sets or arguments.again or arguments.paths != SAMPLES:
                found = measure(scene, engine, card, arguments.size, arguments.cache, arguments.paths)
                if arguments.paths == SAMPLES:
                    sets[scene] = found
                else:
                    sets[scene][f"picture against {arguments.paths} paths"] = found["picture"]
                results = {"size": arguments.size, "variant": engine.variant, "sets": sets}
                results_file.write(name, results, PACKAGES)
    report(sets)


if __name__ == "__main__":
    main()
