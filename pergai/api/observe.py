"""One ASGI middleware: a request id on every answer and every log line, the metrics of HTTP, one access line."""

import time
import uuid
from typing import Any

import structlog
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from pergai.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

QUIET = ("/healthz", "/readyz", "/metrics")


class Observe(ASGIMiddleware):
    """A client may send its own X-Request-ID (letters, digits, `-_.`, at most 64)."""

    scopes = (ScopeType.HTTP,)

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        request_id = _request_id(scope)
        status = 500
        started = time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await next_app(scope, receive, send_with_id)
            finally:
                seconds = time.perf_counter() - started
                path = _template(scope)
                labels = {"method": str(scope["method"]), "path": path, "status_code": str(status)}  # type: ignore[typeddict-item]
                self._metrics.http_requests_total.labels(**labels).inc()
                self._metrics.http_request_duration_seconds.labels(**labels).observe(seconds)
                write = log.debug if path in QUIET else log.info
                write("request", **labels, seconds=round(seconds, 4))


def _request_id(scope: Any) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            text = value.decode("latin-1")
            if 1 <= len(text) <= 64 and all(char.isascii() and (char.isalnum() or char in "-_.") for char in text):
                return str(text)
    return uuid.uuid4().hex


def _template(scope: Any) -> str:
    """The route's template: `/products/{product_id}`, never an id."""
    return str(scope.get("path_template") or "unmatched")
