"""pergai on a GPU against stock diffusers in the same run: first that it paints the same pictures, then every goal of the list
in the shape of PERFORMANCE's GPU goals.

    python -m benchmarks.gpu [--weights FOLDER] [--out FILE] [--seconds 500] [--smoke]

With no weights the nets are built at their real sizes with random numbers: speed is the same. It needs torch, diffusers and
transformers, no network; the rows over HTTP need what the server needs. A row that fails is recorded as an error, one that
takes longer than its budget is broken off, one that no longer fits into the time is left out and named; the file is
written after every row. `--smoke` runs the code of every row on a CPU with tiny nets: its numbers mean nothing.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch

from benchmarks import gpu_engine, gpu_enlarge, gpu_http, gpu_loras, gpu_segment, gpu_switches
from benchmarks.gpu_engine import Sizes
from benchmarks.guarded import Bench
from benchmarks.random_models import build
from benchmarks.served import Served

REAL = (
    Sizes("sd15", 512, 30, (1, 4, 8, 16), torch.float16, torch.bfloat16),
    Sizes("sdxl", 1024, 30, (1, 4, 8), torch.float16, torch.bfloat16),
)
SMOKE = (
    Sizes("small", 64, 2, (1, 2), torch.float32, torch.float32),
    Sizes("small-xl", 64, 2, (1, 2), torch.float32, torch.float32),
)
CARDS = {"sd15": "sd15-inpainting", "sdxl": "sdxl-inpainting"}
KINDS = {"sd15": "StableDiffusionInpaintPipeline", "sdxl": "StableDiffusionXLInpaintPipeline"}
KINDS |= {"small": KINDS["sd15"], "small-xl": KINDS["sdxl"]}
FAST = {"graphs": True}
"""The switches of a card that the server's models and the bare engine run with."""


def clear() -> None:
    gc.collect()
    if torch.cuda.is_available():
        with suppress(RuntimeError):  # the device may be lost to this process; the server has one of its own
            torch.cuda.empty_cache()


def describe(smoke: bool) -> dict[str, Any]:
    import diffusers
    import transformers

    return {
        "benchmark": "gpu",
        "device": "CPU, tiny nets: the numbers mean nothing" if smoke else torch.cuda.get_device_name(),
        "versions": {
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "diffusers": diffusers.__version__,
            "transformers": transformers.__version__,
            "python": sys.version.split()[0],
        },
    }


def pipeline_of(sizes: Sizes, weights: Path | None, dtype: torch.dtype, device: str) -> tuple[Any, str]:
    """The weights that are there, else random ones of the same sizes."""
    import diffusers

    folder = weights / CARDS.get(sizes.model, "none") if weights else None
    if folder is None or not (folder / "model_index.json").is_file():
        return build(sizes.model, dtype, device), "random"
    kind = getattr(diffusers, KINDS[sizes.model])
    pipeline = kind.from_pretrained(folder, dtype=dtype, variant="fp16", local_files_only=True).to(device)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline, "real"


class Found:
    """What later rows need to know: whether the nets are tiny, and what earlier rows found; 0 where those failed."""

    def __init__(self, smoke: bool) -> None:
        self.smoke = smoke
        self.rival: dict[str, float] = {}
        self.bare: dict[str, float] = {}
        self.alone: dict[str, float] = {}
        self.enlarge = 0.0


def in_process(bench: Bench, sizes: Sizes, weights: Path | None, device: str, folder: Path, found: Found) -> None:
    """All rows of one model that need no server; leaves it saved in `folder` for those that do."""
    name, row = sizes.model, bench.row
    same_pictures(bench, sizes, device, found.smoke)
    made: list[Any] = []

    def make() -> str:
        pipeline, origin = pipeline_of(sizes, weights, sizes.half, device)
        made.append(pipeline)
        return origin

    if not row(f"{name}: weights", 60, make, always=True):
        return
    pipeline = made[0]
    rival = row(f"{name}: stock, eager, half precision", 60, lambda: gpu_engine.rival(pipeline, sizes))
    found.rival[name] = rival.get("images/s with PNG", 0.0)
    stock = rival.get("images/s", 0.0)
    pipeline.to(sizes.fast)
    row(f"{name}: saved for the server", 60, lambda: pipeline.save_pretrained(folder) or "done", always=True)
    plain_engine(bench, gpu_engine.engine(pipeline, sizes.fast, sizes.largest), sizes, stock)
    clear()
    fast_engine(bench, gpu_engine.engine(pipeline, sizes.fast, sizes.largest, **FAST), sizes, stock, found, weights)
    clear()
    if "xl" in name:

        def eight_bits() -> Any:
            model = gpu_engine.engine(pipeline, sizes.fast, sizes.largest, fp8=True)
            return gpu_engine.throughput(model, sizes, 0.0, 2 if found.smoke else 20)

        row("sdxl: 20 steps, 8-bit weights, images/s (goal 2.3)", 40, eight_bits)


def plain_engine(bench: Bench, model: Any, sizes: Sizes, stock: float) -> None:
    name = sizes.model
    bench.row(f"{name}: bare engine", 60, lambda: gpu_engine.throughput(model, sizes, stock))
    bench.row(f"{name}: memory", 20, lambda: gpu_engine.memory(model, sizes))
    bench.row(f"{name}: beside the UNet", 20, lambda: gpu_engine.beside_the_unet(model, sizes))


def fast_engine(bench: Bench, model: Any, sizes: Sizes, stock: float, found: Found, weights: Path | None) -> None:
    """The rows that tell how fast it can be: the model runs as the server's will."""
    name = sizes.model
    best = bench.row(f"{name}: bare engine, CUDA graphs", 60, lambda: gpu_engine.throughput(model, sizes, stock))
    if best:
        found.bare[name] = best[str(sizes.largest)]["images/s"]
    one = bench.row(f"{name}: bare engine, CUDA graphs, one picture", 30, lambda: gpu_engine.alone(model, sizes))
    found.alone[name] = one.get("seconds", 0.0)
    bench.row(f"{name}: 4 steps against 20 (goal 5.5)", 30, lambda: gpu_engine.few_steps(model, sizes))
    if "xl" not in name:
        return
    steps, jobs = (2, 4) if found.smoke else (20, 48)
    bench.row(
        "sdxl: 20 steps, MLPerf's shape, bf16, images/s (goal 1.7)",
        40,
        lambda: gpu_engine.throughput(model, sizes, 0.0, steps),
    )
    bench.row("sdxl: Poisson, real time", 130, lambda: gpu_engine.poisson(model, sizes, jobs))
    bench.row(
        "sdxl: 4096² in two stages (goal 20)",
        50,
        lambda: gpu_engine.large_expand(model, gpu_enlarge.x4plus(weights, found.smoke), sizes),
    )


def over_http(bench: Bench, plans: tuple[Sizes, ...], folder: Path, found: Found, device: str) -> None:
    """The rows that need a server."""
    painters = [
        gpu_http.painter(sizes, folder / sizes.model, **FAST)
        for sizes in plans
        if (folder / sizes.model / "model_index.json").is_file()
    ]
    there = {one.name for one in painters}
    gpu_enlarge.save_x4plus(folder / "x4plus", found.smoke)
    enlargers = [gpu_http.enlarger(folder / "x4plus", found.smoke)]
    jobs = 2 * max(sizes.largest for sizes in plans)
    server = Served(painters, enlargers, jobs=jobs, device=device)
    if not bench.row("HTTP: the server", 120, lambda: server.__enter__() and "up", always=True):
        return
    try:
        for sizes in plans:
            if sizes.model in there:
                name, rival, bare = sizes.model, found.rival.get(sizes.model, 0.0), found.bare.get(sizes.model, 0.0)
                bench.row(
                    f"HTTP, {name}: images/s",
                    110,
                    lambda s=sizes, r=rival, b=bare: gpu_http.throughput(server, s, r, b),
                )
                alone = found.alone.get(name, 0.0)
                bench.row(f"HTTP, {name}: unloaded", 60, lambda s=sizes, a=alone: gpu_http.unloaded(server, s, a))
        pixels = 256 * 256
        bench.row("HTTP, x4plus (goal 3)", 40, lambda: gpu_http.enlarging(server, pixels, found.enlarge, found.smoke))
    finally:
        server.__exit__()
    for sizes in plans[:1]:
        if sizes.model in there:
            steady = bench.results.get(f"HTTP, {sizes.model}: images/s", {}).get("images/s", 0.0)
            bench.row(
                f"HTTP, {sizes.model}: cold start",
                110,
                lambda s=sizes, v=steady: gpu_http.cold_start(painters, s, KINDS[s.model], v, device),
            )


def switches(bench: Bench, sizes: Sizes, weights: Path | None, device: str, smoke: bool) -> None:
    """Last, for torch.compile takes long."""
    made: list[Any] = []
    row = f"{sizes.model}: weights for the switches"
    if bench.row(row, 60, lambda: made.append(pipeline_of(sizes, weights, sizes.fast, device)) or "there", always=True):
        gpu_switches.rows(bench, made.pop()[0], sizes, smoke)
        clear()
    row = f"{sizes.model}: LoRAs in turn"
    bench.row(row, 60, lambda: gpu_loras.in_turn(pipeline_of(sizes, weights, sizes.fast, device)[0], sizes, smoke))


def same_pictures(bench: Bench, sizes: Sizes, device: str, smoke: bool) -> None:
    """In float32 at small sizes: the pictures must be the same but for the order of summation."""
    tiny = "small-xl" if "xl" in sizes.model else "small"
    bench.row(
        f"{sizes.model}: same pictures as stock, float32",
        40,
        lambda: gpu_engine.correctness(build(tiny, torch.float32, device), torch.float32, 64, 2 if smoke else 4),
    )


def only_switches(bench: Bench, weights: Path | None, smoke: bool) -> None:
    """What is left out of a whole run for lack of time; the larger model first."""
    device = "cpu" if smoke else "cuda"
    plans = SMOKE if smoke else REAL
    for sizes in plans:
        same_pictures(bench, sizes, device, smoke)
    for sizes in reversed(plans):
        switches(bench, sizes, weights, device, smoke)
        clear()


def run(bench: Bench, weights: Path | None, smoke: bool) -> None:
    device = "cpu" if smoke else "cuda"
    plans = SMOKE if smoke else REAL
    found = Found(smoke)
    with tempfile.TemporaryDirectory(prefix="pergai-gpu-") as scratch:
        bench.row("the device", 20, lambda: gpu_engine.peak(found.smoke))
        for sizes in plans:
            try:
                in_process(bench, sizes, weights, device, Path(scratch) / sizes.model, found)
            except Exception as error:  # between two rows
                bench.results[f"{sizes.model}: what followed"] = {"error": f"{type(error).__name__}: {error}"[:500]}
            clear()
        enlarged = bench.row("x4plus (goals 0.35, 3)", 40, lambda: gpu_enlarge.enlarge(weights, found.smoke))
        found.enlarge = enlarged.get("plain loop with PNG, Mpixel/s", 0.0)
        try:
            over_http(bench, plans, Path(scratch), found, device)
        except Exception as error:
            bench.results["HTTP"] = {"error": f"{type(error).__name__}: {error}"[:500]}
        bench.row("BiRefNet-L (goal 3)", 40, lambda: gpu_segment.segment(weights, found.smoke))
        for sizes in plans:
            switches(bench, sizes, weights, device, found.smoke)
            clear()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, help="the weights folder of a server")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/gpu.json"))
    parser.add_argument("--seconds", type=float, default=500)
    parser.add_argument("--resume", action="store_true", help="go on after a row that ended the process")
    parser.add_argument("--switches", action="store_true", help="only the same pictures, and every switch by itself")
    parser.add_argument("--smoke", action="store_true", help="tiny nets on a CPU: does every row run?")
    options = parser.parse_args()
    if not options.smoke and not torch.cuda.is_available():
        sys.exit("no CUDA device; try --smoke")
    if options.smoke:
        torch.set_num_threads(1)
    import diffusers

    diffusers.utils.logging.set_verbosity_error()
    bench = Bench(
        options.out,
        options.seconds,
        describe(options.smoke),
        resume=options.resume,
        patience=5.0 if options.smoke else 1.0,
        after=clear,
    )
    (only_switches if options.switches else run)(bench, options.weights, options.smoke)
    bench.write()
    failed = [name for name, one in bench.results.items() if isinstance(one, dict) and "error" in one]
    print(f"written to {options.out}; {len(bench.results) - len(failed)} rows, failed: {', '.join(failed) or 'none'}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
