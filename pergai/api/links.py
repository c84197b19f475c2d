"""Addresses this server gives out."""

from typing import Any

from litestar import Request

from pergai.storage.signing import Signer

BASE = "/api/external/v1"


class Links:
    """Absolute addresses for one request."""

    def __init__(self, signer: Signer, base: str) -> None:
        self._signer = signer
        self._base = base

    def file(self, library: str, key: str) -> str:
        """A signed URL of a file."""
        return f"{self._base}{self._signer.sign(library, key)}"

    def at(self, path: str) -> str:
        return f"{self._base}{path}"


def provide_links(request: Request[Any, Any, Any]) -> Links:
    """Dependency."""
    public_url: str = request.app.state.public_url
    return Links(request.app.state.signer, public_url or str(request.base_url).rstrip("/"))
