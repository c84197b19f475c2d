"""The C library's heap."""

from __future__ import annotations

import ctypes

_LIBC = ctypes.CDLL(None)


def trim() -> None:
    """Give back to the system what was freed: glibc keeps it for later, hundreds of MiB of what a net needed for a moment. Takes
    some hundredths of a second, and the next who wants as much as many again."""
    _LIBC.malloc_trim(0)
