"""Ranges and validators (RFC 9110 §§ 13, 14), as a table."""

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pergai.storage.ranges import plan, strong_etag

ETAG = '"0123abcd"'
TIME = datetime(2026, 11, 25, 1, 2, 3, tzinfo=UTC)
DATE = format_datetime(TIME, usegmt=True)
LATER = "Wed, 25 Nov 2026 01:02:04 GMT"
EARLIER = "Wed, 25 Nov 2026 01:02:02 GMT"

TABLE = [
    # Range, other headers, expected (status, first byte, bytes)
    (None, {}, (200, 0, 1000)),
    ("bytes=0-0", {}, (206, 0, 1)),
    ("bytes=0-499", {}, (206, 0, 500)),
    ("bytes=500-", {}, (206, 500, 500)),
    ("bytes=999-", {}, (206, 999, 1)),
    ("bytes=0-", {}, (206, 0, 1000)),
    ("bytes=0-999999999999", {}, (206, 0, 1000)),
    ("bytes=-1", {}, (206, 999, 1)),
    ("bytes=-1000", {}, (206, 0, 1000)),
    ("bytes=-99999", {}, (206, 0, 1000)),
    ("Bytes=0-1", {}, (206, 0, 2)),
    ("bytes= 0-1 ", {}, (206, 0, 2)),
    # not satisfiable
    ("bytes=1000-", {}, (416, 0, 0)),
    ("bytes=1000-2000", {}, (416, 0, 0)),
    ("bytes=-0", {}, (416, 0, 0)),
    # several, malformed or of another unit: ignored
    ("bytes=0-1,4-5", {}, (200, 0, 1000)),
    ("bytes=0-1,", {}, (200, 0, 1000)),
    ("bytes=5-4", {}, (200, 0, 1000)),
    ("bytes=-", {}, (200, 0, 1000)),
    ("bytes=", {}, (200, 0, 1000)),
    ("bytes", {}, (200, 0, 1000)),
    ("", {}, (200, 0, 1000)),
    ("bytes=a-b", {}, (200, 0, 1000)),
    ("bytes=--1", {}, (200, 0, 1000)),
    ("bytes=+0-1", {}, (200, 0, 1000)),
    ("bytes=0x0-0x1", {}, (200, 0, 1000)),
    ("bytes=٠-١", {}, (200, 0, 1000)),
    ("bytes=0-" + "9" * 5000, {}, (200, 0, 1000)),
    ("items=0-1", {}, (200, 0, 1000)),
    # If-Range
    ("bytes=0-1", {"if-range": ETAG}, (206, 0, 2)),
    ("bytes=0-1", {"if-range": '"other"'}, (200, 0, 1000)),
    ("bytes=0-1", {"if-range": f"W/{ETAG}"}, (200, 0, 1000)),
    ("bytes=0-1", {"if-range": DATE}, (206, 0, 2)),
    ("bytes=0-1", {"if-range": EARLIER}, (200, 0, 1000)),
    ("bytes=0-1", {"if-range": LATER}, (200, 0, 1000)),
    ("bytes=0-1", {"if-range": "yesterday"}, (200, 0, 1000)),
    ("bytes=1000-", {"if-range": '"other"'}, (200, 0, 1000)),
    # validators
    (None, {"if-none-match": ETAG}, (304, 0, 0)),
    (None, {"if-none-match": f"W/{ETAG}"}, (304, 0, 0)),
    (None, {"if-none-match": f'"a", {ETAG} , "b"'}, (304, 0, 0)),
    (None, {"if-none-match": "*"}, (304, 0, 0)),
    (None, {"if-none-match": '"other"'}, (200, 0, 1000)),
    (None, {"if-none-match": ETAG.strip('"')}, (200, 0, 1000)),
    (None, {"if-none-match": ""}, (200, 0, 1000)),
    (None, {"if-modified-since": DATE}, (304, 0, 0)),
    (None, {"if-modified-since": LATER}, (304, 0, 0)),
    (None, {"if-modified-since": EARLIER}, (200, 0, 1000)),
    (None, {"if-modified-since": "no date"}, (200, 0, 1000)),
    (None, {"if-modified-since": "Wed, 25 Nov 99999 01:02:03 GMT"}, (200, 0, 1000)),
    (None, {"if-none-match": '"other"', "if-modified-since": LATER}, (200, 0, 1000)),
    ("bytes=0-1", {"if-none-match": ETAG}, (304, 0, 0)),
    ("bytes=0-1", {"if-none-match": '"other"'}, (206, 0, 2)),
]


@pytest.mark.parametrize(("wanted", "others", "expected"), TABLE, ids=lambda value: str(value)[:40])
def test_the_table_of_the_rfc(wanted: str | None, others: dict[str, str], expected: tuple[int, int, int]) -> None:
    headers = others if wanted is None else {"range": wanted, **others}

    answer = plan(headers, 1000, ETAG, TIME.timestamp())

    assert (answer.status, answer.start, answer.length) == expected


def test_a_partial_answer_says_which_part() -> None:
    headers = plan({"range": "bytes=-300"}, 1000, ETAG, TIME.timestamp()).headers

    assert headers == {
        "ETag": ETAG,
        "Accept-Ranges": "bytes",
        "Last-Modified": DATE,
        "Content-Range": "bytes 700-999/1000",
        "Content-Length": "300",
    }


def test_an_unsatisfiable_range_is_told_the_size() -> None:
    assert plan({"range": "bytes=1000-"}, 1000, ETAG).headers["Content-Range"] == "bytes */1000"


def test_not_modified_has_validators_and_no_length() -> None:
    headers = plan({"if-none-match": ETAG}, 1000, ETAG, TIME.timestamp()).headers

    assert headers == {"ETag": ETAG, "Accept-Ranges": "bytes", "Last-Modified": DATE}


def test_a_range_is_for_get_only() -> None:
    answer = plan({"range": "bytes=0-1"}, 1000, ETAG, method="HEAD")

    assert (answer.status, answer.headers["Content-Length"]) == (200, "1000")


@pytest.mark.parametrize(("wanted", "status"), [("bytes=0-", 416), ("bytes=-5", 200), ("bytes=-0", 416)])
def test_an_empty_file_has_no_first_byte(wanted: str, status: int) -> None:
    assert plan({"range": wanted}, 0, ETAG).status == status


@settings(derandomize=True, max_examples=1000, deadline=None)
@given(st.text(max_size=20) | st.from_regex(r"bytes=[0-9]{0,4}-[0-9]{0,4}", fullmatch=True), st.integers(0, 5000))
def test_whatever_is_asked_for_lies_inside_the_file(wanted: str, size: int) -> None:
    answer = plan({"range": wanted}, size, ETAG)

    assert answer.status in (200, 206, 416)
    assert 0 <= answer.start <= answer.start + answer.length <= size
    if answer.status == 206:
        last = answer.start + answer.length - 1
        assert answer.length > 0
        assert answer.headers["Content-Range"] == f"bytes {answer.start}-{last}/{size}"


def test_a_tag_changes_with_the_content() -> None:
    assert strong_etag(sha256="ab") == '"ab"'
    assert strong_etag(size=1, mtime_ns=2) != strong_etag(size=2, mtime_ns=1) != strong_etag(size=1, mtime_ns=3)
