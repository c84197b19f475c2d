"""What one scene costs over HTTP when nothing else is asked, beyond the same picture by the bare engine: requests, rows, files,
decoding, cutting out, placing, compositing, proving, encoding. On a CPU, with a net of a tenth of a second a picture.

python -m benchmarks.unloaded
"""

from __future__ import annotations

import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from time import thread_time
from typing import Any

import torch

from benchmarks.engine import cpu_seconds, model_of, request, turns
from benchmarks.gpu_http import over
from benchmarks.results_file import seconds, write
from benchmarks.served import Account, Painter, Served
from pergai.worker import NICENESS

PAINTED, SIDE, STEPS, ROUNDS = 64, 512, 4, 21
"""Painted at so many pixels, delivered at so many."""


def unloaded() -> dict[str, Any]:
    """One client and an idle server: what a request costs over the same picture in this process, in turn with it. On a machine
    with other work its CPU time tells more than the clock.

    In a process of its own, for it lowers its priority."""
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        model = model_of("small", Path(name))
        painter = Painter("net", Path(name), PAINTED, STEPS)
        with Served([painter], jobs=4, device="cpu") as server:
            os.nice(NICENESS)  # as the server's engine does on a CPU
            for format in ("png", "jpeg", "webp"):
                server.scene("net", SIDE, 0, format=format)
                bare: list[float] = []
                accounts: list[Account] = []
                before, own = cpu_seconds(server.pid), 0.0
                for seed in range(1, 1 + ROUNDS):
                    own -= thread_time()
                    bare.append(seconds(partial(turns, model, [request(seed, steps=STEPS, side=PAINTED)]), 1))
                    own += thread_time()
                    accounts.append(server.account("net", SIDE, seed, format=format))
                after = cpu_seconds(server.pid)
                theirs = sum(after[name] - before[name] for name in ("engine", "API"))
                found[format] = over(accounts, bare)
                found[format]["CPU over the bare engine, ms"] = round(1e3 * (theirs - own) / ROUNDS, 1)
    what = f"{STEPS} steps at {PAINTED}×{PAINTED}, {SIDE}×{SIDE} results, one client, one at a time"
    return {"what": what, **found}


def main() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"  # of the server's engine, as here
    before = os.getloadavg()[0]
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        found = process.submit(unloaded).result()
    write(
        "unloaded",
        {**found, "load of the machine a minute before": round(before, 1)},
        ("torch", "diffusers", "numpy", "pillow"),
    )


if __name__ == "__main__":
    main()
