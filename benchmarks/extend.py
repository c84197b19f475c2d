"""Extension: seconds and memory by canvas size, and how visible the border is.

    python -m benchmarks.extend        writes benchmarks/results/extend.json

Each size runs in a process of its own, so that its peak memory is its own. The seam ratio is the mean difference
between the two pixels at a border over that between neighbours inside the source: 1 is invisible.
On a busy machine only `cpu_seconds` can be compared.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from typing import Any

import numpy as np
import skimage.data
from PIL import Image

from benchmarks.results_file import write
from pergai.imaging.extension import extend
from pergai.imaging.picture import RGB

CASES = (
    ("coffee", (400, 600), (400, 711)),
    ("coffee", (400, 600), (1067, 600)),
    ("coffee", (1000, 1500), (2048, 2048)),
    ("coffee", (2000, 3000), (4096, 4096)),
    ("studio", (1024, 1024), (1024, 1820)),
    ("grass", (512, 512), (1024, 1024)),
    ("gravel", (512, 512), (1024, 1024)),
    ("brick", (512, 512), (512, 910)),
)


def picture(name: str, size: tuple[int, int]) -> RGB:
    """A source (height, width)."""
    if name == "studio":
        y, x = np.mgrid[0 : size[0], 0 : size[1]]
        light = (222 - 30 * x / size[1] - 24 * (y / size[0]) ** 2)[..., None] * np.array([1.0, 0.985, 0.96])
        return np.rint(light + np.random.default_rng(1).normal(0, 2, light.shape)).astype(np.uint8)
    image = Image.fromarray(getattr(skimage.data, name)()).convert("RGB")
    return np.asarray(image.resize((size[1], size[0]), Image.Resampling.LANCZOS))


def seam(out: RGB, size: tuple[int, int], offset: tuple[int, int]) -> float:
    """Difference across the vertical and horizontal borders over that inside."""
    grey = out.astype(float).mean(axis=-1)
    top, left = offset
    placed = grey[top : top + size[0], left : left + size[1]]
    across: list[float] = []
    if left:
        right = left + size[1]
        across += [
            np.abs(grey[top : top + size[0], at] - grey[top : top + size[0], at - 1]).mean() for at in (left, right)
        ]
        inside = np.abs(np.diff(placed, axis=1)).mean()
        across = [value / inside for value in across]
    if top:
        bottom = top + size[0]
        inside = np.abs(np.diff(placed, axis=0)).mean()
        across += [
            np.abs(grey[at, left : left + size[1]] - grey[at - 1, left : left + size[1]]).mean() / inside
            for at in (top, bottom)
        ]
    return float(np.mean(across))


def measure(case: tuple[str, tuple[int, int], tuple[int, int]]) -> dict[str, Any]:
    """One case, in this process."""
    name, size, canvas = case
    source = picture(name, size)
    offset = ((canvas[0] - size[0]) // 2, (canvas[1] - size[1]) // 2)
    start, worked = time.perf_counter(), time.process_time()
    out = extend(source, None, canvas, offset, seed=1)
    seconds, worked = time.perf_counter() - start, time.process_time() - worked
    return {
        "source": f"{name} {size[1]}x{size[0]}",
        "canvas": f"{canvas[1]}x{canvas[0]}",
        "seconds": round(seconds, 2),
        "cpu_seconds": round(worked, 2),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "seam_ratio": round(seam(out, size, offset), 3),
    }


def main() -> None:
    """Measure every case and write the result."""
    rows: list[dict[str, Any]] = []
    for case in CASES:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            rows.append(pool.apply(measure, (case,)))
    write("extend", {"cases": rows}, ("numpy", "scipy"))


if __name__ == "__main__":
    main()
