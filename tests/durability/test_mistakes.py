"""A mistake of the server's own ends the job it meets, and nothing else."""

from __future__ import annotations

import pytest
from server import Server
from studio import open_studio


@pytest.mark.slow
def test_a_result_that_a_bug_keeps_from_the_table_fails_its_job_and_is_logged_once() -> None:
    with Server(planted="unwritable_result") as server:
        studio = open_studio(server)
        with studio.client() as client:
            answer = client.post(
                "/tools/remove-bg", json={"productId": studio.product}, headers={"Prefer": "wait=60"}
            ).json()
            assert (answer["status"], answer["error"]["code"]) == ("failed", "job_failed")
        assert server.log.read_text().count("a result cannot be written down") == 1
        assert "trying again" not in server.log.read_text()
