"""The command line. Every command imports what it needs when it runs, so that `pergai --help` is there at once."""

from __future__ import annotations

import sys

import rich_click as click

from pergai import __version__
from pergai.cli import inspect, keys, models, scenes, server
from pergai.errors import PergaiError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="pergai")
def pergai() -> None:
    """A self-hosted inference server for product photography.

    `pergai serve` starts it, `pergai demo` shows what it does, `pergai doctor` says what is missing.
    """


for command in (
    server.serve,
    server.demo,
    inspect.doctor,
    models.models,
    scenes.scenes,
    keys.keys,
    inspect.providers,
    inspect.settings,
    server.openapi,
):
    pergai.add_command(command)


def main() -> None:
    """The `pergai` program. Errors it knows are one line on stderr; the exit code is 1."""
    try:
        pergai()
    except (PergaiError, PermissionError) as error:
        click.echo(f"pergai: {error}", err=True)
        sys.exit(1)
