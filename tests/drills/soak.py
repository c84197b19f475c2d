"""Hours of a studio's day: does the server's memory grow?"""

from __future__ import annotations

import random
import statistics
import time
from typing import Any

import httpx
import psutil
from studio import Studio, small_photo

from drills import Done, nobody

SETTLING = 0.3
"""Share of the time before memory is looked at: pools and caches fill first."""


def work_for(studio: Studio, minutes: int, chance: random.Random, done: Done = nobody) -> dict[str, Any]:
    """Uploads, products, jobs, lists, pictures, deletions and mistakes, as fast as one client goes. Gives the growth of the API
    process and of the engine process, in MiB an hour, by the median of slopes (Theil-Sen)."""
    started = time.monotonic()
    seconds = 60.0 * minutes
    samples: list[tuple[float, float, float]] = []
    requests = 0
    ticks = 0
    with studio.client() as client:
        while (now := time.monotonic() - started) < seconds:
            requests += _round(client, studio.product, chance)
            if now >= SETTLING * seconds:
                samples.append((now / 3600, _mib(studio.server.pid), _mib(studio.server.engine_pid())))
            while ticks < now // 60:
                ticks += 1
                done()
    while ticks < minutes:
        ticks += 1
        done()
    some = samples[:: max(1, len(samples) // 200)]
    return {
        "requests": requests,
        "api_mib": round(samples[-1][1]),
        "engine_mib": round(samples[-1][2]),
        "api_mib_an_hour": round(_slope([(at, api) for at, api, _ in some]), 2),
        "engine_mib_an_hour": round(_slope([(at, engine) for at, _, engine in some]), 2),
    }


def _round(client: httpx.Client, product: str, chance: random.Random) -> int:
    path = client.post("/uploads", files={"file": ("x.png", small_photo())}).json()["imagePath"]
    made = client.post("/products", json={"name": "Cup", "category": "home", "imagePath": path}).json()["id"]
    colour = f"#{chance.randrange(2**24):06x}"
    record = client.post("/tools/remove-bg", json={"productId": made, "background": colour}).json()
    assert record["status"] == "completed", record
    assert client.get(record["resultImagePath"]).status_code == 200
    for route in ("/products?limit=50", "/generations?limit=50", "/templates", f"/generations/{record['id']}/events"):
        assert client.get(route).status_code == 200
    assert client.post("/tools/upscale", json={"productId": product, "scale": "9x"}).status_code == 422
    assert client.get("/products/no-such-id").status_code == 404
    assert client.delete(f"/products/{made}").status_code == 204
    return 11


def _mib(pid: int | None) -> float:
    return psutil.Process(pid).memory_info().rss / 2**20 if pid else 0.0


def _slope(points: list[tuple[float, float]]) -> float:
    slopes = [
        (later - earlier) / (then - at)
        for number, (at, earlier) in enumerate(points)
        for then, later in points[number + 1 :]
        if then > at
    ]
    return statistics.median(slopes) if slopes else 0.0
