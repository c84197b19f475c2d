"""The images of all libraries on the disk, `files/<library>/<key>`: durable when a call returns, and never outside a library.

A client's path is a *key*. It is parsed, then opened one segment at a time relative to the folder before it, never joined
as text and never through a symbolic link.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from pergai.errors import InvalidRequest, NotFound
from pergai.ids import new_id
from pergai.paths import Home

MAX_SEGMENTS = 8
MAX_CHARS = 200

_SEGMENT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a planted FIFO must not block
_UNKNOWN = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO}  # the file may be there


def parse_key(text: str) -> str:
    """`text` as a key: 1-8 segments of letters, digits, `.`, `_` and `-` that do not begin with a dot, joined by `/`, at most
    200 characters.

    Raises InvalidRequest.
    """
    segments = text.split("/")
    if len(text) > MAX_CHARS or len(segments) > MAX_SEGMENTS or not all(map(_SEGMENT.fullmatch, segments)):
        raise InvalidRequest(
            f"{text[:MAX_CHARS]!r} is not a path inside a library: up to {MAX_SEGMENTS} names of letters, digits, '.', '_' "
            f"and '-', none beginning with a dot, joined by '/', in all at most {MAX_CHARS} characters"
        )
    return text


def parse_library(text: str) -> str:
    """`text` as the name of a library: one segment of a key, at most 64 characters. Raises InvalidRequest."""
    if len(text) > 64 or not _SEGMENT.fullmatch(text):
        raise InvalidRequest(
            f"{text[:64]!r} is not a name of a library: up to 64 letters, digits, '.', '_' and '-', not beginning with a dot"
        )
    return text


class FileStore:
    """Reads, places and removes files by library and key. Safe to use from several threads.

    Every method that takes a library and a key raises InvalidRequest when one of them is malformed. A symbolic link, in
    any place below `files`, counts as nothing.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._durable: set[tuple[str, ...]] = set()

    # --- reading -----------------------------------------------------------------------------------

    def open(self, library: str, key: str) -> BinaryIO:
        """The file, for reading. Raises NotFound."""
        with self._holding_folder(library, key) as (folder, name):
            try:
                fd = os.open(name, _FILE, dir_fd=folder)
            except OSError as error:
                raise _absent(key, error) from error
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise _absent(key)
        return os.fdopen(fd, "rb")

    def size(self, library: str, key: str) -> int:
        """Bytes. Raises NotFound."""
        with self._holding_folder(library, key) as (folder, name):
            try:
                found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            except OSError as error:
                raise _absent(key, error) from error
        if not stat.S_ISREG(found.st_mode):
            raise _absent(key)
        return found.st_size

    def exists(self, library: str, key: str) -> bool:
        try:
            self.size(library, key)
        except NotFound:
            return False
        return True

    def local_path(self, library: str, key: str) -> Path:
        """Where the file lies, for the engine process, which opens it by itself; it need not exist.

        Raises NotFound when a symbolic link is in the way.
        """
        path = self._home.files
        for segment in (parse_library(library), *parse_key(key).split("/")):
            path /= segment
            if path.is_symlink():
                raise _absent(key)
        return path

    def walk(self, library: str | None = None) -> Iterator[tuple[str, str, int]]:
        """Every file as (library, key, bytes), in no order; of one library, or of all."""
        top = self._home.files / parse_library(library) if library is not None else self._home.files
        if not top.is_dir():
            return
        for folder, folders, names, fd in os.fwalk(top, follow_symlinks=False):
            folders[:] = [name for name in folders if _SEGMENT.fullmatch(name)]
            segments = Path(folder).relative_to(self._home.files).parts
            for name in names if segments else ():
                with suppress(OSError):  # removed meanwhile
                    found = os.stat(name, dir_fd=fd, follow_symlinks=False)
                    if stat.S_ISREG(found.st_mode) and _SEGMENT.fullmatch(name):
                        yield segments[0], "/".join((*segments[1:], name)), found.st_size

    # --- writing -----------------------------------------------------------------------------------

    def temp_file(self, suffix: str = "") -> Path:
        """A path for an unfinished file, on the same file system, that nobody else gets. The file is not made."""
        self._home.temp.mkdir(mode=0o700, exist_ok=True)  # there are tools that remove empty folders of this name
        return self._home.temp / f"{new_id()}{suffix}"

    def place(self, temp: Path, library: str, key: str) -> None:
        """Move a finished temporary file to its key, replacing what is there. Once this returns, it survives a power loss."""
        with temp.open("rb") as file:
            os.fsync(file.fileno())
        with self._holding_folder(library, key, make=True) as (folder, name):
            os.rename(temp, name, dst_dir_fd=folder)
            os.fsync(folder)

    def write(self, library: str, key: str, data: bytes) -> None:
        """A small file from memory, as durable as by `place`."""
        temp = self.temp_file()
        try:
            temp.write_bytes(data)
            self.place(temp, library, key)
        finally:
            temp.unlink(missing_ok=True)

    def remove(self, library: str, key: str) -> None:
        """Remove the file for good. One that is not there is fine."""
        with suppress(NotFound), self._holding_folder(library, key) as (folder, name), suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)
            os.fsync(folder)

    def sweep_temp(self, older_than_s: float) -> int:
        """Remove unfinished files that nobody has written to for so long. Returns how many."""
        before = time.time() - older_than_s
        swept = 0
        with os.scandir(self._home.temp) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    if not entry.is_dir(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_mtime <= before:
                        Path(entry.path).unlink()
                        swept += 1
        return swept

    # --- room --------------------------------------------------------------------------------------

    def free_bytes(self) -> int:
        """Room that is left on the disk of the files."""
        disk = os.statvfs(self._home.files)
        return disk.f_bavail * disk.f_frsize

    def sizes(self) -> dict[str, int]:
        """Bytes by kind: images, database, weights, cache, temp, free."""
        database = self._home.database
        return {
            "images": sum(size for _, _, size in self.walk()),
            "database": sum(_tree_bytes(Path(f"{database}{end}")) for end in ("", "-wal", "-shm")),
            "weights": _tree_bytes(self._home.weights),
            "cache": _tree_bytes(self._home.cache),
            "temp": _tree_bytes(self._home.temp),
            "free": self.free_bytes(),
        }

    # --- folders -----------------------------------------------------------------------------------

    @contextmanager
    def _holding_folder(self, library: str, key: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
        """The folder of the key, open, and the file's name in it. Raises NotFound when it is not there."""
        *folders, name = (parse_library(library), *parse_key(key).split("/"))
        held = os.open(self._home.files, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for depth, segment in enumerate(folders, 1):
                if make:
                    self._make_folder(held, segment, tuple(folders[:depth]))
                try:
                    inner = os.open(segment, _FOLDER, dir_fd=held)
                except OSError as error:
                    raise _absent(key, error) from error
                os.close(held)
                held = inner
            yield held, name
        finally:
            os.close(held)

    def _make_folder(self, parent: int, segment: str, path: tuple[str, ...]) -> None:
        """Make a folder if it is missing. One that is there may have been made a moment ago by another thread, or by a
        process that died before its fsync: so the parent is synced once in each process, not only by the maker."""
        if path in self._durable:
            return
        with suppress(FileExistsError):
            os.mkdir(segment, 0o700, dir_fd=parent)
        os.fsync(parent)
        self._durable.add(path)


def _absent(key: str, error: OSError | None = None) -> NotFound | OSError:
    """What to raise for a file that could not be opened: that it is not there, unless the error says nothing about the file."""
    return error if error is not None and error.errno in _UNKNOWN else NotFound(f"there is no file at {key!r}")


def _tree_bytes(path: Path) -> int:
    """Bytes of a file, or of all files in a folder; 0 when it is not there."""
    total = 0
    try:
        if not path.is_dir():
            return path.stat().st_size
    except FileNotFoundError:
        return 0
    for _, _, names, fd in os.fwalk(path, follow_symlinks=False):
        for name in names:
            with suppress(OSError):
                total += os.stat(name, dir_fd=fd, follow_symlinks=False).st_size
    return total
