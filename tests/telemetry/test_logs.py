"""What a log line carries, and what it must never carry."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from pergai.telemetry import logs

KEY = "pk_0123456789abcdefghijABCDEFGHIJ0123456789"


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    root = logging.getLogger()
    before = root.handlers, root.level
    logs.configure("info", "json")
    yield lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    root.handlers, root.level = before
    structlog.reset_defaults()


def test_a_line_is_json_with_time_level_and_logger(lines: Callable[[], list[dict[str, Any]]]) -> None:
    structlog.get_logger("pergai.test").info("hello", number=7)
    (line,) = lines()
    assert {"event": "hello", "level": "info", "logger": "pergai.test", "number": 7}.items() <= line.items()
    assert line["timestamp"].endswith("Z")


def test_lines_of_the_standard_library_go_the_same_way(lines: Callable[[], list[dict[str, Any]]]) -> None:
    with logs.context(request_id="r-1"):
        logging.getLogger("uvicorn.error").warning("slow %s", "client")
    (line,) = lines()
    assert (line["event"], line["logger"], line["request_id"]) == ("slow client", "uvicorn.error", "r-1")


def test_ids_are_on_every_line_inside_their_block_and_on_none_after_it(
    lines: Callable[[], list[dict[str, Any]]],
) -> None:
    log = structlog.get_logger("pergai.test")

    async def task() -> None:
        log.info("inside a task")

    async def main() -> None:
        with logs.context(request_id="r-1", library="studio"):
            await asyncio.create_task(task())
            with logs.context(generation_id="g-1"):
                log.info("deeper")
        log.info("after")

    asyncio.run(main())
    inside, deeper, after = lines()
    assert (inside["request_id"], inside["library"], inside.get("generation_id")) == ("r-1", "studio", None)
    assert (deeper["request_id"], deeper["generation_id"]) == ("r-1", "g-1")
    assert not {"request_id", "generation_id", "library"} & after.keys()


@pytest.mark.parametrize(
    "fields",
    [
        {"authorization": f"Bearer {KEY}"},
        {"Authorization": "Basic abc"},
        {"key": KEY},
        {"api_key": "anything"},
        {"detail": f"the key {KEY} is not known"},
        {"headers": {"authorization": KEY, "x-api-key": KEY}},
        {"urls": [f"/files/a.png?expires=1&signature={KEY}"]},
        {"webhook": "whsec_0123456789abcdef0123456789abcdef"},
    ],
)
def test_secrets_never_reach_a_line(fields: dict[str, Any], lines: Callable[[], list[dict[str, Any]]]) -> None:
    structlog.get_logger("pergai.test").info("request", **fields)
    (line,) = lines()
    text = json.dumps(line)
    assert logs.REDACTED in text
    assert not any(secret in text for secret in (KEY, "abc", "anything", "0123456789abcdef"))


def test_a_secret_in_a_message_or_in_a_traceback_is_taken_out(lines: Callable[[], list[dict[str, Any]]]) -> None:
    logging.getLogger("uvicorn.access").info('GET /files/a.png?kid=1&signature=topsecret HTTP/1.1" 200')
    try:
        raise ValueError(f"bad {KEY}")
    except ValueError:
        structlog.get_logger("pergai.test").exception("failed")
    access, failed = lines()
    assert "topsecret" not in access["event"]
    assert "kid=1" in access["event"]
    assert KEY not in failed["exception"]
    assert "ValueError: bad" in failed["exception"]


def test_a_prompt_is_cut_at_info_and_whole_at_debug(lines: Callable[[], list[dict[str, Any]]]) -> None:
    prompt = "a secret campaign on a marble table in Lisbon, never shown before"
    structlog.get_logger("pergai.test").info("generation", prompt=prompt)
    logs.configure("debug", "json")
    structlog.get_logger("pergai.test").debug("generation", prompt=prompt)
    cut, whole = lines()
    assert cut["prompt"] == f"{prompt[:24]}… ({len(prompt)} characters)"
    assert whole["prompt"] == prompt


def test_lines_below_the_level_are_not_written(lines: Callable[[], list[dict[str, Any]]]) -> None:
    logs.configure("warning", "json")
    structlog.get_logger("pergai.test").info("quiet")
    logging.getLogger("litestar").info("quiet")
    structlog.get_logger("pergai.test").warning("loud")
    assert [line["event"] for line in lines()] == ["loud"]


def test_a_person_gets_plain_words(
    lines: Callable[[], list[dict[str, Any]]], capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("info", "console")
    structlog.get_logger("pergai.test").info("hello", number=7)
    text = capsys.readouterr().err
    assert "hello" in text
    assert not text.startswith("{")


def test_a_traceback_for_a_person_hides_secrets_too(
    lines: Callable[[], list[dict[str, Any]]], capsys: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    logs.configure("info", "console")
    try:
        raise ValueError(f"bad {KEY}")
    except ValueError:
        structlog.get_logger("pergai.test").exception("failed")
    text = capsys.readouterr().err
    assert "ValueError: bad" in text
    assert KEY not in text
    assert not recwarn.list


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="LOUD"):
        logs.configure("loud", "json")
