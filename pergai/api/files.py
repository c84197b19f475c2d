"""Images behind signed URLs: Range, ETag, HEAD. A wrong signature opens no file."""

import os
from collections.abc import Iterator
from typing import Any, BinaryIO

from litestar import Request, Response, get, head
from litestar.openapi.datastructures import ResponseSpec
from litestar.response import Stream

from pergai.api.problems import problem_responses
from pergai.errors import RangeNotSatisfiable
from pergai.storage.files import FileStore
from pergai.storage.ranges import Plan, plan, strong_etag
from pergai.storage.signing import Signer

CHUNK = 256 * 1024
MEDIA_TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "avif": "image/avif",
    "tif": "image/tiff",
    "heic": "image/heic",
    "bmp": "image/bmp",
    "psd": "image/vnd.adobe.photoshop",
}
RESPONSES = {
    200: ResponseSpec(bytes, media_type="image/*", generate_examples=False),
    206: ResponseSpec(bytes, description="A part", media_type="image/*", generate_examples=False),
    304: ResponseSpec(None, description="What the client has is still right", generate_examples=False),
    **problem_responses(403, 404, 416),
}


@get(
    "/files/{path:path}",
    operation_id="getFile",
    summary="An image by its signed URL",
    tags=("Files",),
    security=[],
    responses=RESPONSES,
)
async def get_file(request: Request[Any, Any, Any], path: str, files: FileStore, signer: Signer) -> Response[Any]:  # noqa: ARG001
    file, answer, media_type = _open(request, files, signer)
    if answer.status == 304:
        file.close()
        return Response(None, status_code=304, headers=answer.headers)
    return Stream(
        _read(file, answer),
        status_code=answer.status,
        headers=answer.headers,
        media_type=media_type,
    )


@head("/files/{path:path}", operation_id="headFile", include_in_schema=False)
async def head_file(request: Request[Any, Any, Any], path: str, files: FileStore, signer: Signer) -> Response[None]:  # noqa: ARG001
    file, answer, media_type = _open(request, files, signer)
    file.close()
    headers = {**answer.headers, "Content-Type": media_type}
    return Response(None, status_code=answer.status, headers=headers)


def _open(request: Request[Any, Any, Any], files: FileStore, signer: Signer) -> tuple[BinaryIO, Plan, str]:
    """Raises InvalidSignature before anything is opened, NotFound, RangeNotSatisfiable."""
    library, key = signer.verify(request.method, request.url.path, dict(request.query_params.items()))
    file = files.open(library, key)
    stat = os.fstat(file.fileno())
    etag = strong_etag(size=stat.st_size, mtime_ns=stat.st_mtime_ns)
    answer = plan(request.headers, stat.st_size, etag, stat.st_mtime, method=request.method)
    answer.headers.update(
        {
            "Cache-Control": "private, max-age=3600, immutable",
            "Content-Disposition": "inline",
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "default-src 'none'; sandbox",
        }
    )
    if answer.status == 416:
        file.close()
        raise RangeNotSatisfiable(f"the file has {stat.st_size} bytes", headers=answer.headers)
    media_type = MEDIA_TYPES.get(key.rpartition(".")[2].lower(), "application/octet-stream")
    return file, answer, media_type


def _read(file: BinaryIO, answer: Plan) -> Iterator[bytes]:
    with file:
        file.seek(answer.start)
        left = answer.length
        while left > 0 and (chunk := file.read(min(CHUNK, left))):
            left -= len(chunk)
            yield chunk
