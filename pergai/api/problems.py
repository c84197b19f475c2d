"""Every error a client sees: RFC 9457 problem details with a stable `code`, and for 422 the wrong fields.

One shape, one table: `pergai/errors.py` has the codes.
"""

import errno
import re
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi.datastructures import ResponseSpec

from pergai.errors import (
    FieldError,
    InvalidRequest,
    MalformedRequest,
    MethodNotAllowed,
    NotFound,
    PergaiError,
    StorageFull,
    TooLarge,
    Unauthorized,
    UnsupportedMediaType,
)

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

_ABOUT_A_FIELD = re.compile(r"Object (?:missing required|contains unknown) field `(.*)`", re.DOTALL)
"""msgspec's words for a field that is not where it should be; the path it gives leads to the object around it."""


class FieldProblem(msgspec.Struct, frozen=True):
    pointer: str
    detail: str


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[FieldProblem] | None = None


def problem_responses(*statuses: int) -> dict[int, ResponseSpec]:
    """For a route's OpenAPI: it may answer with these errors, and as every route with 400 (else Litestar adds its own)."""
    return {
        status: ResponseSpec(Problem, description="Problem details", media_type=MEDIA_TYPE, generate_examples=False)
        for status in sorted({400, *statuses})
    }


def from_pergai(request: Request[Any, Any, Any], error: PergaiError) -> Response[Problem]:
    if error.status == 507:
        log.warning("refused: the disk is full", path=request.url.path, reason=str(error.__cause__ or error.detail))
    elif error.status >= 500 and error.status != 503:
        log.exception("request failed", path=request.url.path, code=error.code)
    return to_response(error)


def from_http(request: Request[Any, Any, Any], error: HTTPException) -> Response[Problem]:
    """Litestar's own errors: an unknown route, a wrong method, a body that does not parse or does not fit."""
    if error.status_code >= 500:
        log.error("request failed unexpectedly", path=request.url.path, exc_info=error)
    return to_response(_translate(error))


def from_anything(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        return from_pergai(
            request, StorageFull("the disk of the server takes nothing more; try again when there is room")
        )
    log.error("request failed unexpectedly", path=request.url.path, exc_info=error)
    return to_response(PergaiError("something went wrong here; the server's log says what"))


def to_response(error: PergaiError) -> Response[Problem]:
    body = Problem(
        type=f"urn:pergai:problem:{error.code}",
        title=error.title,
        status=error.status,
        detail=error.detail,
        code=error.code,
        errors=[FieldProblem(field.pointer, field.detail) for field in error.errors] or None,
    )
    return Response(body, status_code=error.status, media_type=MEDIA_TYPE, headers=error.headers)


def _translate(error: HTTPException) -> PergaiError:
    if isinstance(error, ValidationException):
        return _invalid(error)
    kinds: dict[int, type[PergaiError]] = {
        400: MalformedRequest,
        404: NotFound,
        405: MethodNotAllowed,
        413: TooLarge,
        415: UnsupportedMediaType,
    }
    if error.status_code == 401:
        return Unauthorized(error.detail)
    kind = kinds.get(error.status_code, PergaiError)
    details = {
        404: "there is nothing at this address",
        405: "this address does not take this method",
        413: "the body is larger than this address takes",
    }
    headers = error.headers or {}
    return kind(details.get(error.status_code) or str(error.detail), headers=headers)


def _invalid(error: ValidationException) -> PergaiError:
    fields = []
    for item in error.extra or []:
        if isinstance(item, dict):
            key, message = str(item.get("key") or ""), str(item.get("message", ""))
            pointer = key if item.get("source") in ("query", "header", "cookie") else _pointer(key)
            if (about := _ABOUT_A_FIELD.match(message)) is not None:
                pointer += "/" + about[1].replace("~", "~0").replace("/", "~1")
            fields.append(FieldError(pointer, message))
    if not fields:
        return InvalidRequest(str(error.detail))
    detail = "; ".join(f"{field.pointer or 'body'}: {field.detail}" for field in fields)
    return InvalidRequest(detail, errors=fields)


def _pointer(key: str) -> str:
    """Litestar's `data.placement.scale` or `placement.scale` as a JSON pointer."""
    parts = [part for part in key.replace("[", ".").replace("]", "").split(".") if part and part != "data"]
    return "".join(f"/{part}" for part in parts)
