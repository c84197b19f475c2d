"""Upscaling: ours against the naive untiled loop, torch against onnxruntime, and against ncnn.

    python -m benchmarks.upscale            writes benchmarks/results/upscale.json

Each comparison is timed turn by turn in one run, and the best of its rounds counts, so that a busy machine harms both sides
alike; read the ratios, not the seconds. `onnx` (to export) and `ncnn` (its CPU runtime) are not among pergai's own
packages: where they are not installed, their part says so. torch is imported
late: `pergai.runners` first sets how its threads wait for each other.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
from PIL import Image

from benchmarks import results_file
from pergai.cards.catalogue import load_catalogue
from pergai.cards.download import fetch
from pergai.cards.weights import pull
from pergai.engine.core import Job
from pergai.runners.upscale.model import Upscaler, load
from pergai.runners.upscale.runner import Upscale

REPOSITORY = Path(__file__).resolve().parents[1]
WEIGHTS = Path(os.environ.get("PERGAI_WEIGHTS") or REPOSITORY / "data" / "weights")
NETS = {"realesr-animevideov3": (128, 256), "realesrgan-x4plus-anime": (64, 128), "realesrgan-x4plus": (64,)}
"""Model card → sides of the tiles that are timed."""
ROUNDS = 3


class Desk:
    """The engine's desk with nobody else at it."""

    def __init__(self, pipeline: str, net: Upscaler) -> None:
        self.pipeline = load_catalogue().pipelines[pipeline]
        self.cache = Path()
        self._net = net

    async def cpu(self, work: Callable[..., Any], *args: Any) -> Any:
        return work(*args)

    async def device(self, model: str, payload: Any, *, shape: Any = None) -> Any:  # noqa: ARG002
        return self._net.run([payload])[0]

    def scene(self, id: str) -> Any:
        raise KeyError(id)

    def progress(self, fraction: float, phase: str) -> None:
        """Nobody watches."""


def photo(side: int) -> np.ndarray:
    picture = Image.fromarray(skimage.data.coffee()[:, 100:500])
    return np.asarray(picture.resize((side, side), Image.Resampling.LANCZOS))


def net(id: str) -> Upscaler:
    card = load_catalogue().models[id]
    return load(card, pull(card, WEIGHTS), "cpu")


def turn_by_turn(ways: dict[str, Callable[[], Any]], rounds: int = ROUNDS) -> dict[str, float]:
    """The best seconds of each way, measured in turn."""
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            best[name] = min(best[name], time.perf_counter() - started)
    return {name: round(seconds, 3) for name, seconds in best.items()}


def runtimes(id: str, side: int, folder: Path) -> dict[str, Any]:
    """Seconds for one tile in torch, onnxruntime and ncnn, and how far their pictures are apart in 1/255."""
    ours, tile = net(id), photo(side)
    ways: dict[str, Callable[[], np.ndarray]] = {"torch": lambda: ours.run([tile])[0]}
    missing: dict[str, str] = {}
    for name, make in (("onnxruntime", onnxruntime_way), ("ncnn", ncnn_way)):
        try:
            ways[name] = make(id, tile, folder)
        except ImportError as error:
            missing[name] = f"not measured: {error}"
    seconds = turn_by_turn(ways)
    reference = ways["torch"]().astype(int)
    apart = {name: int(np.abs(way().astype(int) - reference).max()) for name, way in ways.items() if name != "torch"}
    ratios = {f"torch / {name}": round(seconds["torch"] / seconds[name], 2) for name in apart}
    return {"model": id, "tile": side, "seconds": seconds, "ratios": ratios, "levels_apart": apart, **missing}


def onnxruntime_way(id: str, tile: np.ndarray, folder: Path) -> Callable[[], np.ndarray]:
    import onnx  # noqa: F401
    import onnxruntime
    import torch

    path = folder / f"{id}.onnx"
    if not path.exists():
        example = torch.zeros(1, 3, 32, 32)
        axes = {2: "height", 3: "width"}
        module = net(id)._net
        torch.onnx.export(
            module, (example,), path, dynamo=False, input_names=["x"], output_names=["y"], dynamic_axes={"x": axes}
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    planes = np.ascontiguousarray(tile.transpose(2, 0, 1)[None].astype(np.float32) / 255)
    return lambda: _bytes(session.run(None, {"x": planes})[0][0])


def ncnn_way(id: str, tile: np.ndarray, folder: Path) -> Callable[[], np.ndarray]:
    import ncnn
    import torch

    source = folder / id
    if not source.exists():
        source.mkdir()
        fetch(load_catalogue().models[id].source, source, lambda *_: None)
    network = ncnn.Net()
    network.opt.num_threads = torch.get_num_threads()
    network.load_param(str(source / "network.param"))
    network.load_model(str(source / "network.bin"))
    planes = np.ascontiguousarray(tile.transpose(2, 0, 1).astype(np.float32) / 255)

    def run() -> np.ndarray:
        extractor = network.create_extractor()
        extractor.input("data", ncnn.Mat(planes).clone())
        return _bytes(np.array(extractor.extract("output")[1]))

    return run


def _bytes(planes: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(planes, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)


def whole_job(way: str, side: int) -> dict[str, float]:
    """One photo at 2x in this process: seconds, and the process's memory at its peak."""
    import torch

    model = "realesr-animevideov3"
    pixels, upscaler = photo(side), net(model)
    upscaler.run([pixels[:32, :32]])
    started = time.perf_counter()
    if way == "ours":
        with tempfile.NamedTemporaryFile(suffix=".png") as file:
            Image.fromarray(pixels).save(file.name)
            job = Job(
                id="0", kind="upscale", library="", pipeline="upscale-fast", provider="", source=file.name,
                source_sha256="", params={"scale": 2},
            )  # fmt: skip
            asyncio.run(Upscale().run(job, Desk("upscale-fast", upscaler)))
    else:
        with torch.no_grad():
            module = upscaler._net.to(memory_format=torch.contiguous_format)
            planes = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
            large = (module(planes).clamp(0, 1) * 255).round().byte()[0].permute(1, 2, 0).numpy()
        Image.fromarray(np.ascontiguousarray(large)).resize((2 * side, 2 * side), Image.Resampling.LANCZOS)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": round(seconds, 2), "peak_mib": round(peak / 1024)}


def ours_against_naive(side: int, rounds: int) -> dict[str, Any]:
    best: dict[str, dict[str, float]] = {}
    for _ in range(rounds):
        for way in ("ours", "naive"):
            command = [sys.executable, "-m", "benchmarks.upscale", "--child", way, "--side", str(side)]
            run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY)
            got = json.loads(run.stdout)
            if way not in best or got["seconds"] < best[way]["seconds"]:
                best[way] = got
    ratio = {key: round(best["naive"][key] / best["ours"][key], 2) for key in ("seconds", "peak_mib")}
    return {"photo": f"{side}x{side} at 2x, upscale-fast", **best, "naive / ours": ratio}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--child", choices=("ours", "naive"), help="used by this program itself")
    options.add_argument("--side", type=int, default=1024, help="side of the photo")
    options.add_argument("--rounds", type=int, default=2, help="rounds of the whole-photo comparison")
    given = options.parse_args()
    if given.child:
        print(json.dumps(whole_job(given.child, given.side)))
        return
    load_at_start = os.getloadavg()[0]
    whole = ours_against_naive(given.side, given.rounds)  # first: a child's peak memory is at least its parent's
    timed = []
    with tempfile.TemporaryDirectory() as temp:
        for id, sides in NETS.items():
            for side in sides:
                timed.append(runtimes(id, side, Path(temp)))
                print(json.dumps(timed[-1]), flush=True)
    results = {
        "runtimes": timed,
        "whole_photo": whole,
        "load_average_at_start": round(load_at_start, 1),
        "load_average_at_end": round(os.getloadavg()[0], 1),
    }
    results_file.write("upscale", results, packages=("torch", "onnxruntime", "numpy"))


if __name__ == "__main__":
    main()
