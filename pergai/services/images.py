"""Files of a library that have a row: uploads, samples, results. A file is on the disk before its row is."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from pergai.db.database import Database
from pergai.db.tables import Image
from pergai.errors import FieldError, InvalidRequest, NotFound, QuotaExceeded, StorageFull, TooLarge, UnreadableImage
from pergai.ids import new_id
from pergai.imaging.inspect import InspectLimits, inspect_file
from pergai.paths import packaged
from pergai.settings import MIB, Settings
from pergai.storage.files import FileStore, parse_key

SAMPLE_KEY = "products/sample.png"

MEDIA_TYPES = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "tiff": "image/tiff",
    "avif": "image/avif",
    "heic": "image/heic",
    "heif": "image/heic",
    "bmp": "image/bmp",
    "psd": "image/vnd.adobe.photoshop",
}
EXTENSIONS = {"image/jpeg": "jpg", "image/tiff": "tif"}

_I: Any = Image.__table__  # type: ignore[attr-defined]


class Images:
    """Takes files in, and finds them again."""

    def __init__(self, database: Database, files: FileStore, settings: Settings) -> None:
        self._database = database
        self._files = files
        self._settings = settings
        limits = settings.limits
        self._limits = InspectLimits(
            max_bytes=limits.upload_mib * MIB,
            max_pixels=int(limits.megapixels * 1_000_000),
            max_frames=limits.frames,
            seconds=limits.inspect_seconds,
            memory_mib=limits.inspect_memory_mib,
        )
        self._inspecting = asyncio.Semaphore(2)
        self.leaving = asyncio.Lock()
        """Held while a file follows its row out, so that nobody adopts it on its way."""

    def require_room(self) -> None:
        """Raises StorageFull when the disk has too little left to promise anything."""
        if self._files.free_bytes() < self._settings.limits.free_disk_mib * MIB:
            raise StorageFull("the disk of the server is nearly full; nothing new is taken until there is room")

    async def upload(self, library: str, chunks: AsyncIterator[bytes]) -> Image:
        """Take an upload in: decoded whole in a process of its own, then durable under a name of ours.

        Raises TooLarge, UnreadableImage, QuotaExceeded, StorageFull.
        """
        self.require_room()
        temp = self._files.temp_file(".upload")
        try:
            size = 0
            with temp.open("wb") as file:
                async for chunk in chunks:
                    size += len(chunk)
                    if size > self._limits.max_bytes:
                        raise TooLarge(f"an upload may have at most {self._settings.limits.upload_mib} MiB")
                    await asyncio.to_thread(file.write, chunk)
            await self.require_quota(library, size)
            image = await self._inspected(library, temp)
            image.key = f"uploads/{image.id}.{_extension(image.media_type)}"
            return await self._take(library, temp, image)
        finally:
            temp.unlink(missing_ok=True)

    async def find(self, library: str, path: str) -> Image:
        """The image a client names by `imagePath`. A file that the studio put into the library's folder by hand is adopted.

        Raises InvalidRequest naming the field when there is none, or when it does not decode.
        """
        try:
            key = parse_key(path)
            async with self._database.read() as connection:
                row = (
                    await connection.execute(select(_I).where(_I.c.library == library, _I.c.key == key))
                ).one_or_none()
            if row is not None:
                return Image(**row._mapping)
            return await self._adopt(library, key)
        except NotFound as error:
            raise _missing(path) from error
        except InvalidRequest as error:
            error.errors = error.errors or (FieldError("/imagePath", error.detail),)
            raise

    async def require(self, session: AsyncSession, library: str, key: str) -> None:
        """In the transaction that begins to use an image. Raises InvalidRequest when it has gone since it was found."""
        if await session.scalar(select(_I.c.id).where(_I.c.library == library, _I.c.key == key)) is None:
            raise _missing(key)

    async def _adopt(self, library: str, key: str) -> Image:
        if key == SAMPLE_KEY and not self._files.exists(library, key):
            await self.lay_sample(library)
        if not self._files.exists(library, key):
            raise NotFound("no such file")
        try:
            image = await self._inspected(library, self._files.local_path(library, key))
        except (FileNotFoundError, UnreadableImage):
            if self._files.exists(library, key):
                raise
            raise NotFound("the file went away while it was read") from None
        image.key = key
        async with self.leaving:
            if not self._files.exists(library, key):
                raise NotFound("no such file")
            return await self._record(image)

    async def lay_sample(self, library: str) -> None:
        """Put the sample photo into a library that lacks it."""
        if self._files.exists(library, SAMPLE_KEY):
            return
        temp = self._files.temp_file(".png")
        await asyncio.to_thread(shutil.copyfile, packaged("configs") / "sample.png", temp)
        await asyncio.to_thread(self._files.place, temp, library, SAMPLE_KEY)

    async def _inspected(self, library: str, path: Path) -> Image:
        async with self._inspecting:
            info = await asyncio.to_thread(inspect_file, path, limits=self._limits)
        return Image(
            id=new_id(),
            library=library,
            key="",
            sha256=await asyncio.to_thread(file_sha256, path),
            media_type=MEDIA_TYPES[info.format.lower()],
            bytes=path.stat().st_size,
            width=info.width,
            height=info.height,
        )

    async def _take(self, library: str, temp: Path, image: Image) -> Image:
        await asyncio.to_thread(self._files.place, temp, library, image.key)
        try:
            return await self._record(image)
        except StorageFull:  # a file that nobody knows of must not fill the disk further
            await asyncio.to_thread(self._files.remove, library, image.key)
            raise

    async def _record(self, image: Image) -> Image:
        async with self._database.write() as session:
            row = await session.scalar(select(Image).where(_I.c.library == image.library, _I.c.key == image.key))
            if row is not None:
                return row
            session.add(image)
        return image

    async def require_quota(self, library: str, more: int = 0) -> None:
        """Raises QuotaExceeded when the library may not keep `more` bytes."""
        quota = self._settings.limits.storage_gib_per_library
        if not quota:
            return
        async with self._database.read() as connection:
            used = (await connection.execute(select(func.sum(_I.c.bytes)).where(_I.c.library == library))).scalar() or 0
        if used + more >= quota * 1024**3:
            raise QuotaExceeded(f"this library may keep {quota:g} GiB; remove products or ask for more room")


def _missing(path: str) -> InvalidRequest:
    detail = f"there is no image at {path[:200]!r} in this library; POST /uploads answers with an imagePath"
    return InvalidRequest(detail, errors=[FieldError("/imagePath", detail)])


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _extension(media_type: str) -> str:
    return EXTENSIONS.get(media_type, media_type.partition("/")[2])
