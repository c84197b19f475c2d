"""What happened in a demo, as the page tells it."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pergai.demo.client import Record


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture and the request that made it."""

    title: str
    image: str
    """Path relative to the page."""
    width: int
    height: int
    curl: str
    seconds: float = 0.0
    facts: tuple[str, ...] = ()
    description: str = ""


@dataclass(slots=True)
class Story:
    original: Shot
    cut_out: Shot
    scenes: list[Shot]
    upscaled: Shot
    expanded: list[Shot]
    collection_curls: list[str]
    archive: list[tuple[str, int]]
    """Name and bytes of each file in the ZIP."""
    archive_curl: str
    device: str
    version: str
    seconds: dict[str, float] = field(default_factory=dict)
    """Step → seconds."""


def shot(record: Record, image: str, curl: str, *, title: str, description: str = "") -> Shot:
    return Shot(
        title=title,
        image=image,
        width=record["width"],
        height=record["height"],
        curl=curl,
        seconds=sum(record["seconds"].values()),
        facts=tuple(_facts(record)),
        description=description,
    )


def _facts(record: dict[str, Any]) -> list[str]:
    facts = [f"{record['width']} × {record['height']}", record["model"] or record["pipeline"], f"seed {record['seed']}"]
    if fidelity := record["fidelity"]:
        most = fidelity["maxDifference"]
        verdict = f"product off by at most {most}/255" if most else "product unchanged"
        facts.append(f"{verdict}, {fidelity['checkedPixels']:,} pixels checked")
    if record["prompt"]:
        facts.append(f"asked for “{record['prompt']}”")
    if record["words"]:
        facts.append("understood: " + ", ".join(record["words"]))
    facts += [note.replace("_", " ") for note in record["notes"]]
    return facts


def list_archive(path: Path) -> list[tuple[str, int]]:
    with zipfile.ZipFile(path) as archive:
        return [(entry.filename, entry.file_size) for entry in archive.infolist()]
