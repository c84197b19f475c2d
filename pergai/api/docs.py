"""OpenAPI: the schema, and a page that works with no internet (Swagger UI lies beside this file)."""

from pathlib import Path

from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import SwaggerRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme, Server
from litestar.static_files import create_static_files_router

from pergai import __version__

STATIC = Path(__file__).parent / "static" / "swagger"
STATIC_PATH = "/schema/static"

DESCRIPTION = """Product photography on your own box: cut-outs, scenes, upscaling, expanding.

Every request needs `Authorization: Bearer pk_…`. Errors are `application/problem+json` (RFC 9457) with a stable `code`.
Requests that make a job honour `Prefer: wait=N` and `Idempotency-Key`.
"""

openapi_config = OpenAPIConfig(
    title="pergai",
    version=__version__,
    description=DESCRIPTION,
    path="/schema",
    use_handler_docstrings=False,
    servers=[Server(url="/")],
    components=Components(security_schemes={"key": SecurityScheme(type="http", scheme="bearer", bearer_format="pk_…")}),
    security=[{"key": []}],
    render_plugins=[
        SwaggerRenderPlugin(
            js_url=f"{STATIC_PATH}/swagger-ui-bundle.js",
            css_url=f"{STATIC_PATH}/swagger-ui.css",
            standalone_preset_js_url=f"{STATIC_PATH}/swagger-ui-standalone-preset.js",
            favicon=f'<link rel="icon" type="image/png" href="{STATIC_PATH}/favicon-32x32.png">',
            path="/",
        )
    ],
)

static_router = create_static_files_router(
    path=STATIC_PATH, directories=[STATIC], include_in_schema=False, name="schema-static"
)
