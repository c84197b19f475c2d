"""The durability tests can fail: each finds the bug that was planted for it."""

from __future__ import annotations

import pytest
from drills.kills import kill_api, kill_engine, kill_with_jobs_inside
from drills.races import equal_requests
from server import Server
from studio import Studio, open_studio

CHECKS = {
    "lost_lease": lambda studio: kill_with_jobs_inside(studio, kill_api),
    "forgotten_jobs": lambda studio: kill_with_jobs_inside(studio, kill_engine),
    "row_before_file": lambda studio: kill_with_jobs_inside(studio, kill_api),
    "deaf_to_idempotency": lambda studio: equal_requests(studio, 1),
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
