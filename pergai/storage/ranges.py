"""Which bytes of a file a request gets: Range, If-Range, If-None-Match and If-Modified-Since (RFC 9110 §§ 13 and 14). Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

_ONE_RANGE = re.compile(r"bytes=[ \t]*([0-9]{0,20})-([0-9]{0,20})[ \t]*", re.IGNORECASE)
_ETAG = re.compile(r'(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")')


@dataclass(frozen=True, slots=True)
class Plan:
    """How to answer."""

    status: int
    """200, 206, 304 or 416."""
    start: int
    """First byte of the body."""
    length: int
    """Bytes of the body."""
    headers: dict[str, str]
    """What the answer carries about caching and ranges, Content-Length included where there is a body."""


def strong_etag(*, sha256: str | None = None, size: int = 0, mtime_ns: int = 0) -> str:
    """A strong validator: of the content where its hash is known, else of its size and time, for files are replaced whole."""
    return f'"{sha256}"' if sha256 else f'"{size:x}-{mtime_ns:x}"'


def plan(
    headers: Mapping[str, str], size: int, etag: str, last_modified: float | None = None, *, method: str = "GET"
) -> Plan:
    """The answer to a GET or HEAD of a file of `size` bytes. `headers` are looked up by lower-case names; `last_modified` is in
    Unix seconds.

    A header that makes no sense is ignored, as the RFC asks. Several ranges are answered with the whole file.
    """
    modified = None if last_modified is None else datetime.fromtimestamp(int(last_modified), UTC)
    common = {"ETag": etag, "Accept-Ranges": "bytes"}
    if modified is not None:
        common["Last-Modified"] = format_datetime(modified, usegmt=True)
    if _not_modified(headers, etag, modified):
        return Plan(304, 0, 0, common)
    found = None
    if method == "GET" and "range" in headers and _range_still_fits(headers.get("if-range"), etag, modified):
        found = _ONE_RANGE.fullmatch(headers["range"].strip())
    if found is None:
        return _whole(size, common)
    first, last = found.groups()
    backwards = first and last and int(first) > int(last)
    if backwards or not (first or last):
        return _whole(size, common)
    if first:
        start, end = int(first), min(int(last), size - 1) if last else size - 1
    else:
        start, end = max(0, size - int(last)), size - 1
        if size == 0 and int(last):
            return _whole(size, common)  # satisfiable, but Content-Range has no form for it
    if start >= size:
        return Plan(416, 0, 0, {**common, "Content-Range": f"bytes */{size}"})
    length = end - start + 1
    return Plan(
        206,
        start,
        length,
        {**common, "Content-Range": f"bytes {start}-{end}/{size}", "Content-Length": str(length)},
    )


def _whole(size: int, common: dict[str, str]) -> Plan:
    return Plan(200, 0, size, {**common, "Content-Length": str(size)})


def _not_modified(headers: Mapping[str, str], etag: str, modified: datetime | None) -> bool:
    """If-None-Match compares weakly and, where it is sent, If-Modified-Since is not looked at (§ 13.2.2)."""
    if (wanted := headers.get("if-none-match")) is not None:
        return wanted.strip() == "*" or etag in _ETAG.findall(wanted)
    since = _parse_date(headers.get("if-modified-since"))
    return since is not None and modified is not None and modified <= since


def _range_still_fits(condition: str | None, etag: str, modified: datetime | None) -> bool:
    """If-Range (§ 13.1.5): a strong entity tag, or the exact date."""
    if condition is None:
        return True
    condition = condition.strip()
    if condition.startswith(('"', "W/")):
        return condition == etag
    return modified is not None and _parse_date(condition) == modified


def _parse_date(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
