"""Reading bodies: what Litestar's own request answers with 500, or does not look at."""

from collections.abc import AsyncGenerator
from typing import Any

from litestar import Request
from litestar.exceptions import InternalServerException

from pergai.errors import MalformedRequest, UnsupportedMediaType


class BodyRequest(Request[Any, Any, Any]):
    """A request whose JSON body must say that it is JSON, if it says anything."""

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """Raises MalformedRequest when the client goes away; nobody will read the answer, and it is no error of the server."""
        try:
            async for chunk in super().stream():
                yield chunk
        except InternalServerException as error:
            raise MalformedRequest("the connection ended before the body did") from error

    async def json(self) -> Any:
        """Raises UnsupportedMediaType, MalformedRequest."""
        media_type = self.content_type[0]
        if media_type and media_type != "application/json" and not media_type.endswith("+json"):
            raise UnsupportedMediaType(f"send application/json, not {media_type[:100]}")
        try:
            return await super().json()
        except UnicodeDecodeError as error:
            raise MalformedRequest(f"the body is not UTF-8: {error.reason} at byte {error.start}") from error
        except RecursionError as error:
            raise MalformedRequest("the body is nested too deeply") from error
