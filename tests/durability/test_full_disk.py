"""While the database cannot be written, or no file opened, nothing is lost, nothing hangs, and all goes on afterwards."""

from __future__ import annotations

import pytest
from drills.full_disk import (
    keep_results_while_the_disk_is_full,
    restart_the_engine_while_no_file_can_be_opened,
    restart_the_engine_while_the_disk_is_full,
)
from studio import Studio


@pytest.mark.slow
def test_a_server_that_may_not_write_or_open_anything_for_a_while_loses_nothing(studio: Studio) -> None:
    keep_results_while_the_disk_is_full(studio)
    restart_the_engine_while_the_disk_is_full(studio)
    restart_the_engine_while_no_file_can_be_opened(studio)
