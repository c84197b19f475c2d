"""Uploads: a photo into the library's storage."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, post
from litestar.connection import ASGIConnection
from litestar.datastructures import UploadFile
from litestar.handlers import BaseRouteHandler
from litestar.params import MultipartBody

from pergai.api.problems import Problem, from_anything, problem_responses, to_response
from pergai.api.wire import Reply
from pergai.errors import MalformedRequest, UnsupportedMediaType
from pergai.services.images import Images
from pergai.services.keys import Caller

CHUNK = 1024 * 1024


class UploadForm(msgspec.Struct):
    file: Annotated[UploadFile, msgspec.Meta(description="JPEG, PNG, WebP, TIFF, AVIF, HEIC or BMP")]


class UploadView(Reply):
    image_path: str
    """For `imagePath` of a product."""
    width: int
    height: int
    format: str
    bytes: int


def _no_text(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    """Litestar decodes every part that has no file name, and stumbles over bytes that are no text, or over a charset that
    there is not."""
    if isinstance(error, UnicodeDecodeError) or type(error) is LookupError:
        return to_response(MalformedRequest("a part of the form is not text; the photo's part needs a filename"))
    return from_anything(request, error)


def require_form(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Guard. Raises UnsupportedMediaType."""
    media_type = connection.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "multipart/form-data":
        raise UnsupportedMediaType(f"send multipart/form-data, not {media_type[:100] or 'a body without a type'}")


@post(
    "/uploads",
    guards=[require_form],
    operation_id="uploadImage",
    summary="Upload a photo",
    tags=("Products",),
    responses=problem_responses(400, 401, 403, 413, 415, 422, 507),
    exception_handlers={UnicodeDecodeError: _no_text, LookupError: _no_text},
)
async def upload_image(data: MultipartBody[UploadForm], caller: Caller, images: Images) -> Response[UploadView]:
    image = await images.upload(caller.library, _chunks(data.file))
    view = UploadView(
        image_path=image.key,
        width=image.width,
        height=image.height,
        format=image.media_type.partition("/")[2],
        bytes=image.bytes,
    )
    return Response(view)


async def _chunks(file: UploadFile) -> AsyncIterator[bytes]:
    while chunk := await file.read(CHUNK):
        yield chunk
