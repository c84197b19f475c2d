"""What all request and response bodies share: camelCase, unknown fields refused, ids and times as text."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

ShortText = Annotated[str, Meta(min_length=1, max_length=200)]
Prompt = Annotated[str, Meta(max_length=20_000)]
Id = Annotated[str, Meta(max_length=64, description="UUID", examples=["0197f5a0-4c8e-7d3a-9b6f-2f6f3c1e8a55"])]


class Request(msgspec.Struct, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The body of a request."""

    def asked(self) -> dict[str, Any]:
        """The fields by their Python names, nested ones too."""
        builtins: dict[str, Any] = {}
        for name in self.__struct_fields__:
            value = getattr(self, name)
            builtins[name] = value.asked() if isinstance(value, Request) else value
        return builtins


class Reply(msgspec.Struct, kw_only=True, rename="camel"):
    """The body of a response."""
