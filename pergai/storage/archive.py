"""Images as one ZIP, streamed in constant memory, its length known before its first byte."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from zipstream import ZIP_STORED, ZipStream

from pergai.errors import NotFound
from pergai.storage.files import FileStore

CHUNK_BYTES = 256 * 1024
MANIFEST = "manifest.json"

# zipstream-ng 1.9 writes the ZIP64 end records from this many entries on, but counts them only beyond it.
ZIP64_COUNT = 0xFFFF
ZIP64_END_BYTES = 56 + 20


@dataclass(frozen=True, slots=True)
class Entry:
    """One image of the archive."""

    library: str
    key: str
    title: str = ""
    """Words for its name in the archive; what of them is not fit for a file's name is left out."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """What the manifest tells about it."""


class Archive:
    """A ZIP of the entries, in their order, after a `manifest.json`: `{…about, items: [{file, …}], missing: [{…}]}`.

    Pictures are stored as they are, for they are compressed already. Names are generated, `0001-classic-t-shirt.png`. A file
    that is not there is listed in the manifest as missing; one that vanishes while it is being streamed breaks the stream,
    so that nobody takes half an archive for a whole one. Iterate once; the iterator reads the disk.
    """

    size: int
    """Bytes of the whole archive."""

    def __init__(self, files: FileStore, entries: Iterable[Entry], about: Mapping[str, Any] | None = None) -> None:
        self._files = files
        found: list[tuple[Entry, str, int]] = []
        missing: list[Mapping[str, Any]] = []
        for number, entry in enumerate(entries, 1):
            try:
                found.append((entry, _name(number, entry), files.size(entry.library, entry.key)))
            except NotFound:
                missing.append(entry.about)
        manifest = {
            **(about or {}),
            "items": [{"file": name, **entry.about} for entry, name, _ in found],
            "missing": missing,
        }
        self._zip = ZipStream(compress_type=ZIP_STORED, sized=True)
        self._zip.add(msgspec.json.format(msgspec.json.encode(manifest), indent=2), MANIFEST)
        for entry, name, size in found:
            self._zip.add(self._read(entry), name, size=size)
        self.size = len(self._zip) + (ZIP64_END_BYTES if len(found) + 1 == ZIP64_COUNT else 0)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._zip)

    def _read(self, entry: Entry) -> Iterator[bytes]:
        with self._files.open(entry.library, entry.key) as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk


def _name(number: int, entry: Entry) -> str:
    """A name of our own, unique by its number: safe on every file system."""
    plain = unicodedata.normalize("NFKD", entry.title).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain)[:60].strip("-")
    extension = re.search(r"\.[a-z0-9]{1,8}$", entry.key.lower())
    return f"{number:04d}{'-' if words else ''}{words}{extension[0] if extension else ''}"
