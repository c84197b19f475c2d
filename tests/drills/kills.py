"""kill -9 at random moments with jobs queued, some of which their clients take back."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import TypeAlias

import httpx
from server import Server
from studio import Orders, Studio

from drills import Done, nobody
from drills.disturbances import Disturbances, no_slot_is_lost, take_back_on_the_way
from pergai.services.orphans import YOUNG_SECONDS

Kill: TypeAlias = Callable[[Studio], None]


def kill_api(studio: Studio) -> None:
    studio.server.kill9_api()
    studio.server.start()


def kill_engine(studio: Studio) -> None:
    studio.server.kill9_engine()


def kill_both(studio: Studio) -> None:
    studio.server.kill9_engine()
    studio.server.kill9_api()
    studio.server.start()


KILLS = (kill_api, kill_engine, kill_both)


def keep_promises_through_kills(
    studio: Studio, *, kills: int, chance: random.Random, done: Done = nobody
) -> Counter[str]:
    """Clients order cut-outs and change their minds about some, while one process or both are killed: every 202 ends completed
    with its file, or as a client wanted it, none twice, and the queue goes on. How many kills met jobs in the engine, and what
    came of the disturbances."""
    for own_photo in (True, False):
        studio.add_product(own_photo=own_photo)
    counts: Counter[str] = Counter()
    disturbances = Disturbances(studio, random.Random(chance.random()))
    orders = Orders(studio)
    orders.start()
    disturbances.start()
    for _ in range(kills):
        # One job completes between two kills: a job that is inside at three crashes in a row, alone, is rightly failed.
        completed = studio.completed()
        studio.wait_until(lambda so_far=completed: studio.completed() > so_far, "nothing completes")
        time.sleep(chance.uniform(0, 0.7))
        counts["kills with jobs inside"] += studio.processing() > 0
        chance.choice(KILLS)(studio)
        done()
    orders.finish()
    disturbances.finish()
    studio.server.wait_ready()
    studio.wait_for_ended(len(studio.promised))
    counts += disturbances.counts + take_back_on_the_way(studio, chance)
    no_slot_is_lost(studio)
    tidy_up(studio)
    mistakes = [line for line in studio.server.log.read_text().splitlines() if "Traceback" in line]
    assert not mistakes, f"a mistake was logged:\n{mistakes[0]}"
    studio.check_nothing_lost_and_nothing_twice()
    return counts


def unready_and_ready_again(server: Server, done: Done = nobody) -> tuple[float, float]:
    """Kill the engine process of an idle server: the seconds until `/readyz` says so, and until it is ready again."""
    died = server.kill9_engine()
    started = time.monotonic()
    with httpx.Client(base_url=server.url) as client:
        while client.get("/readyz").json()["status"] == "ready":
            time.sleep(0.01)
            assert time.monotonic() - started < 30, "nobody noticed"
        unready = time.monotonic() - started
        server.wait_ready()
        assert client.get("/readyz").json()["enginePid"] not in (None, died)
    done()
    return unready, time.monotonic() - started


def kill_with_jobs_inside(studio: Studio, kill: Kill) -> None:
    """One kill that certainly meets jobs in the engine, a moment after others have ended."""
    orders = Orders(studio)
    orders.start()
    # Two are inside: one may end before the kill reaches it.
    studio.wait_until(lambda: studio.ended() > 0 and studio.processing() > 1, "nothing was done")
    kill(studio)
    orders.finish()
    studio.server.wait_ready()
    studio.check_nothing_lost_and_nothing_twice()


def tidy_up(studio: Studio) -> None:
    """`pergai doctor --fix`, after hours. A kill between a file and its row leaves the file, which is removed when it is old."""
    for file in (studio.server.home / "files").rglob("*.*"):
        os.utime(file, times=(time.time() - 2 * YOUNG_SECONDS,) * 2)
    studio.server.command("doctor", "--fix")
