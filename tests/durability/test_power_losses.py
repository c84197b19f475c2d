"""A day of a server, recorded write by write, and the power lost at hundreds of its moments. `PERGAI_TEST_STATES` takes more."""

from __future__ import annotations

import os
import random

import pytest
import recorder
from drills.power_loss import check_states, record_a_day

pytestmark = pytest.mark.skipif(not recorder.possible(), reason="this Python hides its SQLite")

STATES = int(os.environ.get("PERGAI_TEST_STATES", "500"))


@pytest.mark.slow
def test_what_was_promised_is_there_after_a_power_loss_at_any_moment() -> None:
    check_states(record_a_day(), STATES, random.Random(20261125))


@pytest.mark.slow
@pytest.mark.parametrize("bug", ["careless_commits", "dropped_fsync"])
def test_a_planted_loss_is_found(bug: str) -> None:
    with pytest.raises(AssertionError, match="power lost after"):
        check_states(record_a_day(planted=bug, jobs=2), STATES, random.Random(20261125))


@pytest.mark.slow
def test_an_answer_before_its_row_is_on_the_disk_is_found() -> None:
    """By the client, who cannot read what it wrote, or by the power loss."""
    with pytest.raises(AssertionError):
        check_states(record_a_day(planted="early_answer", jobs=2), STATES, random.Random(20261125))
