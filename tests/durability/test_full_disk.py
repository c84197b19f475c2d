"""While the database cannot be written nothing is lost, nothing hangs, and all goes on when there is room again."""

from __future__ import annotations

import pytest
from drills.full_disk import keep_results_while_the_disk_is_full, restart_the_engine_while_the_disk_is_full
from studio import Studio


@pytest.mark.slow
def test_results_and_crashes_that_cannot_be_written_down_are_kept_until_they_can(studio: Studio) -> None:
    keep_results_while_the_disk_is_full(studio)
    restart_the_engine_while_the_disk_is_full(studio)
