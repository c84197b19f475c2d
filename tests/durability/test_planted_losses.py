"""The durability tests can fail: each finds the bug that was planted for it."""

from __future__ import annotations

import random

import pytest
from drills.full_disk import keep_results_while_the_disk_is_full
from drills.kills import keep_promises_through_kills, kill_api, kill_engine, kill_with_jobs_inside
from drills.races import equal_requests
from server import Server
from studio import Studio, open_studio


def wait_for_jobs(studio: Studio) -> None:
    """Who waits for a job is told when it has ended, not before."""
    for number in range(3):
        body = {"productId": studio.product, "background": f"#00000{number}"}
        with studio.client() as client:
            answer = client.post("/tools/remove-bg", json=body, headers={"Prefer": "wait=60"})
        assert (answer.status_code, answer.json()["status"]) == (200, "completed")


CHECKS = {
    "lost_lease": lambda studio: kill_with_jobs_inside(studio, kill_api),
    "forgotten_jobs": lambda studio: kill_with_jobs_inside(studio, kill_engine),
    "row_before_file": lambda studio: kill_with_jobs_inside(studio, kill_api),
    "event_before_row": wait_for_jobs,
    "given_up_result": keep_results_while_the_disk_is_full,
    "deaf_to_idempotency": lambda studio: equal_requests(studio, 1),
}


@pytest.mark.slow
@pytest.mark.parametrize("bug", CHECKS)
def test_a_planted_loss_is_found(bug: str) -> None:
    with Server(planted=bug) as server:
        studio = open_studio(server)
        studio.patience_seconds = 15
        with pytest.raises((AssertionError, OSError)):
            CHECKS[bug](studio)


@pytest.mark.slow
def test_a_place_in_the_engine_that_a_cancelled_job_keeps_is_found() -> None:
    with Server(planted="silent_cancellation") as server:
        studio = open_studio(server)
        studio.patience_seconds = 10
        with pytest.raises(AssertionError, match="jobs that have ended are still in the engine"):
            keep_promises_through_kills(studio, kills=0, chance=random.Random(7))


@pytest.mark.slow
def test_without_a_bug_the_same_checks_pass(studio: Studio) -> None:
    wait_for_jobs(studio)
    studio.promised.update(record["id"] for record in studio.records())
    kill_with_jobs_inside(studio, kill_api)
    studio.server.wait_ready()
