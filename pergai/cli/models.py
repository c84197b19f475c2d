"""`pergai models`: the weights on the disk."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from pergai.cli.options import accept_licence, home_and_config, load
from pergai.cli.tables import print_table

if TYPE_CHECKING:
    from pergai.cards.meter import Progress
    from pergai.cards.structs import ModelCard
    from pergai.settings import Settings


@click.group()
def models() -> None:
    """Fetch, verify and remove weights."""


@models.command("list")
@home_and_config
def list_models(home: Path | None, config: str | None) -> None:
    """Show every model card, and whether its weights are here."""
    from pergai.cards.weights import folder_of, status

    settings = load(home, config)
    needed = {card.id for card in of_profile(settings)}

    def row(card: ModelCard) -> tuple[str, ...]:
        state = status(card, folder_of(card, settings.paths.weights))
        size = sum(file.bytes for file in card.files) / 2**20
        return (
            card.id,
            state,
            "needed" if card.id in needed else "",
            f"{size:.0f} MiB" if size else "",
            card.licence,
            card.title,
        )

    print_table(("model", "weights", "profile", "size", "licence", "title"), map(row, _all(settings)))


@models.command()
@click.argument("ids", nargs=-1)
@click.option("--embedded", is_flag=True, help="What the embedded profile needs.")
@click.option("--profile", help="What this profile needs (default: the profile of the settings).")
@accept_licence
@home_and_config
def pull(
    ids: tuple[str, ...],
    embedded: bool,
    profile: str | None,
    accepted: list[str] | None,
    home: Path | None,
    config: str | None,
) -> None:
    """Fetch weights, verify them, convert them. Those that are here are left alone."""
    settings = load(home, profile or ("embedded" if embedded else config), accept_licences=accepted)
    for folder in pull_all(_chosen(settings, ids) if ids else of_profile(settings), settings):
        click.echo(folder)


@models.command()
@click.argument("ids", nargs=-1)
@home_and_config
def verify(ids: tuple[str, ...], home: Path | None, config: str | None) -> None:
    """Hash weights and compare with their cards: those named, or all that are here. Exit code 1 when one is damaged."""
    from pergai.cards import weights

    settings = load(home, config)
    damaged = False
    for card in _chosen(settings, ids) if ids else _all(settings):
        folder = weights.folder_of(card, settings.paths.weights)
        if not ids and weights.status(card, folder) == "missing":
            continue
        problems = weights.verify(card, folder)
        damaged = damaged or bool(problems)
        click.echo(f"{card.id}: {'; '.join(problems) or 'as its card says'}")
    sys.exit(damaged)


@models.command()
@click.argument("ids", nargs=-1, required=True)
@home_and_config
def rm(ids: tuple[str, ...], home: Path | None, config: str | None) -> None:
    """Remove weights from the disk."""
    from pergai.cards import weights

    settings = load(home, config)
    for card in _chosen(settings, ids):
        freed = weights.remove(card, weights.folder_of(card, settings.paths.weights))
        click.echo(f"{card.id}: {freed / 2**20:.1f} MiB freed")


@models.command("export")
@click.argument("target", type=click.Path(file_okay=False, path_type=Path))
@click.argument("ids", nargs=-1)
@home_and_config
def export_models(target: Path, ids: tuple[str, ...], home: Path | None, config: str | None) -> None:
    """Copy weights to a disk that can be carried to a machine without a network."""
    from pergai.cards import weights

    settings = load(home, config)
    cards = _chosen(settings, ids) if ids else of_profile(settings)
    for folder in weights.export_weights(cards, settings.paths.weights, target):
        click.echo(folder)


@models.command("import")
@click.argument("carried", type=click.Path(file_okay=False, exists=True, path_type=Path))
@home_and_config
def import_models(carried: Path, home: Path | None, config: str | None) -> None:
    """Take over the weights that `export` wrote, verified."""
    from pergai.cards import weights

    settings = load(home, config)
    for folder in weights.import_weights(_all(settings), carried, settings.paths.weights):
        click.echo(folder)


def _all(settings: Settings) -> list[ModelCard]:
    from pergai.cards.catalogue import load_catalogue

    return list(load_catalogue(settings.paths).models.values())


def _chosen(settings: Settings, ids: tuple[str, ...]) -> list[ModelCard]:
    known = {card.id: card for card in _all(settings)}
    if unknown := [id for id in ids if id not in known]:
        raise click.BadParameter(f"{unknown[0]} is not one of {', '.join(known)}", param_hint="ID")
    return [known[id] for id in ids]


def pull_all(cards: list[ModelCard], settings: Settings) -> Iterator[Path]:
    """Fetch what is missing of the weights, with a bar a file; the folder of each card as it is there. Licences that
    forbid commercial use must have been accepted; bytes that no hash stands for are said loudly, and so is what could not be
    had of what the cards can do without: a model whose stand-in is among them, a helper of one."""
    from pergai.cards import weights
    from pergai.errors import WeightsError

    for card in cards:
        if not card.commercial_use and card.id not in settings.accept_licences:
            raise click.ClickException(
                f"the licence of {card.id} ({card.licence}) forbids commercial use; if yours is none, "
                f"say --accept-licence {card.id}, here and to `pergai serve`, or name it in accept_licences"
            )
    with _progress() as watch:
        for card in cards:
            new = weights.status(card, weights.folder_of(card, settings.paths.weights)) != "present"
            try:
                folder = weights.pull(card, settings.paths.weights, progress=watch, offline=settings.offline)
            except WeightsError as error:
                if card.stand_in in (other.id for other in cards):
                    what = f"{card.stand_in} does the work of {card.id}"
                elif card.id in (other.helper for other in cards):
                    what = f"{card.title} is done without, unless the system has it"
                else:
                    raise
                _warn(f"{error.detail}; until `pergai models pull {card.id}`, {what}")
                continue
            if new and (unpinned := weights.unpinned(card)):
                _warn(f"{card.id}: {unpinned}")
            yield folder


def _warn(text: str) -> None:
    click.secho(f"WARNING {text}", fg="yellow", bold=True, err=True)


def of_profile(settings: Settings) -> list[ModelCard]:
    """Every model the profile's pipelines use."""
    from pergai.cards.catalogue import load_catalogue
    from pergai.services.providers import Providers

    return Providers(settings, load_catalogue(settings.paths)).needed_models()


@contextmanager
def _progress() -> Iterator[Progress]:
    """One bar a file."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def watch(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=None)
            bars.update(tasks[name], completed=done, total=total or None)

        yield watch
