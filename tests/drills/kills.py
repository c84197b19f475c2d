"""kill -9 at random moments with jobs queued."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeAlias

import httpx
from server import Server
from studio import Orders, Studio

from drills import Done, nobody

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
    studio: Studio, kill: Kill, *, jobs: int, kills: int, chance: random.Random, done: Done = nobody
) -> None:
    """Clients order `jobs` cut-outs while `kill` strikes: every 202 ends completed with its file, none twice."""
    before = studio.ended()
    orders = Orders(studio, jobs)
    orders.start()
    for number in range(kills):
        # One job ends between two kills: a job that is inside at three crashes in a row, alone, is rightly failed.
        studio.wait_for_ended(before + min(jobs - 1, number * jobs // (2 * kills)))
        time.sleep(chance.uniform(0, 0.7))
        kill(studio)
        done()
    orders.finish()
    studio.server.wait_ready()
    studio.check_nothing_lost_and_nothing_twice()


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
    """One kill that certainly meets jobs in the engine."""
    Orders(studio, 8).run()
    while studio.ended() == 0:
        time.sleep(0.01)
    kill(studio)
    studio.server.wait_ready()
    studio.check_nothing_lost_and_nothing_twice()
