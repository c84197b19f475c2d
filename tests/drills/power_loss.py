"""Power losses, played on a recording (tests/recorder.py): whatever the disk may hold afterwards, every promise is kept.

At any moment a disk holds what was synced, and of the rest any part: of a file's writes any of them, each of them torn; of a
folder's changes the first few. That is what POSIX promises, and what ext4 and XFS keep.
"""

from __future__ import annotations

import hashlib
import pickle
import random
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from recorder import Op
from server import Server
from studio import Orders, open_studio, small_photo

from drills import Done, nobody


@dataclass
class Promise:
    """What a client was told."""

    at: int
    """Length of the recording when it had the answer."""
    kind: str
    """generation, completed, product, upload or deleted."""
    name: str


@dataclass
class Story:
    """A recording and what was promised meanwhile."""

    recording: bytes
    promises: list[Promise] = field(default_factory=list)

    @property
    def changes(self) -> int:
        """How many are recorded."""
        return sum(1 for _ in _ops(self.recording))


def record_a_day(planted: str = "", jobs: int = 6) -> Story:
    """A new server's first start, uploads, products, jobs and deletions, up to its end by SIGTERM."""
    with Server(planted=planted, recorded=True) as server:
        studio = open_studio(server)
        story = Story(b"")

        def promise(kind: str, name: str) -> None:
            story.promises.append(Promise(server.recording.stat().st_size, kind, name))

        promise("product", studio.product)
        Orders(studio, jobs).run()
        for id in studio.promised:
            promise("generation", id)
        with studio.client() as client:
            for number in range(3):
                path = client.post("/uploads", files={"file": ("x.png", small_photo())}).json()["imagePath"]
                promise("upload", path)
                body = {"name": f"Cup {number}", "category": "home", "imagePath": path}
                product = client.post("/products", json=body).json()["id"]
                promise("product", product)
                if number == 1:
                    assert client.delete(f"/products/{product}").status_code == 204
                    story.promises = [old for old in story.promises if old.name not in (path, product)]
                    promise("deleted", product)
            studio.wait_for_ended(jobs)
            for record in client.get("/generations").json():
                promise(record["status"], record["id"])
        server.sigterm()
        story.recording = server.recording.read_bytes()
    return story


def check_states(story: Story, states: int, chance: random.Random, done: Done = nobody) -> None:
    """Lose power at so many moments and look at what is left."""
    ends = [end for _, end in _ops(story.recording)]
    # Half of the moments are anywhere; the others are where something was just being told.
    told = [
        number for number, end in enumerate(ends) if any(0 <= promise.at - end < 20_000 for promise in story.promises)
    ]
    cuts = sorted(chance.randrange(len(ends)) if half % 2 else chance.choice(told) for half in range(states))
    disk = Disk()
    with tempfile.TemporaryDirectory() as folder:
        for number, (op, end) in enumerate(_ops(story.recording)):
            disk.do(op)
            while cuts and cuts[0] == number:
                cuts.pop(0)
                home = Path(folder) / "home"
                disk.lose_power(home, chance)
                try:
                    check(home, [promise for promise in story.promises if promise.at <= end])
                except AssertionError as error:
                    raise AssertionError(
                        f"power lost after change {number} of {len(ends)} ({op.kind} {op.path}): {error}"
                    ) from error
                shutil.rmtree(home)
                done()


def check(home: Path, promises: list[Promise]) -> None:
    """A data folder after a power loss: whole, every row with its file, every promise kept."""
    database = home / "pergai.db"
    if not promises and not database.exists():
        return
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not promises and not {"image", "generation", "product"} <= tables:
            return
        images = {
            (library, key): sha256
            for library, key, sha256 in connection.execute("SELECT library, key, sha256 FROM image")
        }
        for (library, key), sha256 in images.items():
            file = home / "files" / library / key
            assert file.exists(), f"{key} has a row and no file"
            assert hashlib.sha256(file.read_bytes()).hexdigest() == sha256, f"{key} is not what its row says"
        rows = {id: (status, library, key) for id, status, library, key in connection.execute(_GENERATIONS)}
        products = {id for (id,) in connection.execute("SELECT id FROM product")}
    for id, (status, library, key) in rows.items():
        assert status != "completed" or (library, key) in images, f"{id} is completed without a file"
    for promise in promises:
        match promise.kind:
            case "generation":
                assert UUID(promise.name).hex in rows, f"generation {promise.name} was promised"
            case "completed":
                assert rows[UUID(promise.name).hex][0] == "completed", f"{promise.name} was seen completed"
            case "upload":
                assert ("default", promise.name) in images, f"{promise.name} was promised"
            case "product":
                assert UUID(promise.name).hex in products, f"product {promise.name} was promised"
            case "deleted":
                assert UUID(promise.name).hex not in products, f"product {promise.name} was deleted"
            case other:
                raise AssertionError(f"{promise.name} is {other}")


_GENERATIONS = "SELECT id, status, library, result_key FROM generation"


def _ops(recording: bytes) -> Iterator[tuple[Op, int]]:
    """Every change, and where it ends in the recording."""
    import io

    file = io.BytesIO(recording)
    while file.tell() < len(recording):
        op: Op = pickle.load(file)
        yield op, file.tell()


@dataclass
class _File:
    lasting: bytearray = field(default_factory=bytearray)
    pending: list[Op] = field(default_factory=list)

    def sync(self) -> None:
        for op in self.pending:
            _apply(self.lasting, op)
        self.pending.clear()

    def after_power_loss(self, chance: random.Random) -> bytes:
        content = bytearray(self.lasting)
        some = chance.choice((0.0, 0.5, 1.0))
        for op in self.pending:
            if chance.random() < some:
                torn = chance.random() < 0.2
                _apply(content, op._replace(data=op.data[: chance.randrange(len(op.data) + 1)]) if torn else op)
        return bytes(content)


class Disk:
    """What the data folder holds for good, and what only the page cache has."""

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}
        self._lasting: dict[str, _File | None] = {}
        """By path; None is a folder."""
        self._pending: list[tuple[str, str, _File | None]] = []
        """Names that came (with a file or a folder) or went (path, "", None), in order: folder, path, what."""

    def do(self, op: Op) -> None:
        match op.kind:
            case "write" | "truncate":
                self._file(op.path).pending.append(op)
            case "content":
                file = self._file(op.path)
                file.pending = []
                file.lasting = bytearray(op.data)
            case "sync":
                self._file(op.path).sync()
                if op.path.startswith("pergai.db"):
                    self._sync_folder("")  # SQLite syncs the folder of a new journal with it
            case "mkdir":
                self._pending.append((_folder(op.path), op.path, None))
            case "rename":
                new, file = op.data.decode(), self._files.pop(op.path, None) or _File()
                self._files[new] = file
                self._pending.append((_folder(new), new, file))
            case "delete":
                self._files.pop(op.path, None)
                self._pending.append((_folder(op.path), op.path, _GONE))
            case "syncdir":
                self._sync_folder(op.path)

    def lose_power(self, home: Path, chance: random.Random) -> None:
        """Write what is left into the new folder `home`."""
        left = dict(self._lasting)
        lucky = {folder: chance.random() for folder, _, _ in self._pending}
        stopped: set[str] = set()
        for folder, path, what in self._pending:
            if folder in stopped or chance.random() > lucky[folder]:
                stopped.add(folder)
                continue
            _name(left, path, what)
        for name in ("files", "tmp"):
            (home / name).mkdir(parents=True, exist_ok=True)
        for path, what in sorted(left.items()):
            if not (home / path).parent.is_dir():
                continue  # its folder is lost
            if what is None:
                (home / path).mkdir(exist_ok=True)
            else:
                (home / path).write_bytes(what.after_power_loss(chance))

    def _file(self, path: str) -> _File:
        if path not in self._files:
            self._files[path] = _File()
            self._pending.append((_folder(path), path, self._files[path]))
        return self._files[path]

    def _sync_folder(self, folder: str) -> None:
        for where, path, what in self._pending:
            if where == folder:
                _name(self._lasting, path, what)
        self._pending = [change for change in self._pending if change[0] != folder]


_GONE = _File()


def _name(names: dict[str, _File | None], path: str, what: _File | None) -> None:
    if what is _GONE:
        names.pop(path, None)
    else:
        names[path] = what


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _apply(content: bytearray, op: Op) -> None:
    if op.kind == "truncate":
        del content[op.offset :]
        return
    if len(content) < op.offset:
        content.extend(bytes(op.offset - len(content)))
    content[op.offset : op.offset + len(op.data)] = op.data
