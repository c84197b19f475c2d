"""HEAD on every route that answers GET: the same status and headers, and no body."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

Scope: TypeAlias = dict[str, Any]
Message: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

OWN_HEAD = "/files/"
"""Routes below answer HEAD themselves, without reading the file."""


class HeadAsGet:
    """Around the whole application: Litestar looks at the method before any middleware of its own."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["method"] == "HEAD" and not scope["path"].startswith(OWN_HEAD):
            await self._head(scope, receive, send)
        else:
            await self._app(scope, receive, _naming_head(send))

    async def _head(self, scope: Scope, receive: Receive, send: Send) -> None:
        answered = False

        async def receive_until_answered() -> Message:
            if answered:  # a stream must not go on for nobody
                return {"type": "http.disconnect"}
            return await receive()

        async def send_headers_only(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                answered = True

        await self._app({**scope, "method": "GET"}, receive_until_answered, _naming_head(send_headers_only))


def _naming_head(send: Send) -> Send:
    """A 405 that allows GET allows HEAD."""

    async def named(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 405:
            message["headers"] = [
                (name, value + b", HEAD" if name.lower() == b"allow" and b"GET" in value.split(b", ") else value)
                for name, value in message["headers"]
            ]
        await send(message)

    return named
