"""Generations: scenes made here, and the records of everything the tools make."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Controller, Response, get, post
from litestar import Request as HttpRequest
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromQuery, HeaderParameter, JSONBody
from litestar.response import ServerSentEvent
from litestar.response.sse import ServerSentEventMessage

from pergai.api.job_requests import JobRequest, SceneRequest
from pergai.api.links import BASE, Links
from pergai.api.lists import list_response
from pergai.api.prefer import wait_seconds
from pergai.api.problems import problem_responses
from pergai.api.wire import Id, Reply
from pergai.cards.structs import Task
from pergai.db.database import Database
from pergai.errors import FieldError, InvalidRequest
from pergai.ids import parse_id
from pergai.services.events import Events, next_event
from pergai.services.generations import GENERATION_ID, Generations
from pergai.services.keys import Caller
from pergai.settings import Settings

HEARTBEAT_SECONDS = 15.0

Prefer = Annotated[str | None, HeaderParameter(name="Prefer", description="`wait=N`: answer when it has ended")]
IdempotencyHeader = Annotated[
    str | None,
    HeaderParameter(name="Idempotency-Key", description="The same key within 24 hours gives the same generation"),
]


class ErrorView(Reply):
    code: str
    detail: str


class FidelityView(Reply):
    """The receipt: how far the stored picture is from the placed product, inside its matte, in steps of 1/255."""

    max_difference: int
    mean_difference: float
    checked_pixels: int
    against: Literal["source", "relit"] = "source"
    """The source itself, or with `relight` what was made of it on purpose."""


class GenerationView(Reply):
    id: Id
    product_id: Id
    product_ids: list[Id]
    """All products in the picture; `productId` is the first."""
    request_id: Id
    """The same for all variants of one request."""
    rerun_of: Id | None
    """The generation whose request this one repeats."""
    kind: Task
    status: Literal["pending", "processing", "completed", "failed"]
    scene: str | None
    prompt: str | None
    negative_prompt: str | None
    ai_provider: str
    pipeline: str
    model: str | None
    seed: int
    variant: int
    aspect_ratio: str | None
    width: int | None
    height: int | None
    format: str
    preset: str | None
    dpi: int | None
    bit_depth: int
    """Bits a channel."""
    progress: float
    """0 to 1."""
    phase: str | None
    result_image_path: str | None
    """Signed URL."""
    error: ErrorView | None
    notes: list[str]
    """What had to be decided, or could not be followed."""
    words: list[str]
    """The words of the prompt that were used."""
    details: dict[str, Any]
    fidelity: FidelityView | None
    seconds: dict[str, float]
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    variants: list[Id] | msgspec.UnsetType = msgspec.UNSET
    """Ids of all variants, in the answer to a request with `count`."""


class EventView(Reply):
    """One server-sent event; `data` is the record as JSON."""

    event: Literal["progress", "completed", "failed"]
    data: str


def generation_view(
    row: Any, links: Links, generations: Generations, variants: list[str] | None = None
) -> GenerationView:
    report = row.report or {}
    live = generations.live(row.id) if row.status == "processing" else None
    fidelity = report.get("fidelity")
    return GenerationView(
        id=str(row.id),
        product_id=str(row.product_id),
        product_ids=[str(row.product_id), *(other["product"] for other in row.params.get("further", ()))],
        request_id=str(row.request_id),
        rerun_of=str(row.rerun_of) if row.rerun_of else None,
        kind=row.kind,
        status=row.status,
        scene=row.scene,
        prompt=row.prompt,
        negative_prompt=row.negative_prompt,
        ai_provider=row.provider,
        pipeline=row.pipeline,
        model=row.model,
        seed=row.seed,
        variant=row.variant,
        aspect_ratio=row.aspect_ratio,
        width=row.width,
        height=row.height,
        format=row.format,
        preset=row.params.get("preset") or None,
        dpi=row.params.get("dpi") or None,
        bit_depth=row.params.get("bit_depth", 8),
        progress=1.0 if row.status == "completed" else live.progress if live else 0.0,
        phase=live.phase if live else None,
        result_image_path=links.file(row.library, row.result_key) if row.result_key else None,
        error=ErrorView(code=row.error_code, detail=row.error_detail or "") if row.error_code else None,
        notes=report.get("notes", []),
        words=report.get("words", []),
        details=report.get("details", {}),
        fidelity=FidelityView(**fidelity) if fidelity else None,
        seconds=report.get("seconds", {}),
        created_at=row.created_at,
        started_at=row.started_at,
        completed_at=row.completed_at,
        variants=variants if variants is not None else msgspec.UNSET,
    )


class JobDesk:
    """Answers requests that make jobs: makes them durable, waits as the client prefers, 200 when the (first) job has ended,
    else 202."""

    def __init__(
        self,
        caller: Caller,
        links: Links,
        generations: Generations,
        settings: Settings,
        prefer: str | None,
        idempotency_key: str | None,
    ) -> None:
        if idempotency_key is not None and not 1 <= len(idempotency_key) <= 255:
            detail = "Idempotency-Key must have 1 to 255 characters"
            raise InvalidRequest(detail, errors=[FieldError("Idempotency-Key", detail)])
        self._caller = caller
        self._links = links
        self._generations = generations
        self._settings = settings
        self._prefer = prefer
        self._idempotency_key = idempotency_key

    async def answer(self, data: JobRequest, kind: Task, *, default_wait: float = 0.0) -> Response[GenerationView]:
        return await self._answer(
            partial(self._generations.create, self._caller.library, kind, data.asked()), default_wait
        )

    async def answer_again(self, id: UUID | None) -> Response[GenerationView]:
        """A rerun, which waits as the client prefers, else not at all."""
        return await self._answer(partial(self._generations.rerun, self._caller.library, id), 0.0)

    async def _answer(
        self, make: Callable[..., Awaitable[tuple[list[Any], bool]]], default_wait: float
    ) -> Response[GenerationView]:
        generations, library = self._generations, self._caller.library
        seconds = wait_seconds(self._prefer, default_wait, self._settings.tools.max_wait_seconds)
        async with generations.answering(library, self._idempotency_key):
            rows, replayed = await make(
                idempotency_key=self._idempotency_key, waited_for=seconds > 0, base_url=self._links.at("")
            )
            first = await generations.wait(library, rows[0].id, seconds)
        headers = {"Location": f"{BASE}/generations/{first.id}"}
        if self._prefer and "wait" in self._prefer:
            headers["Preference-Applied"] = f"wait={seconds:g}"
        if replayed:
            headers["Idempotent-Replayed"] = "true"
        variants = [str(row.id) for row in rows] if len(rows) > 1 else None
        ended = first.status in ("completed", "failed")
        view = generation_view(first, self._links, generations, variants)
        return Response(view, status_code=200 if ended else 202, headers=headers)


def provide_job_desk(
    caller: Caller,
    links: Links,
    generations: Generations,
    settings: Settings,
    prefer: Prefer = None,
    idempotency_key: IdempotencyHeader = None,
) -> JobDesk:
    """Dependency of every route that makes jobs."""
    return JobDesk(caller, links, generations, settings, prefer, idempotency_key)


JOB_RESPONSES = {
    200: ResponseSpec(GenerationView, description="It has ended", generate_examples=False),
    **problem_responses(400, 401, 403, 404, 409, 413, 422, 429, 503, 507),
}


class GenerationsController(Controller):
    path = "/generations"
    tags = ("Generations",)

    @get(
        operation_id="listGenerations",
        summary="List generations",
        responses={200: ResponseSpec(list[GenerationView]), **problem_responses(401, 422)},
    )
    async def list_generations(
        self,
        request: HttpRequest[Any, Any, Any],
        caller: Caller,
        links: Links,
        database: Database,
        generations: Generations,
        status: FromQuery[Literal["pending", "processing", "completed", "failed"] | None] = None,
        productId: FromQuery[str | None] = None,
        kind: FromQuery[Task | None] = None,
        requestId: FromQuery[str | None] = None,
        limit: FromQuery[int | None] = None,
        cursor: FromQuery[str | None] = None,
    ) -> Response[Any]:
        async def view(rows: Sequence[Any]) -> list[Any]:
            return [generation_view(row, links, generations) for row in rows]

        query = generations.query(
            caller.library,
            status=status,
            kind=kind,
            product_id=_filter_id("productId", productId),
            request_id=_filter_id("requestId", requestId),
        )
        return await list_response(request, database, query, GENERATION_ID, view, limit=limit, cursor=cursor)

    @post(
        operation_id="createGeneration", summary="Put a product into a scene", status_code=202, responses=JOB_RESPONSES
    )
    async def create_generation(self, data: JSONBody[SceneRequest], jobs: JobDesk) -> Response[GenerationView]:
        return await jobs.answer(data, "scene")

    @get(
        "/{generation_id:str}",
        operation_id="getGeneration",
        summary="Retrieve a generation",
        responses=problem_responses(401, 404),
    )
    async def get_generation(
        self, generation_id: str, caller: Caller, links: Links, generations: Generations
    ) -> GenerationView:
        row = await generations.get(caller.library, parse_id(generation_id))
        return generation_view(row, links, generations)

    @post(
        "/{generation_id:str}/cancel",
        operation_id="cancelGeneration",
        summary="Cancel a generation; it ends as failed with the code cancelled",
        status_code=200,
        responses=problem_responses(401, 403, 404),
    )
    async def cancel_generation(
        self, generation_id: str, caller: Caller, links: Links, generations: Generations
    ) -> GenerationView:
        row = await generations.cancel(caller.library, parse_id(generation_id))
        return generation_view(row, links, generations)

    @post(
        "/{generation_id:str}/rerun",
        operation_id="rerunGeneration",
        summary="Make it once more: the same source, seed, pipeline and settings, the same picture",
        status_code=202,
        responses=JOB_RESPONSES,
    )
    async def rerun_generation(self, generation_id: str, jobs: JobDesk) -> Response[GenerationView]:
        return await jobs.answer_again(parse_id(generation_id))

    @get(
        "/{generation_id:str}/events",
        operation_id="watchGeneration",
        summary="Progress as server-sent events, until the generation has ended",
        responses={
            200: ResponseSpec(EventView, media_type="text/event-stream", generate_examples=False),
            **problem_responses(401, 404),
        },
    )
    async def watch_generation(
        self, generation_id: str, caller: Caller, links: Links, generations: Generations, events: Events
    ) -> ServerSentEvent:
        row = await generations.get(caller.library, parse_id(generation_id))
        return ServerSentEvent(_events(row, caller.library, links, generations, events))


async def _events(
    row: Any, library: str, links: Links, generations: Generations, events: Events
) -> AsyncIterator[ServerSentEventMessage]:
    """First how it stands, then every change; the last message carries the whole record."""
    with events.listen(row.id) as queue:
        row = await generations.get(library, row.id)
        while row.status not in ("completed", "failed"):
            view = generation_view(row, links, generations)
            yield ServerSentEventMessage(data=msgspec.json.encode(view).decode(), event="progress")
            event = await next_event(queue, HEARTBEAT_SECONDS)
            while event == "silence":
                yield ServerSentEventMessage(comment="still here", data=None)  # with data it would be an event
                event = await next_event(queue, HEARTBEAT_SECONDS)
            if event == "closed":
                return
            if event.status != row.status:  # progress is not in the row, and watchers may be many
                row = await generations.get(library, row.id)
    view = generation_view(row, links, generations)
    yield ServerSentEventMessage(data=msgspec.json.encode(view).decode(), event=row.status)


def _filter_id(name: str, text: str | None) -> Any:
    if text is None:
        return None
    id = parse_id(text)
    if id is None:
        detail = f"{name} must be a UUID"
        raise InvalidRequest(detail, errors=[FieldError(name, detail)])
    return id
