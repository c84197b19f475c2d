"""The durability tests can fail: each finds the bug that was planted for it."""

from __future__ import annotations

import time

import pytest
from server import Server
from studio import Orders, Studio, open_studio
from test_idempotency import test_a_hundred_equal_requests_at_once_make_one_generation as check_races
from test_kill9 import kill_api, kill_engine


def kill_with_jobs_inside(studio: Studio, kill: object) -> None:
    Orders(studio, 8).run()
    while studio.ended() == 0:
        time.sleep(0.01)
    kill(studio)  # type: ignore[operator]
    studio.server.wait_ready()
    studio.check_nothing_lost_and_nothing_twice()


CHECKS = {
    "lost_lease": lambda studio: kill_with_jobs_inside(studio, kill_api),
    "forgotten_jobs": lambda studio: kill_with_jobs_inside(studio, kill_engine),
    "row_before_file": lambda studio: kill_with_jobs_inside(studio, kill_api),
    "deaf_to_idempotency": check_races,
}


@pytest.mark.slow
@pytest.mark.parametrize("bug", CHECKS)
def test_a_planted_loss_is_found(bug: str) -> None:
    with Server(planted=bug) as server:
        studio = open_studio(server)
        studio.patience_seconds = 25
        with pytest.raises((AssertionError, OSError)):
            CHECKS[bug](studio)


@pytest.mark.slow
def test_without_a_bug_the_same_checks_pass(studio: Studio) -> None:
    kill_with_jobs_inside(studio, kill_api)
    studio.server.wait_ready()
