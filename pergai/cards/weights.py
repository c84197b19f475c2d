"""Weights on the disk: pull, verify, look up, remove, and carry to machines without a network.

The weights of a card lie in `<weights>/<card id>/`. A file is put in place only once it is whole and its hash is the one
the card states; what is unfinished lies in `<weights>/.staging/<card id>/`. `.verified.json` beside the files remembers
which bytes were hashed, so that a server need not hash gigabytes each time it starts.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from pergai.cards.convert import CONVERTERS
from pergai.cards.download import PART, SPARE, fetch
from pergai.cards.meter import CHUNK, Progress
from pergai.cards.structs import BuiltinSource, HubSource, ModelCard, WeightFile
from pergai.errors import WeightsError

Status = Literal["present", "missing", "damaged"]

STAMP = ".verified.json"
GIT_HASH = 40
"""Letters of a commit's full name."""


class Seen(msgspec.Struct, frozen=True):
    """A file as it was when it was hashed."""

    bytes: int
    modified_ns: int
    sha256: str
    md5: str


def _silent(name: str, done: int, total: int) -> None:
    """The progress of a pull that nobody watches."""


def folder_of(card: ModelCard, weights: Path) -> Path:
    """Where the weights of `card` lie."""
    return weights / card.id


def pull(card: ModelCard, weights: Path, *, progress: Progress = _silent, offline: bool = False) -> Path:
    """Fetch, convert, verify and put in place the weights of `card`; its folder. Nothing is done when they are there.

    `progress` is called with a file's name, the bytes done and the bytes in all. Two pulls of one card, in any process,
    take turns. Raises WeightsError: the network is forbidden or failed, a hash is wrong, the disk is full.
    """
    folder = folder_of(card, weights)
    if isinstance(card.source, BuiltinSource):
        if status(card, folder) == "missing":
            raise WeightsError(f"{card.id} needs the Python package {card.source.package}, which is not installed")
        return folder
    weights.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _lock(card, weights):
        if status(card, folder) == "present":
            return folder
        if offline:
            raise WeightsError(
                f"{card.id} is {status(card, folder)} and PERGAI_OFFLINE forbids the network; "
                f"bring its folder from another machine to {folder}"
            )
        staging = weights / ".staging" / card.id
        _clear(staging)
        _need_space(card, weights)
        try:
            stated = fetch(card.source, staging, progress)
            if card.convert:
                _convert(card, staging)
            seen = _check_all(card, staging, () if card.convert else stated)
            _put_in_place(seen, staging, folder)
        except OSError as error:
            raise WeightsError(f"{card.id} could not be pulled: {error.strerror or error}") from error
        shutil.rmtree(staging)
    return folder


def verify(card: ModelCard, folder: Path) -> list[str]:
    """Hash every file the card names; what is wrong, in words. Empty when all is well."""
    if isinstance(card.source, BuiltinSource):
        missing = importlib.util.find_spec(card.source.package) is None
        return [f"the Python package {card.source.package} is not installed"] if missing else []
    expected = _expected(card, _read_stamp(folder))
    if not expected:
        return ["nothing has been pulled"]
    problems = [problem for file in expected if (problem := _problem(file, folder))]
    if problems:
        with contextlib.suppress(OSError):  # a read-only folder: it is hashed each time instead
            (folder / STAMP).unlink(missing_ok=True)
    return problems


def status(card: ModelCard, folder: Path) -> Status:
    """Whether the weights are there and whole. Hashes only what changed since it was last hashed."""
    if isinstance(card.source, BuiltinSource):
        return "missing" if verify(card, folder) else "present"
    stamp = _read_stamp(folder)
    expected = _expected(card, stamp)
    names = [file.name for file in expected]
    if not names or not all((folder / name).is_file() for name in names):
        return "missing"
    seen = {
        name: stamp[name] if name in stamp and _unchanged(folder / name, stamp[name]) else look(folder / name)
        for name in names
    }
    wrong = [file.name for file in expected if _mismatch(file, seen[file.name])]
    named = {file.name for file in card.files if file.sha256 or file.md5}
    # What only the stamp knows must not be learnt anew from a file that has changed.
    if seen != stamp and named.issuperset(wrong):
        with contextlib.suppress(OSError):  # a read-only folder: it is hashed each time instead
            _write_stamp(folder, seen)
    return "damaged" if wrong else "present"


def edition(card: ModelCard, folder: Path) -> dict[str, str]:
    """Which bytes stand behind the card's name, for the record of what is made with them: the `revision` that it pins on a
    hub, and a `sha256` over the names and hashes of the files as they were verified. What nobody has looked at since it
    changed has none: nothing is hashed here."""
    found = {"revision": card.source.revision} if isinstance(card.source, HubSource) else {}
    stamp = _read_stamp(folder)
    if stamp and all((folder / name).is_file() and _unchanged(folder / name, seen) for name, seen in stamp.items()):
        lines = "".join(f"{stamp[name].sha256}  {name}\n" for name in sorted(stamp))
        found["sha256"] = hashlib.sha256(lines.encode()).hexdigest()
    return found


def unpinned(card: ModelCard) -> str:
    """What the card leaves open about the bytes it stands for, in words; "" when it names their hashes."""
    if card.files or isinstance(card.source, BuiltinSource):
        return ""
    if isinstance(card.source, HubSource) and len(card.source.revision) == GIT_HASH:
        what = f"its card pins revision {card.source.revision[:12]} of the repository but the SHA-256 of no file"
    else:
        what = "its card pins neither a revision nor a SHA-256"
    return f"{what}; what came was taken as it is, and its hashes are remembered from now on"


def remove(card: ModelCard, folder: Path) -> int:
    """Delete the card's weights and what is left of unfinished pulls; the bytes freed."""
    freed = 0
    if not folder.parent.is_dir():
        return freed
    with _lock(card, folder.parent):
        for doomed in (folder, folder.parent / ".staging" / card.id):
            freed += sum(file.stat().st_size for file in doomed.rglob("*") if file.is_file())
            shutil.rmtree(doomed, ignore_errors=True)
    return freed


def export_weights(cards: list[ModelCard], weights: Path, target: Path) -> list[Path]:
    """Copy the verified weights of `cards` to `target` (a disk to carry to a machine without a network); the folders
    made. Raises WeightsError when one is missing or damaged."""
    return [
        _carry(card, folder_of(card, weights), target) for card in cards if not isinstance(card.source, BuiltinSource)
    ]


def import_weights(cards: list[ModelCard], carried: Path, weights: Path) -> list[Path]:
    """Copy into `weights` what `carried` (made by `export_weights`) holds of `cards`, verified; the folders made.
    Raises WeightsError naming a damaged file, or what there is no card for, once all else is copied."""
    there = [card for card in cards if folder_of(card, carried).is_dir()]
    made = [_carry(card, folder_of(card, carried), weights) for card in there]
    known = {card.id for card in cards}
    strange = sorted(stamp.parent.name for stamp in carried.glob(f"*/{STAMP}") if stamp.parent.name not in known)
    if strange:
        raise WeightsError(f"{carried} holds {', '.join(strange)}, which no model card of this server names")
    if not made:
        raise WeightsError(f"{carried} holds no weights; name the folder that `pergai models export` wrote")
    return made


def look(path: Path) -> Seen:
    """Hash a file."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        stat = os.fstat(file.fileno())
        while chunk := file.read(CHUNK):
            sha256.update(chunk)
            md5.update(chunk)
    return Seen(bytes=stat.st_size, modified_ns=stat.st_mtime_ns, sha256=sha256.hexdigest(), md5=md5.hexdigest())


def _carry(card: ModelCard, source: Path, weights: Path) -> Path:
    if problems := verify(card, source):
        raise WeightsError(f"{source}: {problems[0]}")
    weights.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _lock(card, weights):
        staging = weights / ".staging" / card.id
        shutil.rmtree(staging, ignore_errors=True)
        names = [file.name for file in card.files] or list(_read_stamp(source))
        try:
            for name in names:
                (staging / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source / name, staging / name)
            _put_in_place(_check_all(card, staging), staging, folder_of(card, weights))
        except OSError as error:
            raise WeightsError(f"{card.id} could not be copied: {error.strerror or error}") from error
        shutil.rmtree(staging)
    return folder_of(card, weights)


def _convert(card: ModelCard, staging: Path) -> None:
    converter = CONVERTERS.get(card.convert)
    if converter is None:
        raise WeightsError(f"{card.id}: convert is {card.convert!r}, which is not one of {', '.join(CONVERTERS)}")
    try:
        converter(staging, card.options)
    except WeightsError:
        shutil.rmtree(staging)  # what was fetched is wrong; the next pull begins afresh
        raise


def _check_all(card: ModelCard, staging: Path, stated: tuple[WeightFile, ...] = ()) -> dict[str, Seen]:
    """Hash what was fetched against the card, and against what its source has `stated`. A wrong file is thrown away with its
    folder, so that the next pull begins afresh."""
    names = [file.name for file in card.files] or sorted(
        str(path.relative_to(staging)) for path in staging.rglob("*") if path.is_file()
    )
    seen = {name: look(staging / name) for name in names if (staging / name).is_file()}
    problems = [f"{name} is missing" for name in names if name not in seen]
    problems += [
        problem
        for file in (*card.files, *stated)
        if file.name in seen and (problem := _mismatch(file, seen[file.name]))
    ]
    if problems:
        shutil.rmtree(staging)
        raise WeightsError(f"{card.id}: {problems[0]}")
    return seen


def _put_in_place(seen: dict[str, Seen], staging: Path, folder: Path) -> None:
    (folder / STAMP).unlink(missing_ok=True)
    for name in seen:
        (folder / name).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sync(staging / name)
        (staging / name).replace(folder / name)
    _write_stamp(folder, seen)
    _sync(folder)


def _expected(card: ModelCard, stamp: dict[str, Seen]) -> list[WeightFile]:
    """What must lie in the folder. Where the card names no hash, what the first pull brought is trusted from then on."""
    if not card.files:
        return [WeightFile(name=name, sha256=seen.sha256, bytes=seen.bytes) for name, seen in stamp.items()]
    return [
        msgspec.structs.replace(file, sha256=stamp[file.name].sha256)
        if not (file.sha256 or file.md5) and file.name in stamp
        else file
        for file in card.files
    ]


def _problem(file: WeightFile, folder: Path) -> str | None:
    path = folder / file.name
    return _mismatch(file, look(path)) if path.is_file() else f"{file.name} is missing"


def _mismatch(file: WeightFile, seen: Seen) -> str | None:
    if file.bytes and file.bytes != seen.bytes:
        return f"{file.name} has {seen.bytes} bytes, expected {file.bytes}"
    for algorithm, expected, got in (("sha256", file.sha256, seen.sha256), ("md5", file.md5, seen.md5)):
        if expected and expected.lower() != got:
            return f"{file.name} has {algorithm} {got}, expected {expected.lower()}"
    return None


def _unchanged(path: Path, seen: Seen) -> bool:
    stat = path.stat()
    return (stat.st_size, stat.st_mtime_ns) == (seen.bytes, seen.modified_ns)


def _read_stamp(folder: Path) -> dict[str, Seen]:
    try:
        return msgspec.json.decode((folder / STAMP).read_bytes(), type=dict[str, Seen])
    except (OSError, msgspec.DecodeError):  # no stamp, or a torn one: the files are hashed again
        return {}


def _write_stamp(folder: Path, seen: dict[str, Seen]) -> None:
    temp = folder / f"{STAMP}{PART}"
    temp.write_bytes(msgspec.json.format(msgspec.json.encode(seen)))
    temp.replace(folder / STAMP)


def _clear(staging: Path) -> None:
    """An empty folder for a pull, but for what whole or part downloads an interrupted one left to go on with."""
    staging.mkdir(mode=0o700, parents=True, exist_ok=True)
    for entry in staging.glob("wheel-*"):
        shutil.rmtree(entry, ignore_errors=True)


def _need_space(card: ModelCard, weights: Path) -> None:
    need = sum(file.bytes for file in card.files) + SPARE
    free = shutil.disk_usage(weights).free
    if free < need:
        raise WeightsError(f"{card.id} needs {need >> 20} MiB of disk, but {weights} has {free >> 20} MiB free")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _lock(card: ModelCard, weights: Path) -> Iterator[None]:
    """Held by one process at a time; the kernel frees it when that process dies."""
    with (weights / f".{card.id}.lock").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
