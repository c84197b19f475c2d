"""`pergai scenes`: for a studio that writes sets of its own."""

from __future__ import annotations

import asyncio
import hashlib
import math
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from pergai.cli.options import home_and_config, load
from pergai.cli.tables import print_table

if TYPE_CHECKING:
    from pergai.engine.core import Job, Result
    from pergai.engine.wire import FromEngine, Hello
    from pergai.errors import CardError
    from pergai.paths import Home
    from pergai.settings import Settings

PREVIEW_QUALITY, SHEET_QUALITY = 85, 84
SHEET_WIDTH = 1760
"""Pixels, of a contact sheet."""
_FIELD = re.compile(r"\bset(?:\.\w+|\[\d+\])*")
_UNKNOWN = re.compile(r"unknown field `(?P<name>\w+)`")


@click.group()
def scenes() -> None:
    """List, check and render scene templates."""


@scenes.command("list")
@home_and_config
def list_scenes(home: Path | None, config: str | None) -> None:
    """Print every scene, in the order of GET /templates."""
    from pergai.cards.catalogue import load_catalogue

    catalogue = load_catalogue(load(home, config).paths)
    print_table(
        ("scene", "title", "category", "description"),
        [(card.id, card.title, card.category, card.description) for card in catalogue.scenes.values()],
    )


@scenes.command()
@home_and_config
def check(home: Path | None, config: str | None) -> None:
    """Read every scene, the studio's own too; every mistake is named with its file, its line and its field."""
    from pergai.cards.catalogue import load_catalogue
    from pergai.errors import CardError
    from pergai.runners.render import spec

    paths = load(home, config).paths
    catalogue = load_catalogue(paths)
    mistakes = []
    for card in catalogue.scenes.values():
        try:
            spec.check(card)
        except CardError as error:
            mistakes.append(_located(card.id, error, paths))
    if mistakes:
        raise CardError("\n".join(mistakes))
    click.echo(f"{len(catalogue.scenes)} scenes are right")


def _located(scene: str, error: CardError, paths: Home) -> str:
    """The error with the file and the line of the field it names."""
    from pergai.cards.lines import line_of
    from pergai.paths import packaged

    own, ours = paths.overlay("scenes") / f"{scene}.toml", packaged("configs") / "scenes" / f"{scene}.toml"
    file = own if own.is_file() else ours
    says = str(error).removeprefix(f"scenes/{scene}.toml: ")
    named, unknown = _FIELD.search(says), _UNKNOWN.search(says)
    field = named.group() if named else "set"
    line = line_of(file.read_text(encoding="utf-8"), f"{field}.{unknown['name']}" if unknown else field)
    return f"{file}:{line or 1}: {says}"


@scenes.command()
@click.argument("ids", nargs=-1)
@click.option("--product", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A photo or a cut-out.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("previews"), show_default=True)
@click.option(
    "--sheet", type=click.Path(dir_okay=False, path_type=Path), help="The contact sheet; sheet.jpg in the folder."
)
@click.option("--size", type=click.IntRange(64, 4096), default=400, show_default=True, help="Pixels a side.")
@click.option("--pipeline", default="render", show_default=True, help="Which pipeline card renders.")
@click.option("--seed", type=int, default=1, show_default=True)
@home_and_config
def render(
    ids: tuple[str, ...],
    product: Path | None,
    out: Path,
    sheet: Path | None,
    size: int,
    pipeline: str,
    seed: int,
    home: Path | None,
    config: str | None,
) -> None:
    """Render scenes (all, or IDS) with a product into a folder, and a contact sheet of all that lie there."""
    from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

    from pergai.cards.catalogue import load_catalogue
    from pergai.errors import UnknownScene
    from pergai.paths import packaged

    settings = load(home, config)
    settings.paths.create()
    catalogue = load_catalogue(settings.paths)
    chosen = ids or tuple(catalogue.scenes)
    for id in chosen:
        if id not in catalogue.scenes:
            raise UnknownScene(f"{id!r} is not a scene; choose of {', '.join(catalogue.scenes)}")
    out.mkdir(parents=True, exist_ok=True)
    photo = (product or packaged("configs") / "previews" / "product.png").resolve()
    with (
        tempfile.TemporaryDirectory(dir=settings.paths.temp) as folder,
        Progress(*Progress.get_default_columns(), MofNCompleteColumn(), TimeElapsedColumn()) as bar,
    ):
        task = bar.add_task("rendering", total=len(chosen))
        jobs = [_job(id, photo, Path(folder), size, pipeline, seed) for id in chosen]
        results = asyncio.run(_run(settings, jobs, lambda: bar.advance(task)))
        pictures = {id: Path(job.target) for id, job in zip(chosen, jobs, strict=True) if not results[job.id].error}
        _save(pictures, out)
    _contact_sheet(tuple(catalogue.scenes), out, sheet or out / "sheet.jpg")
    for id, job in zip(chosen, jobs, strict=True):
        if results[job.id].error:
            click.echo(f"{id}: {results[job.id].error}: {results[job.id].detail}", err=True)
    click.echo(f"{len(pictures)} of {len(chosen)} scenes in {out}")


def _job(scene: str, photo: Path, folder: Path, size: int, pipeline: str, seed: int) -> Job:
    from pergai.engine.core import Job, SceneParams

    return Job(
        id=scene,
        kind="scene",
        library="preview",
        pipeline=pipeline,
        provider="preview",
        source=str(photo),
        source_sha256=hashlib.sha256(photo.read_bytes()).hexdigest(),
        params=asdict(SceneParams(scene=scene, width=size, height=size)),
        seed=seed,
        target=str(folder / f"{scene}.png"),
    )


async def _run(settings: Settings, jobs: Sequence[Job], advance: Callable[[], None]) -> dict[str, Result]:
    """Send the jobs through an engine process of their own."""
    import msgspec

    from pergai.engine.client import EngineClient
    from pergai.engine.wire import boot_of
    from pergai.telemetry import logs

    logs.configure(level="warning", format=settings.log.format)
    boot = msgspec.structs.replace(boot_of(settings), log_level="warning")

    results: dict[str, Result] = {}
    done = asyncio.Event()

    class Listener:
        async def up(self, hello: Hello) -> None:  # noqa: ARG002
            for job in jobs:
                if job.id not in results:
                    client.submit(job)

        async def down(self, jobs: Sequence[str]) -> None: ...

        async def heard(self, message: FromEngine) -> None:
            if (result := getattr(message, "result", None)) is not None:
                results[result.job] = result
                advance()
                if len(results) == len(jobs):
                    done.set()

    client = EngineClient(
        boot,
        Listener(),
        start_seconds=settings.engine.start_seconds,
        hang_seconds=settings.engine.hang_seconds,
    )
    running = asyncio.create_task(client.run())
    try:
        await done.wait()
    finally:
        await client.stop()
        running.cancel()
    return results


def _save(pictures: dict[str, Path], out: Path) -> None:
    """Small WebP files."""
    from PIL import Image

    for id, path in pictures.items():
        with Image.open(path) as picture:
            picture.convert("RGB").save(out / f"{id}.webp", quality=PREVIEW_QUALITY, method=6)


def _contact_sheet(ids: Sequence[str], folder: Path, sheet: Path) -> None:
    """One picture of all the scenes that have one in a folder, half again as many beside each other as below."""
    from PIL import Image

    tiles = [path for id in ids if (path := folder / f"{id}.webp").is_file()]
    columns = max(1, math.ceil(math.sqrt(1.5 * len(tiles))))
    side = min(400, SHEET_WIDTH // columns)
    whole = Image.new("RGB", (columns * side, max(1, -(-len(tiles) // columns)) * side), "white")
    for number, path in enumerate(tiles):
        with Image.open(path) as tile:
            small = tile.convert("RGB").resize((side, side), Image.Resampling.LANCZOS)
        whole.paste(small, (number % columns * side, number // columns * side))
    whole.save(sheet, quality=SHEET_QUALITY, optimize=True, progressive=True)
