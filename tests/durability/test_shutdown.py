"""SIGTERM: who waits is answered, what runs may end, the rest is there after the next start."""

from __future__ import annotations

import signal
import threading
import time

import pytest
from server import Server
from studio import Orders, Studio

ENDED = (0, -signal.SIGTERM)
"""uvicorn raises the signal again when all is done, as a shell expects it."""


@pytest.mark.slow
def test_nothing_is_lost_by_a_shutdown_with_fifty_jobs_queued(studio: Studio) -> None:
    for count in (50, 0):
        orders = Orders(studio, count)
        orders.start()
        orders.finish()
        assert studio.server.sigterm() in ENDED
        assert "drained" in studio.server.log_end()
        assert "Traceback" not in studio.server.log.read_text()
        studio.server.restart()

    studio.check_nothing_lost_and_nothing_twice()


@pytest.mark.slow
def test_a_client_that_waits_is_answered_at_once(studio: Studio) -> None:
    Orders(studio, 30).run()
    answers = []

    def wait_long() -> None:
        with studio.client() as client:
            body = {"productId": studio.product, "background": "#123456"}
            answers.append(client.post("/tools/remove-bg", json=body, headers={"Prefer": "wait=300"}))

    waiting = threading.Thread(target=wait_long, daemon=True)
    waiting.start()
    time.sleep(0.3)
    assert studio.server.sigterm() in ENDED
    waiting.join(10)

    assert [answer.status_code for answer in answers] in ([200], [202])
    studio.promised.add(answers[0].json()["id"])
    studio.server.restart()
    studio.check_nothing_lost_and_nothing_twice()


@pytest.mark.slow
def test_two_servers_never_share_a_data_folder(studio: Studio) -> None:
    second = Server()
    second.set(home=studio.server.home)
    second.start()
    assert second.wait_ended() != 0
    said = second.log.read_text()
    second.close()
    assert str(studio.server.pid) in said
    Orders(studio, 1).run()

    studio.check_nothing_lost_and_nothing_twice()


@pytest.mark.slow
def test_a_server_whose_port_is_taken_says_so_and_shows_no_key(studio: Studio) -> None:
    second = Server()
    second.set(port=studio.server.port)
    second.start()
    assert second.wait_ended() != 0
    said = second.log.read_text()
    second.close()
    assert "address already in use" in said.lower()
    assert "API key" not in said


@pytest.mark.slow
def test_what_does_not_end_in_time_runs_again_after_the_next_start(studio: Studio) -> None:
    studio.server.set(server__drain_seconds=1)
    assert studio.server.sigterm() in ENDED
    studio.server.restart()
    with studio.client() as client:
        body = {"productId": studio.product, "scene": "marble", "resolution": "1024x1024"}
        made = client.post("/generations", json=body, headers={"Prefer": "wait=0"}).json()["id"]
        studio.server.wait_until(
            lambda: client.get(f"/generations/{made}").json()["status"] == "processing", 20, "it does not start"
        )
    assert studio.server.sigterm() in ENDED
    assert '"back_in_queue": 1' in studio.server.log_end()
    studio.server.restart()
    with studio.client() as client:
        studio.server.wait_until(
            lambda: client.get(f"/generations/{made}").json()["status"] in {"completed", "failed"},
            120,
            "it does not end",
        )
        assert client.get(f"/generations/{made}").json()["status"] == "completed"
