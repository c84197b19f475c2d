"""How busy a full queue keeps the cores: rendering, matting and encoding of different jobs overlap, so two cores should have
little idle time; and what memory each kind of job takes.

    python -m benchmarks.overlap [--jobs 100]

On a machine with other work the idle time tells nothing; then see what share of the cores the server got.
"""

from __future__ import annotations

import argparse
import os
import time
from typing import Any

import httpx
import psutil

from benchmarks.polling import BASE, Server
from benchmarks.results_file import write

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
    finally:
        server.close()
    write(
        "overlap",
        {
            "a queue of scenes": {"jobs": options.jobs, "seconds to queue them": queued, **found},
            "goal": "at most 0.1 idle on a machine that does nothing else",
            "load of the machine a minute before": round(os.getloadavg()[0], 1),
            "engine MiB, peak while two jobs of a kind run, models stay loaded": memory,
        },
        ("mitsuba", "torch"),
    )


if __name__ == "__main__":
    main()
