"""Polling while the engine works: GET p99 at a steady rate, with the engine idle, busy in its own process (as pergai runs
it), and busy in the API's process (as it would be without the second process).

    python -m benchmarks.polling [--seconds 20] [--rate 200]

With wrk on the machine (`apt-get install wrk`) it sends the requests, from 40 connections that each pause in between, by
chance between nothing and twice the mean, so that they don't come forty at a time; else a client in Python does, which takes
more of the same two cores than the server.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from benchmarks.results_file import percentile, write

WEIGHTS = os.environ.get("PERGAI_WEIGHTS", str(Path(__file__).parents[1] / "data" / "weights"))
BASE = "/api/external/v1"


def serve_with_work_inside() -> None:
    """The rival: the same server, with the upscaler running in a thread of the API process."""
    from pergai.app import serve
    from pergai.cards.catalogue import load_catalogue
    from pergai.runners.registry import load_model
    from pergai.settings import load_settings

    settings = load_settings()
    card = load_catalogue().models["realesr-animevideov3"]
    model = load_model(card, Path(WEIGHTS) / card.id, "cpu")
    tile = np.zeros((128, 128, 3), np.uint8)

    def work() -> None:
        while True:
            model.run([tile])

    threading.Thread(target=work, daemon=True).start()
    serve(settings)


class Server:
    """`inside`: with the rival's work in it. `database`: a file it finds in its new folder."""

    def __init__(self, *, inside: bool, database: Path | None = None) -> None:
        self.folder = tempfile.TemporaryDirectory()
        if database is not None:
            os.link(database, Path(self.folder.name) / "pergai.db")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.log = Path(self.folder.name) / "log"
        command = ["-m", "benchmarks.polling", "--serve-inside"] if inside else ["-m", "pergai", "serve"]
        environment = {
            **os.environ,
            "PERGAI_HOME": self.folder.name,
            "PERGAI_WEIGHTS": WEIGHTS,
            "PERGAI_PORT": str(self.port),
            "PERGAI_CONFIG": "embedded",
            "PERGAI_LOG__LEVEL": "warning",
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([sys.executable, *command], stdout=log, stderr=log, env=environment)
        self.base = f"http://127.0.0.1:{self.port}"
        deadline = time.monotonic() + 120
        while True:
            try:
                if httpx.get(f"{self.base}/readyz").status_code == 200:
                    break
            except httpx.TransportError:
                pass
            if time.monotonic() > deadline:
                raise TimeoutError(self.log.read_text())
            time.sleep(0.2)
        found = re.search(r"pk_\w+", self.log.read_text())
        assert found is not None
        self.headers = {"Authorization": f"Bearer {found[0]}"}

    def product(self, image: str = "products/sample.png") -> str:
        body = {"name": "x", "category": "other", "imagePath": image}
        answer = httpx.post(f"{self.base}{BASE}/products", json=body, headers=self.headers, timeout=60)
        return str(answer.raise_for_status().json()["id"])

    def queue(self, product: str, count: int) -> str:
        body = {"productId": product, "scale": "4x"}
        headers = {**self.headers, "Prefer": "wait=0"}
        for _ in range(count):
            answer = httpx.post(f"{self.base}{BASE}/tools/upscale", json=body, headers=headers, timeout=60)
        return str(answer.raise_for_status().json()["id"])

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()


CONNECTIONS = 40


def poll(server: Server, path: str, rate: float, seconds: float) -> dict[str, float]:
    """How long answers take at so many requests a second, and how much of the API process's CPU each takes, which says most
    on a busy box."""
    process = psutil.Process(server.process.pid)
    before = process.cpu_times()
    found = poll_from_outside(server, path, rate, seconds)
    after = process.cpu_times()
    spent = after.user + after.system - before.user - before.system
    return {**found, "api_cpu_ms_a_request": round(1000 * spent / (found["sent_per_second"] * seconds), 2)}


def poll_from_outside(server: Server, path: str, rate: float, seconds: float) -> dict[str, float]:
    if shutil.which("wrk") is None:
        return asyncio.run(poll_from_python(server, path, rate, seconds))
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(f"function delay() return math.random(0, {round(2000 * CONNECTIONS / rate)}) end")
        script.flush()
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s", "--latency", "-s", script.name]
        for name, value in server.headers.items():
            command += ["-H", f"{name}: {value}"]
        told = subprocess.run([*command, server.base + path], capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in told or "Socket errors" in told:
        raise RuntimeError(told)
    found = dict(re.findall(r"^ +(50|99)% +([\d.]+(?:us|ms|s)) *$", told, re.MULTILINE))
    sent = re.search(r"Requests/sec: +([\d.]+)", told)
    return {
        "p50_ms": _milliseconds(found["50"]),
        "p99_ms": _milliseconds(found["99"]),
        "sent_per_second": float(sent[1]) if sent else 0.0,
    }


def _milliseconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()  # type: ignore[union-attr]
    return round(float(number) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit], 2)


async def poll_from_python(server: Server, path: str, rate: float, seconds: float) -> dict[str, float]:
    """Open loop: each request is sent at its time, whether or not the one before was answered."""
    times: list[float] = []
    async with httpx.AsyncClient(base_url=server.base, headers=server.headers, timeout=60) as client:

        async def one(due: float) -> None:
            await client.get(path)
            times.append(time.monotonic() - due)

        started = time.monotonic()
        tasks = []
        for number in range(int(rate * seconds)):
            due = started + number / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            tasks.append(asyncio.create_task(one(due)))
        await asyncio.gather(*tasks)
    return {
        "p50_ms": round(percentile(times, 0.5) * 1000, 2),
        "p99_ms": round(percentile(times, 0.99) * 1000, 2),
        "sent_per_second": round(len(times) / seconds, 2),
    }


def measure(rate: float, seconds: float) -> dict[str, Any]:
    results: dict[str, Any] = {
        "requests_per_second": rate,
        "sent_by": "wrk" if shutil.which("wrk") else "python",
        "load_average_at_start": round(os.getloadavg()[0], 1),
    }
    server = Server(inside=False)
    try:
        product = server.product()
        path = f"{BASE}/products/{product}"
        results["engine_idle"] = poll(server, path, rate, seconds)
        path = f"{BASE}/generations/{server.queue(product, 20)}"
        time.sleep(5)
        results["engine_busy_in_its_process"] = poll(server, path, rate, seconds)
    finally:
        server.close()
    server = Server(inside=True)
    try:
        path = f"{BASE}/products/{server.product()}"
        results["work_in_the_api_process"] = poll(server, path, rate, seconds)
    finally:
        server.close()
    results["p99_without_the_second_process_over_with_it"] = round(
        results["work_in_the_api_process"]["p99_ms"] / results["engine_busy_in_its_process"]["p99_ms"], 1
    )
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--serve-inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve_inside:
        serve_with_work_inside()
    else:
        write("polling", measure(arguments.rate, arguments.seconds), ("litestar", "uvicorn", "torch"))


if __name__ == "__main__":
    main()
