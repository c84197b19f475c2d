"""Every error a client or a job can see: one class a code, each with its HTTP status and title.

The message says what was wrong and what is allowed, in one sentence. `ERROR_CODES` is the table the
documentation is tested against. Nothing in this module imports the rest of pergai.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field of a request."""

    pointer: str
    """JSON pointer into the request body (RFC 6901), or the name of a query parameter."""

    detail: str
    """What is wrong with it, and what is allowed."""


class PergaiError(Exception):
    """The base of every error that reaches a client as RFC 9457 problem details."""

    status = 500
    code = "internal_error"
    title = "Internal error"

    def __init__(
        self,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})


# --- requests -------------------------------------------------------------------------------------


class Unauthorized(PergaiError):
    status, code, title = 401, "unauthorized", "A valid API key is needed"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": 'Bearer realm="pergai"'})


class ReadOnlyKey(PergaiError):
    status, code, title = 403, "read_only_key", "The API key is read-only"


class InvalidSignature(PergaiError):
    status, code, title = 403, "invalid_signature", "The signed URL is not valid"


class NotFound(PergaiError):
    status, code, title = 404, "not_found", "Not found"


class ProductNotFound(NotFound):
    code, title = "product_not_found", "Product not found"


class GenerationNotFound(NotFound):
    code, title = "generation_not_found", "Generation not found"


class CollectionNotFound(NotFound):
    code, title = "collection_not_found", "Collection not found"


class MethodNotAllowed(PergaiError):
    status, code, title = 405, "method_not_allowed", "Method not allowed"


class NotCompleted(PergaiError):
    status, code, title = 409, "not_completed", "The generation has no result yet"


class StillRunning(PergaiError):
    status, code, title = 409, "idempotency_in_progress", "The first request with this key is still running"


class TooLarge(PergaiError):
    status, code, title = 413, "too_large", "Too large"


class UnsupportedMediaType(PergaiError):
    status, code, title = 415, "unsupported_media_type", "Unsupported media type"


class RangeNotSatisfiable(PergaiError):
    status, code, title = 416, "range_not_satisfiable", "Range not satisfiable"


class MalformedRequest(PergaiError):
    status, code, title = 400, "malformed_request", "The request could not be read"


class InvalidRequest(PergaiError):
    status, code, title = 422, "invalid_request", "The request is not valid"


class UnreadableImage(InvalidRequest):
    code, title = "unreadable_image", "The image could not be read"


class UnknownCategory(InvalidRequest):
    code, title = "unknown_category", "Unknown category"


class UnknownScene(InvalidRequest):
    code, title = "unknown_scene", "Unknown scene"


class UnknownProvider(InvalidRequest):
    code, title = "unknown_provider", "Unknown aiProvider"


class ProviderUnavailable(InvalidRequest):
    code, title = "provider_unavailable", "The aiProvider is not available here"


class PipelineUnavailable(InvalidRequest):
    code, title = "pipeline_unavailable", "The pipeline is not available here any more"


class InvalidRatio(InvalidRequest):
    code, title = "invalid_ratio", "Invalid aspect ratio"


class InvalidResolution(InvalidRequest):
    code, title = "invalid_resolution", "Invalid resolution"


class IdempotencyMismatch(InvalidRequest):
    code, title = "idempotency_mismatch", "The idempotency key was used with another request"


class QuotaExceeded(PergaiError):
    status, code, title = 422, "quota_exceeded", "The library's quota is used up"


class QueueFull(PergaiError):
    status, code, title = 429, "queue_full", "The queue is full"


class RateLimited(PergaiError):
    status, code, title = 429, "rate_limited", "Too many requests"


class ShuttingDown(PergaiError):
    status, code, title = 503, "shutting_down", "The server is shutting down"


class NotReady(PergaiError):
    status, code, title = 503, "not_ready", "The server is not ready"


class StorageFull(PergaiError):
    status, code, title = 507, "storage_full", "The disk is full"


# --- jobs: what `error.code` of a failed generation can be ---------------------------------------


class JobError(PergaiError):
    """Ends one job as failed; takes no other with it."""

    code, title = "job_failed", "The job failed"


class Cancelled(JobError):
    code, title = "cancelled", "Cancelled"


class ProductDeleted(JobError):
    code, title = "product_deleted", "The product was deleted before the job ran"


class ProductAltered(JobError):
    code, title = "product_altered", "The result would have altered the product"


class SourceUnreadable(JobError):
    code, title = "source_unreadable", "The source image could not be read"


class NoProductFound(JobError):
    code, title = "no_product_found", "No product was found in the image"


class OutOfMemory(JobError):
    code, title = "out_of_memory", "The device ran out of memory"


class JobTimedOut(JobError):
    code, title = "timed_out", "The job took too long"


class EngineCrashed(JobError):
    code, title = "engine_crashed", "The engine crashed three times on this job alone"


class UnsafePicture(JobError):
    code, title = "unsafe_picture", "The safety checker refused the picture"


class ModelUnavailable(JobError):
    code, title = "model_unavailable", "A model this job needs is not available"


# --- set-up: what the command line prints ----------------------------------------------------------


class CardError(PergaiError):
    code, title = "invalid_card", "A card is not valid"


class WeightsError(PergaiError):
    code, title = "weights_error", "Weights are missing or not what their card says"


class SettingsError(PergaiError):
    code, title = "invalid_settings", "The settings are not valid"


class HomeLocked(PergaiError):
    code, title = "home_locked", "Another server uses this data folder"


def _all(base: type[PergaiError]) -> list[type[PergaiError]]:
    return [base, *(kind for sub in base.__subclasses__() for kind in _all(sub))]


def error_codes() -> dict[str, type[PergaiError]]:
    """Every code with its class, in the order of this file."""
    return {kind.code: kind for kind in _all(PergaiError)}
