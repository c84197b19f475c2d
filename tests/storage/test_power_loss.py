"""What a power loss may take: nothing that `place`, `write` or `remove` has returned for.

`Disk` models the file system's promise (POSIX fsync, as ext4 and XFS keep it): a name in a folder lasts once the folder was
synced after the change, a file's bytes last once the file was synced after the write.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pergai.paths import Home
from pergai.storage.files import FileStore
from pergai.storage.signing import Signer


class Disk:
    """Watches this process change folders, and knows what a power loss would take back."""

    def __init__(self, drop_sync: int | None = None) -> None:
        self.syncs = 0
        self._drop_sync = drop_sync
        self._unsynced_names: dict[int, set[str]] = {}
        self._synced_bytes: dict[int, int] = {}
        self._real = {name: getattr(os, name) for name in ("fsync", "mkdir", "rename", "replace", "unlink", "link")}

    @contextmanager
    def watching(self) -> Iterator[None]:
        for name in self._real:
            setattr(os, name, getattr(self, f"_{name}"))
        try:
            yield
        finally:
            for name, real in self._real.items():
                setattr(os, name, real)

    def lasts(self, path: Path, since: Path) -> bool:
        """Whether the file, and every name on the way to it from `since`, survives."""
        names = all(
            part.name not in self._unsynced_names.get(inode(part.parent), ()) for part in self._way(path, since)
        )
        return names and self._synced_bytes.get(inode(path)) == path.stat().st_size

    def gone_for_good(self, path: Path) -> bool:
        return not path.exists() and path.name not in self._unsynced_names.get(inode(path.parent), ())

    def _way(self, path: Path, since: Path) -> list[Path]:
        return [path, *(parent for parent in path.parents if since in parent.parents)]

    def _changed(self, path: str | Path, dir_fd: int | None) -> None:
        folder = inode(Path(path).parent) if dir_fd is None else os.fstat(dir_fd).st_ino
        self._unsynced_names.setdefault(folder, set()).add(Path(path).name)

    def _fsync(self, fd: int) -> None:
        self.syncs += 1
        if self.syncs - 1 == self._drop_sync:
            return
        found = os.fstat(fd)
        self._unsynced_names.pop(found.st_ino, None)
        self._synced_bytes[found.st_ino] = found.st_size
        self._real["fsync"](fd)

    def _mkdir(self, path, mode=0o777, *, dir_fd=None):  # type: ignore[no-untyped-def]
        self._real["mkdir"](path, mode, dir_fd=dir_fd)
        self._changed(path, dir_fd)

    def _rename(self, src, dst, *, src_dir_fd=None, dst_dir_fd=None):  # type: ignore[no-untyped-def]
        self._real["rename"](src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        self._changed(dst, dst_dir_fd)

    def _replace(self, src, dst, *, src_dir_fd=None, dst_dir_fd=None):  # type: ignore[no-untyped-def]
        self._real["replace"](src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        self._changed(dst, dst_dir_fd)

    def _link(self, src, dst, **options):  # type: ignore[no-untyped-def]
        self._real["link"](src, dst, **options)
        self._changed(dst, None)

    def _unlink(self, path, *, dir_fd=None):  # type: ignore[no-untyped-def]
        self._real["unlink"](path, dir_fd=dir_fd)
        self._changed(path, dir_fd)


def inode(path: Path) -> int:
    return path.stat().st_ino


def place_in_new_folders(home: Home, disk: Disk) -> bool:
    FileStore(home).write("studio", "generations/2026/result.png", b"picture")
    return disk.lasts(home.files / "studio" / "generations" / "2026" / "result.png", since=home.files)


def place_after_a_process_died_before_its_sync(home: Home, disk: Disk) -> bool:
    (home.files / "studio").mkdir()  # by the dead process, watched: its name is not synced
    FileStore(home).write("studio", "result.png", b"picture")
    return disk.lasts(home.files / "studio" / "result.png", since=home.files)


def remove(home: Home, disk: Disk) -> bool:
    files = FileStore(home)
    (home.files / "studio").mkdir()
    (home.files / "studio" / "x.png").write_bytes(b"picture")
    files.remove("studio", "x.png")
    return disk.gone_for_good(home.files / "studio" / "x.png")


def make_the_first_secret(home: Home, disk: Disk) -> bool:
    Signer(home)
    return disk.lasts(home.secrets, since=home.root)


def rotate_the_secret(home: Home, disk: Disk) -> bool:
    signer = Signer(home)
    signer.rotate()
    return disk.lasts(home.secrets, since=home.root)


WRITES = [place_in_new_folders, place_after_a_process_died_before_its_sync, remove, make_the_first_secret]


@pytest.mark.parametrize("write", [*WRITES, rotate_the_secret], ids=lambda write: write.__name__)
def test_what_was_written_survives_a_power_loss(write: Callable[[Home, Disk], bool], home: Home) -> None:
    disk = Disk()
    with disk.watching():
        assert write(home, disk)


@pytest.mark.parametrize("write", WRITES, ids=lambda write: write.__name__)
def test_a_single_dropped_fsync_is_found(write: Callable[[Home, Disk], bool], tmp_path: Path) -> None:
    counting = Disk()
    with counting.watching():
        write(fresh(tmp_path / "counted"), counting)

    for dropped in range(counting.syncs):
        disk = Disk(drop_sync=dropped)
        with disk.watching():
            assert not write(fresh(tmp_path / str(dropped)), disk), f"fsync {dropped} of {counting.syncs} is not needed"


def test_an_error_of_fsync_is_never_swallowed(files: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(fd: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)

    with pytest.raises(OSError, match="Input/output"):
        files.write("studio", "x.png", b"x")


def fresh(root: Path) -> Home:
    home = Home(root)
    home.create()
    return home
