"""For whoever runs the server: alive, ready, metrics."""

from typing import Any, Literal

from litestar import Request, Response, get
from litestar.openapi.datastructures import ResponseSpec

from pergai.api.auth import require_key
from pergai.api.problems import problem_responses
from pergai.api.wire import Reply
from pergai.errors import NotFound
from pergai.services.readiness import Readiness
from pergai.settings import Settings
from pergai.telemetry.metrics import Metrics


class HealthView(Reply):
    status: Literal["alive"]


class ReadyView(Reply):
    status: Literal["ready", "not_ready"]
    reasons: list[str]
    """Why not."""
    engine_pid: int | None
    device: str | None
    inside: int
    """Jobs in the engine."""


@get("/healthz", operation_id="health", summary="The process is alive", tags=("Operations",))
async def healthz() -> HealthView:
    return HealthView(status="alive")


@get(
    "/readyz",
    operation_id="ready",
    summary="Database, storage and engine are ready",
    tags=("Operations",),
    responses={503: ResponseSpec(ReadyView, description="Not ready, with the reasons", generate_examples=False)},
)
async def readyz(readiness: Readiness) -> Response[ReadyView]:
    state = await readiness.check()
    view = ReadyView(
        status="not_ready" if state.reasons else "ready",
        reasons=list(state.reasons),
        engine_pid=state.engine_pid,
        device=state.device,
        inside=state.inside,
    )
    headers = {"Retry-After": "2"} if state.reasons else {}
    return Response(view, status_code=503 if state.reasons else 200, headers=headers)


@get(
    "/metrics",
    operation_id="metrics",
    summary="Metrics for Prometheus",
    tags=("Operations",),
    responses={
        200: ResponseSpec(str, media_type="text/plain", generate_examples=False),
        **problem_responses(401, 404),
    },
)
async def get_metrics(request: Request[Any, Any, Any], metrics: Metrics, settings: Settings) -> Response[bytes]:
    if settings.server.metrics == "off":
        raise NotFound("metrics are switched off (server.metrics)")
    if settings.server.metrics == "key":
        await require_key(request, request.route_handler)
    body, content_type = metrics.render()
    return Response(body, media_type=content_type)
