"""Who is asking: `Authorization: Bearer pk_…`, on every route of the external API."""

import time
from typing import Any

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from pergai.errors import RateLimited, ReadOnlyKey, Unauthorized
from pergai.services.keys import Caller, Keys

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class RateLimiter:
    """Requests of each key in the current minute."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._minute = 0
        self._counts: dict[str, int] = {}

    def count(self, key: str) -> None:
        """Raises RateLimited."""
        if not self._per_minute:
            return
        now = time.time()
        if (minute := int(now // 60)) != self._minute:
            self._minute, self._counts = minute, {}
        self._counts[key] = self._counts.get(key, 0) + 1
        if self._counts[key] > self._per_minute:
            raise RateLimited(
                f"a key may make {self._per_minute} requests a minute",
                headers={"Retry-After": str(60 - int(now % 60))},
            )


async def require_key(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Guard: find the caller by its key. Raises Unauthorized, ReadOnlyKey, RateLimited."""
    header = connection.headers.get("authorization", "")
    scheme, _space, key = header.partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise Unauthorized("send the header `Authorization: Bearer pk_…`; `pergai keys create NAME` makes a key")
    keys: Keys = connection.app.state["keys"]
    caller = await keys.authenticate(key.strip())
    if caller is None:
        raise Unauthorized("this API key is not known here, or was revoked")
    if caller.read_only and connection.scope.get("method") not in SAFE_METHODS:
        raise ReadOnlyKey("this API key may only read")
    limiter: RateLimiter = connection.app.state.rate_limiter
    limiter.count(str(caller.key_id))
    connection.state.caller = caller


def provide_caller(request: Request[Any, Any, Any]) -> Caller:
    """Dependency: the caller that the guard found."""
    caller: Caller = request.state.caller
    return caller
