"""The rows of `benchmarks.gpu` that go through a real server: pictures a second over HTTP, what HTTP costs, a cold start."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from benchmarks.gpu_engine import Sizes, share
from benchmarks.served import Account, Enlarger, Painter, Served

X4PLUS = {"architecture": "RRDBNet", "features": 64, "growth": 32, "blocks": 23}
X4TINY = {"architecture": "RRDBNet", "features": 8, "growth": 4, "blocks": 1}


def painter(sizes: Sizes, folder: Path, **options: Any) -> Painter:
    dtype = str(sizes.fast).removeprefix("torch.")
    return Painter(
        sizes.model, folder, sizes.side, sizes.steps, options={"max_batch": sizes.largest, "dtype": dtype, **options}
    )


def enlarger(folder: Path, smoke: bool) -> Enlarger:
    return Enlarger("x4plus", folder, X4TINY if smoke else X4PLUS, 64 if smoke else 256)


def throughput(server: Served, sizes: Sizes, rival: float, bare: float) -> dict[str, Any]:
    """Images a second with twice as many clients as fit into a batch, each waiting for its picture and fetching it; over stock
    behind a lock with its PNG (goals SD 1.5 4.5, SDXL 3.0), of the roofline (0.45, 0.60), and of the bare engine (0.97)."""
    clients = 2 * sizes.largest
    server.together(clients, clients, lambda number: server.scene(sizes.model, sizes.side, number))
    count = 3 * clients
    spent, times = server.together(clients, count, lambda number: server.scene(sizes.model, sizes.side, 1000 + number))
    speed = count / spent
    found: dict[str, Any] = {"clients": clients, "images/s": round(speed, 3)}
    found["median latency, seconds"] = round(median(times), 3)
    if rival:
        found["over stock with PNG"] = round(speed / rival, 2)
    if bare:
        found["of the bare engine"] = round(speed / bare, 3)
    if sizes.model in ("sd15", "sdxl"):
        found["share of 790 TFLOP/s"] = share(sizes.model, speed, sizes.steps)
    return found


def unloaded(server: Served, sizes: Sizes, bare_seconds: float) -> dict[str, Any]:
    """What one request costs over the engine's own time for one picture (goals: 15 ms, and 45 ms more for JPEG or WebP); and by
    the server's own account over the turns on the device, with how much of that is work on pixels."""
    found: dict[str, Any] = {}
    for format in ("png", "jpeg", "webp"):
        server.scene(sizes.model, sizes.side, 1, format=format)
        accounts = [server.account(sizes.model, sizes.side, 2 + number, format=format) for number in range(9)]
        found[format] = over(accounts, [bare_seconds] * len(accounts))
    return found


def over(accounts: Sequence[Account], bare_seconds: Sequence[float]) -> dict[str, float]:
    """Milliseconds, medians of requests that were each measured beside a bare picture."""
    beside = zip(accounts, bare_seconds, strict=True)
    found = {
        "over the bare engine, ms": median(one.all - bare for one, bare in beside),
        "over its own turns, ms": median(one.all - one.device for one in accounts),
        "of it on pixels, ms": median(one.pixels for one in accounts),
    }
    return {name: round(1e3 * seconds, 1) for name, seconds in found.items()}


def enlarging(server: Served, source_pixels: int, rival: float, smoke: bool) -> dict[str, float]:
    """x4plus over HTTP, megapixels a second of its input, over the plain loop with PNG (goal 3)."""
    server.enlarge("x4plus", 0, "2x")
    count = 2 if smoke else 24
    spent, _ = server.together(8, count, lambda number: server.enlarge("x4plus", number, "2x"))
    speed = count * source_pixels / spent / 1e6
    return {"Mpixel/s": round(speed, 3), "over the plain loop": round(speed / rival, 2) if rival else 0.0}


STOCK = """
import sys, time
import torch, diffusers
from PIL import Image
folder, kind, side, device = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
dtype = torch.float16 if device == "cuda" else torch.float32
pipeline = getattr(diffusers, kind).from_pretrained(folder, torch_dtype=dtype).to(device)
pipeline.set_progress_bar_config(disable=True)
white = Image.new("RGB", (side, side), "white")
pipeline(prompt="a cup", image=white, mask_image=white, height=side, width=side, num_inference_steps=int(sys.argv[5]))
"""


def stock_cold(folder: Path, kind: str, sizes: Sizes, device: str) -> float:
    """Seconds from nothing to stock's first picture: a fresh process that imports, loads and paints."""
    started = perf_counter()
    arguments = [str(folder), kind, str(sizes.side), device, str(sizes.steps)]
    done = subprocess.run(
        [sys.executable, "-c", STOCK, *arguments], capture_output=True, text=True, timeout=240, check=False
    )
    if done.returncode:
        raise RuntimeError(f"stock: {done.stderr[-400:]}")
    return perf_counter() - started


def cold_start(painters: Sequence[Painter], sizes: Sizes, kind: str, steady: float, device: str) -> dict[str, Any]:
    """First picture over HTTP of a server that was not there, over stock's (goal 1.25); and how soon pictures come at 0.95 of
    the steady speed (goal 45 s)."""
    folder = next(one.folder for one in painters if one.name == sizes.model)
    if device != "cpu":
        stock_cold(folder, kind, sizes, device)  # reads the files into the page cache, for both
    theirs = stock_cold(folder, kind, sizes, device)
    with Served(painters, jobs=2 * sizes.largest, device=device) as server:
        up = perf_counter() - server.started
        server.scene(sizes.model, sizes.side, 0)
        first = perf_counter() - server.started
        found = {"server up, seconds": round(up, 2), "first picture, seconds": round(first, 2)}
        found |= {"stock's, seconds": round(theirs, 2), "over stock": round(first / theirs, 2)}
        while steady and device != "cpu" and perf_counter() - server.started < 60:
            count = 2 * sizes.largest
            spent, _ = server.together(count, count, lambda number: server.scene(sizes.model, sizes.side, number))
            if count / spent >= 0.95 * steady:
                found["0.95 of the steady speed after, seconds"] = round(perf_counter() - server.started, 1)
                break
    return found
