"""`pergai doctor`, `pergai providers`, `pergai settings`: how things stand."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from pergai.cli.options import home_and_config, load
from pergai.cli.tables import print_table

if TYPE_CHECKING:
    from pergai.services.doctor import Finding
    from pergai.settings import Settings


@click.command()
@click.option("--fix", is_flag=True, help="Put right what can be put right: weights, orphans, leftovers, modes.")
@click.option("--full", is_flag=True, help="Also fetch missing weights and do everything once, on the sample photo.")
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    help="With --full: leave the pictures there, as small as the references are kept.",
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@home_and_config
def doctor(fix: bool, full: bool, keep: Path | None, as_json: bool, home: Path | None, config: str | None) -> None:
    """Check the machine, the data folder and the weights. Exit code 1 when something keeps the server from its work.

    With --full every pipeline of the profile makes a small picture with a known seed, in a server of its own, and each
    diffusion model is compared with diffusers' own pipeline: the proof of a real box.
    """
    import asyncio

    from pergai.services.doctor import examine, mend

    settings = load(home, config)
    findings = asyncio.run(examine(settings))
    if fix:
        failures = mend(findings)
        findings = asyncio.run(examine(settings))
        for failure in failures:
            click.echo(f"could not be mended: {failure}", err=True)
    findings += _renderer(settings)
    if full:
        from pergai.demo.trial import trial

        findings += trial(settings, keep=keep)
    if as_json:
        _print_json(findings)
    else:
        _print_table(findings)
    sys.exit(any(finding.level == "problem" for finding in findings))


def _renderer(settings: Settings) -> Iterator[Finding]:
    """Which variant renders the sets."""
    from pergai.cli.models import of_profile
    from pergai.errors import PergaiError
    from pergai.runners.render.variants import LLVM, fastest
    from pergai.services.doctor import Finding
    from pergai.telemetry.gpu import gpus

    try:
        needed = [card for card in of_profile(settings) if card.family == "mitsuba"]
    except PergaiError:  # told by the finding about the profile
        return
    for card in needed:
        try:
            variant = fastest(card, settings.paths.weights / card.id, "cuda" if gpus() else "cpu")
        except PergaiError as error:
            yield Finding(subject="renderer", level="problem", detail=error.detail)
            continue
        if variant == "scalar":
            advice = f"pergai models pull {card.helper or 'llvm'}, or install the system's LLVM"
            yield Finding(subject="renderer", level="note", detail="scalar: takes twice as long as llvm", advice=advice)
        else:
            compiler = f", compiled by {os.environ[LLVM]}" if variant == "llvm" else ""
            yield Finding(subject="renderer", level="ok", detail=f"{variant}{compiler}")


@click.command()
@home_and_config
def providers(home: Path | None, config: str | None) -> None:
    """Show the aiProvider names of the profile, and what each can do here."""
    from pergai.cards.catalogue import load_catalogue
    from pergai.services.providers import Providers

    settings = load(home, config)
    offered = Providers(settings, load_catalogue(settings.paths))
    rows = []
    for name in offered.names:
        for offer in offered.offers(name):
            models = ", ".join(model.id for model in offer.models)
            default = " (default)" if offered.default(offer.task) == name else ""
            rows.append((name, offer.task + default, offer.pipeline.id, models, offer.unavailable or "yes"))
    print_table(("aiProvider", "task", "pipeline", "models", "available"), rows)


@click.command()
def settings() -> None:
    """Print every setting with its default and meaning, as a Markdown table."""
    from pergai.settings import describe_settings

    click.echo("| variable | default | meaning |\n|---|---|---|")
    for name, default, meaning in describe_settings():
        shown = str(default).lower() if isinstance(default, bool) else default
        click.echo(f"| `PERGAI_{name.upper()}` | {f'`{shown}`' if shown != '' else ''} | {meaning} |")


def _print_json(findings: list[Finding]) -> None:
    import msgspec

    shown = [
        {"subject": found.subject, "level": found.level, "detail": found.detail, "advice": found.advice}
        for found in findings
    ]
    click.echo(msgspec.json.format(msgspec.json.encode(shown)))


def _print_table(findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table

    marks = {"ok": "[green]✓[/]", "note": "[yellow]•[/]", "problem": "[red]✗[/]"}
    table = Table(box=None, show_header=False)
    for finding in findings:
        advice = f"\n[dim]→ {finding.advice}[/]" if finding.advice else ""
        table.add_row(marks[finding.level], finding.subject, finding.detail + advice)
    Console().print(table)
