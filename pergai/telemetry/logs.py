"""Log lines: structlog, as JSON unless a person watches, with the ids of what was being worked on, and without secrets.

`configure` also routes the standard library's loggers (uvicorn, alembic, litestar) through the same processors. Lines go to
stderr; stdout is for what a command answers.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import structlog
from structlog.types import EventDict, Processor, WrappedLogger

REDACTED = "[redacted]"
PROMPT_CHARS = 24
"""So much of a prompt stays readable in a line above DEBUG."""

_SECRET_FIELDS = frozenset(
    {
        "authorization",
        "key",
        "api_key",
        "apikey",
        "token",
        "secret",
        "webhook_secret",
        "password",
        "cookie",
        "signature",
    }
)
_PROMPT_FIELDS = frozenset({"prompt", "custom_prompt", "customprompt", "negative_prompt", "negativeprompt"})
_SECRETS = re.compile(
    r"\b(?:pk_[0-9A-Za-z]{16,}|whsec_[0-9A-Za-z+/=]{16,})"  # our own keys and webhook secrets
    r"|(?<=signature=)[^&\s\"']+"  # of a signed URL
    r"|(?<=[Bb]earer )\S+"
)
_CHATTY = (
    "aiosqlite",
    "alembic",
    "asyncio",
    "httpcore",
    "httpx",
    "multipart",
    "numba",
    "PIL",
    "pyvips",
    "sqlalchemy",
    "urllib3",
)
_OWN_HANDLERS = ("uvicorn", "uvicorn.access", "uvicorn.error", "litestar", "alembic")


def configure(level: str = "info", format: str = "auto") -> None:
    """Set up logging for this process; both are as in `LogSettings`. `auto` writes for a person when stderr is a terminal,
    else JSON lines."""
    console = format == "console" or (format == "auto" and sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,  # so that configuring again reaches loggers of imported modules
    )
    renderer: Processor = structlog.processors.JSONRenderer(default=str)
    if console:
        renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    handler = _ToStderr()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                redact,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in _OWN_HANDLERS:
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True
    for name in _CHATTY:  # their DEBUG tells nothing about pergai, their INFO little
        logging.getLogger(name).setLevel(logging.WARNING)


class _ToStderr(logging.Handler):
    """Writes to what `sys.stderr` is when the line comes, so that whoever redirects it later gets the lines."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except Exception:  # a full disk or a closed pipe must not end the work that was logged
            self.handleError(record)


@contextmanager
def context(*, request_id: str = "", generation_id: str = "", library: str = "") -> Iterator[None]:
    """Every line logged inside the block, also in tasks and threads it starts, carries the ids that are given."""
    given = {"request_id": request_id, "generation_id": generation_id, "library": library}
    with structlog.contextvars.bound_contextvars(**{name: value for name, value in given.items() if value}):
        yield


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Take secrets out of a line, wherever they stand, and shorten prompts unless the line is a DEBUG one."""
    whole_prompts = event.get("level") == "debug"
    return {name: _clean(name, value, whole_prompts) for name, value in event.items()}


def _clean(name: str, value: Any, whole_prompts: bool) -> Any:
    field = name.lower().replace("-", "_")
    if field in _SECRET_FIELDS:
        return REDACTED
    if isinstance(value, str):
        value = _SECRETS.sub(REDACTED, value)
        if field in _PROMPT_FIELDS and not whole_prompts and len(value) > PROMPT_CHARS:
            return f"{value[:PROMPT_CHARS]}… ({len(value)} characters)"
        return value
    if isinstance(value, Mapping):
        return {key: _clean(str(key), inner, whole_prompts) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(name, inner, whole_prompts) for inner in value]
    return value
