"""The `Prefer: wait=N` header (RFC 7240)."""

import re

_WAIT = re.compile(r"""(?:^|[,;])\s*wait\s*=\s*"?(\d{1,6})"?\s*(?=$|[,;])""", re.IGNORECASE)


def wait_seconds(header: str | None, default: float, longest: float) -> float:
    """How long to wait for a result: what the client prefers, at most `longest`; else `default`."""
    found = _WAIT.search(header or "")
    return min(float(found[1]), longest) if found else default
