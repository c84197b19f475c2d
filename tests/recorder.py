"""Records, inside a server, every change that its API process makes to its disk, in order: so that a power loss can be played
at any moment afterwards (drills/power_loss.py).

SQLite's writes are taken from a shim around its default VFS, by ctypes in the library that Python's sqlite3 uses;
what Python does is taken at `os`. A file of another process (a result, written by the engine) is seen when it is synced or
moved here.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import os
import pickle
import stat
import threading
from pathlib import Path
from typing import Any, Literal, NamedTuple


class Op(NamedTuple):
    """One change. `path` is relative to the data folder."""

    kind: Literal["write", "truncate", "sync", "delete", "content", "rename", "mkdir", "syncdir"]
    path: str
    offset: int = 0
    """Of a write; the size of a truncate."""
    data: bytes = b""
    """Of a write; the whole file of a content; the new path of a rename."""


class Recorder:
    """Appends each change to `log`, one pickle after another."""

    def __init__(self, home: Path, log: Path) -> None:
        self._home = str(home)
        self._file = log.open("ab", buffering=0)
        self._lock = threading.Lock()

    def add(self, kind: Any, path: str, offset: int = 0, data: bytes = b"") -> None:
        if path.startswith(self._home + "/"):
            with self._lock:
                self._file.write(pickle.dumps(Op(kind, path[len(self._home) + 1 :], offset, data)))

    def inside(self, path: str) -> str:
        return path[len(self._home) + 1 :]


def possible() -> bool:
    """Whether SQLite can be reached from outside of Python's sqlite3: not where both are linked into Python itself."""
    return hasattr(_sqlite3, "__file__") and hasattr(ctypes.CDLL(_sqlite3.__file__), "sqlite3_vfs_find")


def record(home: str, log: str) -> None:
    """From now on, in this process."""
    recorder = Recorder(Path(home).resolve(), Path(log))
    _watch_python(recorder)
    _watch_sqlite(recorder)


# --- what Python does -------------------------------------------------------------------------------


def _watch_python(recorder: Recorder) -> None:
    real = {name: getattr(os, name) for name in ("fsync", "rename", "replace", "mkdir", "unlink", "link")}

    def opened(fd: int) -> Path:
        return Path(f"/proc/self/fd/{fd}").readlink()

    def where(path: Any, dir_fd: int | None = None) -> str:
        folder = Path.cwd() if dir_fd is None else opened(dir_fd)
        return os.path.normpath(folder / path)

    def fsync(fd: int) -> None:
        path = opened(fd)
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            recorder.add("syncdir", str(path))
        else:
            recorder.add("content", str(path), data=path.read_bytes())
            recorder.add("sync", str(path))
        real["fsync"](fd)

    def rename(src: Any, dst: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
        old, new = where(src, src_dir_fd), where(dst, dst_dir_fd)
        recorder.add("rename", old, data=recorder.inside(new).encode())
        real["rename"](src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    def mkdir(path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        real["mkdir"](path, mode, dir_fd=dir_fd)
        recorder.add("mkdir", where(path, dir_fd))

    def unlink(path: Any, *, dir_fd: int | None = None) -> None:
        real["unlink"](path, dir_fd=dir_fd)
        recorder.add("delete", where(path, dir_fd))

    def link(src: Any, dst: Any, **options: Any) -> None:
        recorder.add("content", where(dst), data=Path(where(src)).read_bytes())
        recorder.add("sync", where(dst))  # its bytes were synced under the first name
        real["link"](src, dst, **options)

    os.fsync, os.rename, os.replace, os.mkdir, os.unlink, os.link = fsync, rename, rename, mkdir, unlink, link  # type: ignore[assignment]


# --- what SQLite does -------------------------------------------------------------------------------

_P, _I, _I64 = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
# Names stay addresses: SQLite keeps the pointer as long as the file is open, and looks for parameters behind the name.
_OPEN = ctypes.CFUNCTYPE(_I, _P, _P, _P, _I, _P)
_DELETE = ctypes.CFUNCTYPE(_I, _P, _P, _I)
_WRITE = ctypes.CFUNCTYPE(_I, _P, _P, _I, _I64)
_TRUNCATE = ctypes.CFUNCTYPE(_I, _P, _I64)
_SYNC = ctypes.CFUNCTYPE(_I, _P, _I)
_CLOSE = ctypes.CFUNCTYPE(_I, _P)


class _Methods(ctypes.Structure):
    """sqlite3_io_methods (sqlite3.h): what is not watched stays an address."""

    _fields_ = [
        ("version", _I),
        ("close", _CLOSE),
        ("read", _P),
        ("write", _WRITE),
        ("truncate", _TRUNCATE),
        ("sync", _SYNC),
    ] + [(f"other{number}", _P) for number in range(13)]


class _File(ctypes.Structure):
    _fields_ = [("methods", ctypes.POINTER(_Methods))]


class _Vfs(ctypes.Structure):
    """The beginning of sqlite3_vfs."""

    _fields_ = [
        *(("version", _I), ("size", _I), ("longest", _I), ("next", _P), ("name", ctypes.c_char_p), ("data", _P)),
        *(("open", _OPEN), ("delete", _DELETE)),
    ]


_kept: list[Any] = []
"""What SQLite holds addresses of."""


def _watch_sqlite(recorder: Recorder) -> None:
    library = ctypes.CDLL(_sqlite3.__file__)
    library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
    vfs = library.sqlite3_vfs_find(None).contents
    open_file, delete_file = _OPEN(ctypes.cast(vfs.open, _P).value), _DELETE(ctypes.cast(vfs.delete, _P).value)
    paths: dict[int, str] = {}
    watched: dict[int, _Methods] = {}

    def watch(real: _Methods) -> _Methods:
        """The same methods, with those that change a file going through the recorder."""
        close, write, truncate, sync = (
            kind(ctypes.cast(method, _P).value)
            for kind, method in (
                (_CLOSE, real.close),
                (_WRITE, real.write),
                (_TRUNCATE, real.truncate),
                (_SYNC, real.sync),
            )
        )

        def on_close(file: int) -> int:
            paths.pop(file, None)
            return int(close(file))

        def on_write(file: int, data: int, size: int, offset: int) -> int:
            recorder.add("write", paths.get(file, ""), offset, ctypes.string_at(data, size))
            return int(write(file, data, size, offset))

        def on_truncate(file: int, size: int) -> int:
            recorder.add("truncate", paths.get(file, ""), size)
            return int(truncate(file, size))

        def on_sync(file: int, flags: int) -> int:
            recorder.add("sync", paths.get(file, ""))
            return int(sync(file, flags))

        shim = _Methods.from_buffer_copy(real)
        shim.close, shim.write, shim.truncate, shim.sync = (
            _CLOSE(on_close),
            _WRITE(on_write),
            _TRUNCATE(on_truncate),
            _SYNC(on_sync),
        )
        _kept.extend((shim, close, write, truncate, sync, shim.close, shim.write, shim.truncate, shim.sync))
        return shim

    def on_open(itself: int, name: int | None, file: int, flags: int, out: int) -> int:
        answer = int(open_file(itself, name, file, flags, out))
        methods = _File.from_address(file).methods
        if answer == 0 and name and methods:
            paths[file] = ctypes.string_at(name).decode()
            address = ctypes.addressof(methods.contents)
            if address not in watched:
                watched[address] = watch(methods.contents)
            _File.from_address(file).methods = ctypes.pointer(watched[address])
        return answer

    def on_delete(itself: int, name: int, sync_folder: int) -> int:
        path = ctypes.string_at(name).decode()
        answer = int(delete_file(itself, name, sync_folder))
        recorder.add("delete", path)
        if sync_folder:
            recorder.add("syncdir", str(Path(path).parent))
        return answer

    vfs.open, vfs.delete = _OPEN(on_open), _DELETE(on_delete)
    _kept.extend((vfs, open_file, delete_file, vfs.open, vfs.delete))
