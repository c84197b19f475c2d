"""One bad job fails alone: its neighbours complete, and the queue goes on. `PERGAI_TEST_BATCHES` poisons more."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from drills.poison import fail_alone
from studio import Orders, Studio, small_photo

BATCHES = int(os.environ.get("PERGAI_TEST_BATCHES", "200"))


def vanish(file: Path) -> None:
    file.unlink()


def turn_to_garbage(file: Path) -> None:
    file.write_bytes(os.urandom(5000))


def become_a_link(file: Path) -> None:
    file.rename(file.with_suffix(".kept"))
    file.symlink_to(file.with_suffix(".kept"))


@pytest.mark.slow
@pytest.mark.parametrize("spoil", [vanish, turn_to_garbage, become_a_link])
def test_a_source_that_was_spoilt_on_the_disk_fails_its_own_job_only(
    spoil: Callable[[Path], None], studio: Studio
) -> None:
    with studio.client() as client:
        path = client.post("/uploads", files={"file": ("x.png", small_photo())}).json()["imagePath"]
        body = {"name": "Spoilt", "category": "home", "imagePath": path}
        spoilt = client.post("/products", json=body).json()["id"]
        spoil(studio.server.home / "files" / "default" / path)
        bad = client.post("/tools/remove-bg", json={"productId": spoilt}, headers={"Prefer": "wait=0"}).json()["id"]
    Orders(studio, 7).run()

    studio.wait_for_ended(8)
    records = {record["id"]: record for record in studio.records()}
    assert records[bad]["status"] == "failed"
    assert records[bad]["error"]["code"] == "source_unreadable"
    assert {records[id]["status"] for id in studio.promised} == {"completed"}


@pytest.mark.slow
def test_a_poisoned_job_in_a_batch_of_eight_fails_alone() -> None:
    fail_alone(BATCHES, random.Random(20261125))
