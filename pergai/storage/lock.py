"""One server a data folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from pergai.errors import HomeLocked
from pergai.paths import Home


@contextmanager
def lock_home(home: Home) -> Iterator[None]:
    """Hold the data folder until the block ends or the process dies.

    The lock belongs to the open file (flock(2)), which no spawned child inherits: an engine that outlives its API process
    does not keep the folder. The file stays, for removing it would let two servers lock two files of one name.

    Raises HomeLocked with the holder's process id.
    """
    fd = os.open(home.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            raise HomeLocked(f"{home.root} is used by another server (process {holder}); stop it first") from error
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(fd)
