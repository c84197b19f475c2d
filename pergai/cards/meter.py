"""How far a download has come."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

Progress = Callable[[str, int, int], None]
"""Called with a file's name, the bytes done so far and the bytes in all (0 while unknown)."""

CHUNK = 1 << 20
"""Bytes between two reports."""


def metered(chunks: Iterable[bytes], name: str, total: int, progress: Progress, done: int = 0) -> Iterator[bytes]:
    """The chunks themselves, each reported once the caller has written it."""
    progress(name, done, total)
    for chunk in chunks:
        yield chunk
        done += len(chunk)
        progress(name, done, total)
