"""How good cut-outs are on pictures with known alpha, by IS-Net and by its stand-in, against the raw nets: the drawings and the
photographs that thresholds are tuned on, and the held-out photographs that they are not. And what they cost at 1, 4, 12 and
48 megapixels.

python -m benchmarks.matte
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterable, Iterator
from time import process_time
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from benchmarks.results_file import write
from pergai.imaging.matte import refine, working_copy
from pergai.imaging.picture import RGB, FloatPlane
from pergai.runners import segment
from tests.runners.desk import real_model
from tests.runners.known_alpha import PLAIN, PRODUCTS, TEXTURED, case, gradient_error, mask_of, mse, sad
from tests.runners.shots import Shot, shots

NETS = "isnet", "u2netp"
ERRORS = {"sad": sad, "mse": mse, "gradient": gradient_error}


class Picture(NamedTuple):
    name: str
    plain: bool
    image: RGB
    alpha: FloatPlane


def drawings() -> Iterator[Picture]:
    for product in PRODUCTS:
        for ground in (*PLAIN, *TEXTURED):
            one = case(product, ground)
            yield Picture(one.name, one.plain, one.image, one.alpha)


def quality(net: Any, pictures: Iterable[Picture | Shot]) -> dict[str, Any]:
    """Errors of the raw net and of the refined matte, per case and summed per kind of ground."""
    cases: dict[str, Any] = {}
    sums = {
        kind: {f"{who}_{name}": 0.0 for who in ("net", "matte") for name in ERRORS} for kind in ("plain", "textured")
    }
    for one in pictures:
        mask = net.run([one.image])[0].mask
        alpha = refine(one.image, mask_of(net, one.image)).alpha / np.float32(255.0)
        row = {
            f"{who}_{name}": error(found, one.alpha)
            for who, found in (("net", mask), ("matte", alpha))
            for name, error in ERRORS.items()
        }
        cases[one.name] = {key: round(value, 5) for key, value in row.items()}
        total = sums["plain" if one.plain else "textured"]
        for key, value in row.items():
            total[key] += value
    ratios = {
        kind: {name: round(total[f"matte_{name}"] / total[f"net_{name}"], 3) for name in ERRORS}
        for kind, total in sums.items()
    }
    rounded = {kind: {name: round(error, 3) for name, error in total.items()} for kind, total in sums.items()}
    return {"matte over raw net, summed": ratios, "sums": rounded, "cases": cases}


def between(results: dict[str, Any], where: str) -> dict[str, dict[str, float]]:
    """The first net's errors over the second's, by kind of ground."""
    first, second = (results[name][where]["sums"] for name in NETS)
    return {kind: {name: round(first[kind][name] / second[kind][name], 3) for name in first[kind]} for kind in first}


def enlarged(image: RGB, side: int) -> RGB:
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.LANCZOS))


def cpu_seconds(work: Callable[[], Any]) -> float:
    """The shorter of two runs, in seconds of processor time over all threads."""
    times = []
    for _ in range(2):
        started = process_time()
        work()
        times.append(process_time() - started)
    return round(min(times), 2)


def speed(net: Any) -> dict[str, float]:
    """Processor seconds of the net and of the refinement after a warm-up: other work on the machine does not count."""
    found: dict[str, float] = {}
    for product, ground in (("fur", "white"), ("wires", "gravel")):
        for megapixels in (1, 4, 12, 48):
            photo = enlarged(case(product, ground).image, round(1000 * megapixels**0.5))
            small = working_copy(photo)
            mask = mask_of(net, small)
            name = f"{product} on {ground}, {megapixels} MP"
            found[f"{name}: net"] = cpu_seconds(lambda small=small: mask_of(net, small))
            found[f"{name}: refine"] = cpu_seconds(lambda photo=photo, mask=mask: refine(photo, mask))
    return found


def main() -> None:
    results: dict[str, Any] = {}
    for name in NETS:
        net = real_model(segment.load, name)
        results[name] = {
            "tuning, drawings": quality(net, drawings()),
            "tuning, photographs": quality(net, shots("tuning")),
            "held out, photographs": quality(net, shots("held_out")),
            "processor seconds": speed(net),
        }
    for where in ("tuning, drawings", "tuning, photographs", "held out, photographs"):
        results[f"{where}: {NETS[0]} over {NETS[1]}"] = between(results, where)
    results["peak resident MiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    write("matte", results, packages=("rembg", "onnxruntime", "numpy", "scipy"))


if __name__ == "__main__":
    main()
