"""Cross-origin requests: which web pages may call the API from a browser. None, unless `server.cors_origins` names them."""

from litestar.config.cors import CORSConfig

EXPOSED = [
    "Content-Disposition",
    "ETag",
    "Idempotent-Replayed",
    "Link",
    "Location",
    "Preference-Applied",
    "Retry-After",
    "X-Request-ID",
]
"""Headers of an answer that a page may read, beyond those that every page may."""


def cors_config(origins: str) -> CORSConfig | None:
    """`origins` is as in ServerSettings. The API takes keys, never cookies, so credentials stay off."""
    named = [origin.strip().rstrip("/") for origin in origins.split(",") if origin.strip()]
    return CORSConfig(allow_origins=named, expose_headers=EXPOSED) if named else None
