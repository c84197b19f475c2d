"""A disk that takes nothing more for a while, and a process that may open nothing more.

The limit is the kernel's own: RLIMIT_FSIZE of the server's process, below the length of its log of changes. Every commit fails
as on a full disk, at once and in the API process alone.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import psutil
from studio import Orders, Studio, small_photo


@contextmanager
def no_room_for_commits(studio: Studio) -> Iterator[None]:
    log_of_changes = (studio.server.home / "pergai.db-wal").stat().st_size
    process = psutil.Process(studio.server.pid)
    process.rlimit(resource.RLIMIT_FSIZE, (log_of_changes // 2, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        process.rlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def keep_results_while_the_disk_is_full(studio: Studio) -> None:
    """Results that cannot be written down are kept until they can; lists are answered meanwhile, new jobs and uploads refused,
    and taken by the same request when there is room again."""
    Orders(studio, 8).run()
    order: dict[str, Any] = {
        "json": {"productId": studio.product},
        "headers": {"Prefer": "wait=0", "Idempotency-Key": str(uuid4())},
    }
    with no_room_for_commits(studio):
        wait_for_log(
            studio, '"outcome": "completed"', studio.server.log.read_text().count('"outcome": "completed"') + 2
        )
        with studio.client() as client:
            assert client.get("/generations").status_code == 200
            photo = {"file": ("cup.png", small_photo(), "image/png")}
            for refused in (client.post("/tools/remove-bg", **order), client.post("/uploads", files=photo)):
                assert (refused.status_code, refused.json()["code"]) == (507, "storage_full")
        before = studio.ended()
        assert len(list((studio.server.home / "files").rglob("uploads/*"))) == 1, "a refused upload left its file"
    accepted = studio.persist(lambda client: client.post("/tools/remove-bg", **order))
    studio.promised.add(accepted.json()["id"])
    studio.check_nothing_lost_and_nothing_twice()
    assert before < len(studio.promised)


def restart_the_engine_while_the_disk_is_full(studio: Studio) -> None:
    """An engine that dies meanwhile is started again, and its jobs run."""
    Orders(studio, 8).run()
    with no_room_for_commits(studio):
        died = studio.server.kill9_engine()
        wait_for_log(studio, "a job's state could not be written")
        studio.server.wait_until(lambda: studio.server.engine_pid() not in (None, died), 30, "no new engine process")
    studio.check_nothing_lost_and_nothing_twice()


def restart_the_engine_while_no_file_can_be_opened(studio: Studio) -> None:
    """An engine process that cannot be started, for there are too many open files, is started when there are not."""
    process = psutil.Process(studio.server.pid)
    limits = process.rlimit(resource.RLIMIT_NOFILE)
    process.rlimit(resource.RLIMIT_NOFILE, (process.num_fds() - 4, limits[1]))  # what is open stays open
    try:
        died = studio.server.kill9_engine()
        wait_for_log(studio, "could not be started")
    finally:
        process.rlimit(resource.RLIMIT_NOFILE, limits)
    studio.server.wait_until(lambda: studio.server.engine_pid() not in (None, died), 30, "no new engine process")
    Orders(studio, 2).run()
    studio.check_nothing_lost_and_nothing_twice()


def wait_for_log(studio: Studio, words: str, count: int = 1) -> None:
    studio.server.wait_until(
        lambda: studio.server.log.read_text().count(words) >= count, 60, f"nothing logged {words!r}"
    )
