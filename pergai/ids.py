"""Ids: UUID version 7 (RFC 9562), so that they sort by the time they were made."""

from __future__ import annotations

import os
import threading
import time
import uuid

_lock = threading.Lock()
_last = 0


def new_id() -> uuid.UUID:
    """A UUIDv7, strictly greater than every one made before it in this process.

    48 bits of Unix milliseconds and 12 bits of sub-millisecond fraction (RFC 9562, method 3), then 62
    random bits.
    """
    global _last
    ns = time.time_ns()
    ticks = (ns // 1_000_000) << 12 | (ns % 1_000_000) * 4096 // 1_000_000
    with _lock:
        ticks = _last = max(ticks, _last + 1)
    random = int.from_bytes(os.urandom(8)) & ((1 << 62) - 1)
    value = (ticks >> 12) << 80 | 0x7 << 76 | (ticks & 0xFFF) << 64 | 0b10 << 62 | random
    return uuid.UUID(int=value)


def parse_id(text: str) -> uuid.UUID | None:
    """The UUID in its canonical form, or None when `text` is not one."""
    try:
        value = uuid.UUID(text)
    except ValueError:
        return None
    return value if str(value) == text.lower() else None
