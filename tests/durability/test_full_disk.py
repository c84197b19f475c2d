"""While the database cannot be written nothing is lost, nothing hangs, and all goes on when there is room again.

The limit is the kernel's own: RLIMIT_FSIZE of the server's process, below the length of its log of changes. Every commit fails
as on a full disk, at once and in the API process alone.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest
from studio import Orders, Studio


@contextmanager
def no_room_for_commits(studio: Studio) -> Iterator[None]:
    log_of_changes = (studio.server.home / "pergai.db-wal").stat().st_size
    process = psutil.Process(studio.server.pid)
    process.rlimit(resource.RLIMIT_FSIZE, (log_of_changes // 2, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        process.rlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def wait_for_log(studio: Studio, words: str, count: int = 1) -> None:
    studio.server.wait_until(
        lambda: studio.server.log.read_text().count(words) >= count, 60, f"nothing logged {words!r}"
    )


@pytest.mark.slow
def test_results_that_cannot_be_written_down_are_kept_until_they_can(studio: Studio) -> None:
    Orders(studio, 12).run()
    with no_room_for_commits(studio):
        wait_for_log(studio, "a job's state could not be written", 2)
        with studio.client() as client:
            assert client.get("/generations").status_code == 200
            refused = client.post("/tools/remove-bg", json={"productId": studio.product}, headers={"Prefer": "wait=0"})
            assert refused.status_code in (500, 507)
        before = studio.ended()

    studio.check_nothing_lost_and_nothing_twice()
    assert before < len(studio.promised)


@pytest.mark.slow
def test_an_engine_that_dies_meanwhile_is_started_again_and_its_jobs_run(studio: Studio) -> None:
    Orders(studio, 12).run()
    with no_room_for_commits(studio):
        died = studio.server.kill9_engine()
        wait_for_log(studio, "a job's state could not be written")
        studio.server.wait_until(lambda: studio.server.engine_pid() not in (None, died), 30, "no new engine process")

    studio.check_nothing_lost_and_nothing_twice()
