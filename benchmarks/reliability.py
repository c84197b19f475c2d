"""The drills of tests/drills at length: kills and cancellations, power losses, races, poison, forged URLs, broken uploads, hours
of work.

    python -m benchmarks.reliability [--kills 300 --states 20000 …] [--only kills,races] [--minutes 480]

A drill that finds something is a failure in the results and in the exit status; the others still run. One core is enough; a
kill takes about three seconds of it.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmarks.results_file import percentile, write

TESTS = Path(__file__).resolve().parent.parent / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "durability"), str(TESTS / "contract")]

from drills import Done, bent_urls, broken_uploads, kills, poison, power_loss, races, restart, soak  # noqa: E402
from server import Server  # noqa: E402
from studio import open_studio  # noqa: E402

STRIKES = 30
"""Of one server's life in the kill drill."""
STATES_OF_A_DAY = 2000

Found = dict[str, Any]
"""What a drill has to tell, beside that all was well."""


def _kills(count: int, chance: random.Random, done: Done) -> Found:
    found: Counter[str] = Counter()
    for number in range(-(-count // STRIKES)):
        with Server() as server:
            studio = open_studio(server)
            strikes = min(STRIKES, count - number * STRIKES)
            found += kills.keep_promises_through_kills(studio, kills=strikes, chance=chance, done=done)
            found["jobs"] += len(studio.promised)
    return dict(sorted(found.items()))


def _states(count: int, chance: random.Random, done: Done) -> Found:
    changes = 0
    for number in range(-(-count // STATES_OF_A_DAY)):
        story = power_loss.record_a_day(jobs=6 + 3 * number)
        power_loss.check_states(story, min(STATES_OF_A_DAY, count - number * STATES_OF_A_DAY), chance, done)
        changes += story.changes
    return {"changes_recorded": changes}


def _races(count: int, chance: random.Random, done: Done) -> Found:  # noqa: ARG001
    with Server() as server:
        races.equal_requests(open_studio(server), count, done=done)
    return {"ways": 100}


def _batches(count: int, chance: random.Random, done: Done) -> Found:
    poison.fail_alone(count, chance, done)
    return {"jobs": count * poison.BATCH}


def _urls(count: int, chance: random.Random, done: Done) -> Found:
    with Server() as server:
        studio = open_studio(server)
        with studio.client() as client:
            urls = [product["imagePath"] for product in client.get("/products").json()]
        return {"refused": bent_urls.none_opens_a_file(urls, count, chance, done)}


def _uploads(count: int, chance: random.Random, done: Done) -> Found:
    with Server() as server, open_studio(server).client() as client:
        return {"refused": broken_uploads.are_taken_or_refused_clearly(client, count, chance, done)}


def _engine_kills(count: int, chance: random.Random, done: Done) -> Found:  # noqa: ARG001
    with Server() as server:
        times = [kills.unready_and_ready_again(server, done) for _ in range(count)]
    unready, again = zip(*times, strict=True)
    return {"unready_s_worst": round(max(unready), 2), "serving_again_s_p99": round(percentile(list(again), 0.99), 2)}


def _restarts(count: int, chance: random.Random, done: Done) -> Found:  # noqa: ARG001
    times = []
    for _ in range(count):
        with Server() as server:
            times.append(restart.with_jobs_waiting(open_studio(server), 10_000))
        done()
    ready, ended = zip(*times, strict=True)
    return {"jobs_waiting": 10_000, "ready_s_worst": round(max(ready), 2), "first_job_s_worst": round(max(ended), 2)}


def _cases(count: int, chance: random.Random, done: Done) -> Found:  # noqa: ARG001
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-k", "every_answer", str(TESTS / "contract/test_schema.py")]
    ended = subprocess.run(
        command, env={**os.environ, "PERGAI_TEST_CASES": str(count)}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout[-4000:]
    for _ in range(count):
        done()
    return {}


def _minutes(count: int, chance: random.Random, done: Done) -> Found:
    with Server() as server:
        return soak.work_for(open_studio(server), count, chance, done)


DRILLS: dict[str, tuple[int, str, Callable[[int, random.Random, Done], Found]]] = {
    "states": (2000, "power losses", _states),
    "batches": (1000, "batches of eight with one poisoned job", _batches),
    "races": (50, "idempotency races, a hundred ways", _races),
    "urls": (20_000, "forged URLs over HTTP", _urls),
    "uploads": (2000, "broken uploads", _uploads),
    "engine_kills": (10, "kills of the engine process alone", _engine_kills),
    "restarts": (2, "starts with ten thousand jobs waiting", _restarts),
    "cases": (3000, "schemathesis cases", _cases),
    "kills": (90, "kill -9 with jobs queued, some of them taken back", _kills),
    "minutes": (10, "minutes of mixed work, for the growth of memory", _minutes),
}


def run(counts: dict[str, int], seed: int) -> int:
    """How many drills found something. The results are written after each."""
    results: dict[str, Any] = {"seed": seed, "load_average_at_start": round(os.getloadavg()[0], 1), "drills": {}}
    columns = (TextColumn("{task.description:>48}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn()) as progress:
        for name, count in counts.items():
            _, title, drill = DRILLS[name]
            bar = progress.add_task(title, total=count)
            rounds = 0

            def done(bar: Any = bar) -> None:
                nonlocal rounds
                rounds += 1
                progress.advance(bar)

            started = time.monotonic()
            try:
                found: Found = drill(count, random.Random(f"{seed} {name}"), done)
                failure = None
            except Exception as error:  # the others still run, and the results say it
                found, failure = {}, "".join(traceback.format_exception(error))[-3000:]
                progress.console.print(f"[red]{title}: {error}")
            results["drills"][name] = {
                "done": rounds,
                "asked": count,
                "seconds": round(time.monotonic() - started, 1),
                **found,
                **({"failure": failure} if failure else {}),
            }
            results["failures"] = sum("failure" in found for found in results["drills"].values())
            results["load_average_at_end"] = round(os.getloadavg()[0], 1)
            write("reliability", results, ("litestar", "uvicorn", "sqlalchemy"))  # now: hours may follow
    return int(results["failures"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, (count, title, _) in DRILLS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=count, help=f"{title} (default {count})")
    parser.add_argument("--only", default=",".join(DRILLS), help="which of them, joined by commas")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    counts = {name: getattr(arguments, name) for name in arguments.only.split(",")}
    sys.exit(1 if run({name: count for name, count in counts.items() if count}, arguments.seed) else 0)


if __name__ == "__main__":
    main()
