"""A start with ten thousand jobs in the queue is as good as any other. How fast it is, benchmarks/reliability.py says."""

from __future__ import annotations

import pytest
from drills.restart import with_jobs_waiting
from studio import Studio


@pytest.mark.slow
def test_a_server_with_ten_thousand_jobs_waiting_starts_and_works_on_the_oldest(studio: Studio) -> None:
    with_jobs_waiting(studio, 10_000)
