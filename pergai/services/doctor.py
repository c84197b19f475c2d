"""What `pergai doctor` looks at: everything a server needs from its machine, and what to do about each thing it lacks."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import psutil

from pergai.cards import weights
from pergai.cards.catalogue import load_catalogue
from pergai.cards.structs import ModelCard
from pergai.db import migrations
from pergai.db.database import sqlite_version
from pergai.errors import HomeLocked, PergaiError
from pergai.paths import Home
from pergai.services.admin import administer
from pergai.services.orphans import Orphans
from pergai.services.providers import Providers
from pergai.settings import Settings
from pergai.storage.files import FileStore
from pergai.storage.lock import lock_home
from pergai.telemetry.gpu import gpus

DRIVER = Path("/proc/driver/nvidia/version")

Level = Literal["ok", "note", "problem"]
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    subject: str
    level: Level
    """ "note" is worth knowing and needs nothing done; "problem" keeps the server from doing its work."""
    detail: str
    advice: str = ""
    mend: Callable[[], object] | None = None
    """What `--fix` does; None when only a person can help."""


async def examine(settings: Settings) -> list[Finding]:
    """Look at everything."""
    home = settings.paths
    server = _server_pid(home)
    database = _database(home, server)
    found = [_python(), *_packages(), _device(settings), _memory(settings), _folder(home), _lock(home, server)]
    found += [_port(settings, server), _disk(settings), _sqlite(), database, _profile(settings), *_weights(settings)]
    if database.level != "problem":
        found += await _orphans(home)
    found.append(_temp(settings, server))
    return found


def mend(findings: list[Finding]) -> list[str]:
    """Do what can be done about the problems; what could not be done, in words."""
    failures = []
    for finding in findings:
        if finding.mend is not None:
            try:
                finding.mend()
            except (PergaiError, OSError) as error:
                failures.append(f"{finding.subject}: {error}")
    return failures


# --- the machine -----------------------------------------------------------------------------------


def _python() -> Finding:
    system = f"{platform.system()} {platform.release()}, {platform.machine()}"
    return Finding(
        subject="machine",
        level="ok",
        detail=f"{system}, {os.cpu_count()} cores, Python {platform.python_version()}",
    )


def _packages() -> Iterator[Finding]:
    versions = []
    for name in ("torch", "mitsuba", "onnxruntime", "rembg", "pillow", "pyvips"):
        with suppress(metadata.PackageNotFoundError):
            versions.append(f"{name} {metadata.version(name)}")
    yield Finding(subject="packages", level="ok", detail=", ".join(versions))
    with suppress(metadata.PackageNotFoundError):
        yield Finding(
            subject="torchvision",
            level="problem",
            detail=f"torchvision {metadata.version('torchvision')} is installed; one that does not fit torch breaks diffusers",
            advice="pip uninstall torchvision; pergai does not use it",
        )


def _device(settings: Settings) -> Finding:
    if found := gpus():
        told = (
            f"{gpu.name}, {(gpu.total_bytes - gpu.used_bytes) // MIB} of {gpu.total_bytes // MIB} MiB free, driver {gpu.driver}"
            for gpu in found
        )
        return Finding(subject="device", level="ok", detail="; ".join(told))
    if DRIVER.exists():
        detail = (
            f"an NVIDIA driver is loaded ({DRIVER.read_text().splitlines()[0]}), but cannot be asked about its GPUs"
        )
        return Finding(subject="device", level="note", detail=detail, advice="pip install 'pergai[cuda]'")
    cpu = "no NVIDIA driver is loaded, so models run on the CPU"
    if settings.engine.device == "cuda":
        return Finding(
            subject="device", level="problem", detail=f"engine.device is cuda, but {cpu}", advice="install the driver"
        )
    return Finding(subject="device", level="ok", detail=cpu)


def _memory(settings: Settings) -> Finding:
    """Enough for the largest model of the profile, next to the picture it works on."""
    available = psutil.virtual_memory().available // MIB
    providers = _providers(settings)
    needed = providers.needed_models() if providers else []
    largest = max(needed, key=lambda card: card.memory_mib, default=None)
    if largest is None:
        return Finding(subject="memory", level="ok", detail=f"{available} MiB free")
    detail = f"{available} MiB free; {largest.id}, the largest model of the profile, takes {largest.memory_mib} MiB"
    if available < largest.memory_mib:
        return Finding(
            subject="memory", level="problem", detail=detail, advice="free some, or choose a smaller profile"
        )
    return Finding(subject="memory", level="ok", detail=detail)


def _disk(settings: Settings) -> Finding:
    free = shutil.disk_usage(_existing(settings.home)).free // MIB
    floor = settings.limits.free_disk_mib
    detail = f"{free} MiB free for {settings.home}; below {floor} MiB nothing new is taken"
    if free < floor:
        return Finding(
            subject="disk", level="problem", detail=detail, advice="make room, or lower limits.free_disk_mib"
        )
    return Finding(subject="disk", level="note" if free < 4 * floor else "ok", detail=detail)


def _port(settings: Settings, server: int | None) -> Finding:
    where = f"{settings.host}:{settings.port}"
    if server is not None:
        return Finding(subject="port", level="ok", detail=f"{where}; a server runs on this data folder already")
    try:
        with socket.create_server((settings.host, settings.port), family=_family(settings.host)):
            return Finding(subject="port", level="ok", detail=f"{where} is free")
    except OSError as error:
        detail = f"{where} cannot be listened on: {os.strerror(error.errno or 0)}"
        return Finding(subject="port", level="problem", detail=detail, advice="stop what uses it, or set PERGAI_PORT")


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


# --- the data folder -------------------------------------------------------------------------------


def _folder(home: Home) -> Finding:
    path = home.root
    if not path.exists():
        return Finding(
            subject="folder",
            level="note",
            detail=f"{path} does not exist yet; the first start makes it",
            mend=home.create,
        )
    mode = path.stat().st_mode & 0o777
    if not os.access(path, os.W_OK | os.X_OK):
        return Finding(
            subject="folder", level="problem", detail=f"{path} cannot be written by this user", advice=f"chown {path}"
        )
    if mode & 0o077:
        detail = f"{path} can be entered by other users (mode {mode:o}); keys and pictures lie in it"
        return Finding(subject="folder", level="problem", detail=detail, advice="--fix", mend=lambda: path.chmod(0o700))
    return Finding(subject="folder", level="ok", detail=f"{path}, its owner's only")


def _server_pid(home: Home) -> int | None:
    """The process that holds the folder; None when no server runs."""
    if not os.access(home.lock, os.R_OK | os.W_OK):  # not there, or another user's
        return None
    try:
        with lock_home(home):
            return None
    except HomeLocked:
        text = home.lock.read_text().strip()
        return int(text) if text.isdigit() else 0


def _lock(home: Home, server: int | None) -> Finding:
    if server is None:
        return Finding(subject="server", level="ok", detail=f"none runs on {home.root}")
    return Finding(subject="server", level="ok", detail=f"process {server} runs on {home.root}")


def _sqlite() -> Finding:
    version = sqlite_version()
    text = ".".join(map(str, version))
    mended = version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45)
    if mended:
        return Finding(subject="SQLite", level="ok", detail=text)
    return Finding(
        subject="SQLite",
        level="ok",
        detail=f"{text}, older than 3.51.3: two connections that write could corrupt the database (the WAL-reset race), so "
        "pergai writes through one only; let no other program write to pergai.db",
    )


def _database(home: Home, server: int | None) -> Finding:
    if server is not None:
        return Finding(subject="database", level="ok", detail="open in the running server")
    if not home.database.exists():
        return Finding(subject="database", level="ok", detail="none yet; the first start makes it")
    try:
        with closing(sqlite3.connect(f"file:{home.database}?mode=ro", uri=True)) as connection:
            verdict = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
        revision, newest = migrations.current(home.database)
    except (sqlite3.DatabaseError, OSError) as error:
        verdict, revision, newest = str(error), None, None
    if verdict != "ok":
        return Finding(subject="database", level="problem", detail=verdict, advice="restore pergai.db from a backup")
    if revision != newest:
        detail = f"its schema is {revision}, the newest is {newest}; the next start brings it up to date"
        return Finding(subject="database", level="note", detail=detail, mend=lambda: _upgrade(home))
    return Finding(subject="database", level="ok", detail=f"whole, schema {revision}")


def _upgrade(home: Home) -> None:
    with lock_home(home):
        migrations.upgrade(home.database)


def _temp(settings: Settings, server: int | None) -> Finding:
    """A running server's janitor removes old ones; without a server every one is a leftover."""
    temp = settings.paths.temp
    files = [path for path in temp.iterdir() if path.is_file()] if temp.is_dir() else []
    if not files or server is not None:
        return Finding(subject="unfinished files", level="ok", detail=f"{len(files)}")
    return Finding(
        subject="unfinished files",
        level="note",
        detail=f"{len(files)} left by a server that was killed",
        advice="--fix",
        mend=lambda: FileStore(settings.paths).sweep_temp(0),
    )


async def _orphans(home: Home) -> list[Finding]:
    if not os.access(home.database, os.W_OK):  # not there, or another user's
        return []
    try:
        found = await administer(home, "storage.orphans", Orphans)
    except (PergaiError, OSError) as error:
        return [Finding(subject="files and rows", level="problem", detail=f"could not be compared: {error}")]
    told: list[Finding] = []

    def tell(level: Level, pairs: Any, what: str, advice: str, fixable: bool = True) -> None:
        if pairs:
            first = "/".join(pairs[0])
            told.append(
                Finding(
                    subject="files and rows",
                    level=level,
                    detail=f"{len(pairs)} {what}, e.g. {first}",
                    advice=advice,
                    mend=(lambda: _repair(home)) if fixable else None,
                )
            )

    tell("note", found.files, "files without a row", "--fix removes them")
    tell("problem", found.results, "completed generations whose picture is gone", "--fix queues them again")
    tell("note", found.uploads, "unused uploads whose file is gone", "--fix forgets them")
    tell("problem", found.products, "products whose picture is gone", "restore the file, or delete the product", False)
    return told or [Finding(subject="files and rows", level="ok", detail="every row has its file, every file its row")]


def _repair(home: Home) -> None:
    asyncio.run(administer(home, "storage.orphans", Orphans, fix=True))


# --- the profile and its weights ---------------------------------------------------------------------------------------


def _profile(settings: Settings) -> Finding:
    try:
        providers = Providers(settings, load_catalogue(settings.paths))
    except PergaiError as error:
        return Finding(
            subject="profile", level="problem", detail=str(error), advice="mend the profile or the card it names"
        )
    detail = f"{Path(settings.config).stem}: {', '.join(providers.names)}"
    return Finding(subject="profile", level="ok", detail=detail)


def _providers(settings: Settings) -> Providers | None:
    try:
        return Providers(settings, load_catalogue(settings.paths))
    except PergaiError:  # told by _profile
        return None


def _weights(settings: Settings) -> Iterator[Finding]:
    folder = settings.paths.weights
    providers = _providers(settings)
    for card in providers.needed_models() if providers else ():
        status = weights.status(card, weights.folder_of(card, folder))
        subject = f"weights of {card.id}"
        if status == "present":
            yield Finding(subject=subject, level="ok", detail=f"present and verified, {card.licence}")
            continue
        advice = f"pergai models pull {card.id}"
        if status == "missing" and providers and providers.is_replaced(card.id):
            yield Finding(subject=subject, level="note", detail="missing; a fallback does its work", advice=advice)
            continue

        def pull(card: ModelCard = card) -> object:
            return weights.pull(card, folder, offline=settings.offline)

        yield Finding(subject=subject, level="problem", detail=status, advice=advice, mend=pull)


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path
