"""How busy a full queue keeps the cores: rendering, matting and encoding of different jobs overlap, so two cores should have
little idle time; what memory each kind of job takes; and how long a client waits for a cut-out while a picture is rendered that
takes long.

    python -m benchmarks.overlap [--jobs 100]

On a machine with other work the idle time tells nothing; then see what share of the cores the server got.
"""

from __future__ import annotations

import argparse
import io
import itertools
import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import psutil
from PIL import Image

from benchmarks.polling import BASE, Server
from benchmarks.results_file import write
from pergai.paths import packaged

LONG = {"Prefer": "wait=300"}

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "remove-bg": ("/tools/remove-bg", {}),
    "expand": ("/tools/expand", {"ratio": "16:9"}),
    "upscale": ("/tools/upscale", {"scale": "2x"}),
    "scene": ("/generations", {"scene": "marble", "resolution": "512x512"}),
    "scene of a megapixel": ("/generations", {"scene": "wood", "resolution": "1024x1024"}),
}


class Cores:
    """CPU seconds of a process and its children, and the machine's, since the last call."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._before = self._now()

    def since(self) -> dict[str, float]:
        now = self._now()
        wall, own, idle = (one - other for one, other in zip(now, self._before, strict=True))
        self._before = now
        cores = os.cpu_count() or 1
        return {
            "seconds": round(wall, 1),
            "share of the cores the server got": round(own / wall / cores, 3),
            "share of the cores idle": round(idle / wall / cores, 3),
            "CPU seconds": round(own, 1),
        }

    def _now(self) -> tuple[float, float, float]:
        times = [one.cpu_times() for one in (self._process, *self._process.children(recursive=True))]
        return time.monotonic(), sum(one.user + one.system for one in times), psutil.cpu_times().idle


def ask(server: Server, product: str, kind: str, seed: int) -> str:
    path, fields = KINDS[kind]
    body = {"productId": product, "seed": seed, **fields}
    headers = {**server.headers, "Prefer": "wait=0"}
    answer = httpx.post(f"{server.base}{BASE}{path}", json=body, headers=headers, timeout=60)
    return str(answer.raise_for_status().json()["id"])


def settle(server: Server, ids: list[str], engine: psutil.Process) -> int:
    """Wait until all have ended; the engine's largest memory meanwhile, bytes."""
    peak, left = 0, list(ids)
    while left:
        peak = max(peak, engine.memory_info().rss)
        record = httpx.get(f"{server.base}{BASE}/generations/{left[0]}", headers=server.headers, timeout=60).json()
        if record["status"] == "failed":
            raise RuntimeError(record["error"])
        if record["status"] == "completed":
            left.pop(0)
        else:
            time.sleep(0.1)
    return peak


def waits(server: Server) -> dict[str, Any]:
    """Seconds for cut-outs of photos that nobody has seen before, alone and while a finest scene is rendered."""
    seeds = itertools.count()

    def cut_out() -> float:
        photo = noisy_sample(next(seeds))
        stored = httpx.post(f"{server.base}{BASE}/uploads", files={"file": photo}, headers=server.headers, timeout=60)
        body = {"productId": server.product(stored.raise_for_status().json()["imagePath"])}
        started = time.monotonic()
        answer = httpx.post(
            f"{server.base}{BASE}/tools/remove-bg", json=body, headers=LONG | server.headers, timeout=400
        )
        assert answer.raise_for_status().json()["status"] == "completed"
        return time.monotonic() - started

    def scene() -> float:
        body = {"productId": product, "scene": "neon", "resolution": "1024x1024", "aiProvider": "nano-banana-pro"}
        started = time.monotonic()
        answer = httpx.post(f"{server.base}{BASE}/generations", json=body, headers=LONG | server.headers, timeout=400)
        assert answer.raise_for_status().json()["status"] == "completed"
        return time.monotonic() - started

    product = server.product()
    cut_out()
    scene()  # compiles
    alone, rendering = statistics.median(cut_out() for _ in range(5)), scene()
    beside: list[float] = []
    with ThreadPoolExecutor(1) as other:
        rendered = other.submit(scene)
        time.sleep(3)
        while not rendered.done():
            beside.append(cut_out())
            time.sleep(1)
    return {
        "the scene alone": round(rendering, 1),
        "a cut-out alone": round(alone, 2),
        "beside the scene, median": round(statistics.median(beside), 2),
        "beside the scene, longest": round(max(beside), 2),
        "of so many": len(beside),
        "the scene with them": round(rendered.result(), 1),
    }


def noisy_sample(seed: int) -> bytes:
    """The sample photo as no cache knows it."""
    with Image.open(packaged("configs") / "sample.png") as image:
        pixels = np.asarray(image.convert("RGB"), np.int16)
    pixels = pixels + np.random.default_rng(seed).integers(-2, 3, pixels.shape)
    buffer = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=100)
    options = parser.parse_args()
    server = Server(inside=False)
    try:
        product = server.product()
        process = psutil.Process(server.process.pid)
        engine = next(child for child in process.children() if "pergai.worker" in child.cmdline())
        memory = {"idle": engine.memory_info().rss >> 20}
        for kind in KINDS:
            memory[kind] = settle(server, [ask(server, product, kind, seed) for seed in range(2)], engine) >> 20
        cores = Cores(process)
        ids = [ask(server, product, "scene", seed) for seed in range(options.jobs)]
        queued = round(cores.since()["seconds"], 1)
        settle(server, ids, engine)
        found = cores.since()
        waited = waits(server)
    finally:
        server.close()
    write(
        "overlap",
        {
            "a queue of scenes": {"jobs": options.jobs, "seconds to queue them": queued, **found},
            "goal": "at most 0.1 idle on a machine that does nothing else",
            "load of the machine a minute before": round(os.getloadavg()[0], 1),
            "seconds a client waits for a cut-out beside a finest scene": waited,
            "engine MiB, peak while two jobs of a kind run, models stay loaded": memory,
        },
        ("mitsuba", "torch"),
    )


if __name__ == "__main__":
    main()
