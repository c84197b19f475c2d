"""Uploads: a photo into the library's storage."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, post
from litestar.datastructures import UploadFile
from litestar.params import MultipartBody

from pergai.api.problems import Problem, from_anything, problem_responses, to_response
from pergai.api.wire import Reply
from pergai.errors import MalformedRequest
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


@post(
    "/uploads",
    operation_id="uploadImage",
    summary="Upload a photo",
    tags=("Products",),
    responses=problem_responses(400, 401, 403, 413, 422, 507),
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
