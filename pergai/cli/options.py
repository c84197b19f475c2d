"""What several commands take: where the data lies and which profile holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

if TYPE_CHECKING:
    from pergai.settings import Settings

Command = Callable[..., Any]


def home_and_config(command: Command) -> Command:
    """Add `--home` and `--config`."""
    command = click.option(
        "--home", type=click.Path(file_okay=False, path_type=Path), help="Data folder (PERGAI_HOME)."
    )(command)
    return click.option("--config", help="Profile: a TOML file, or `embedded` or `gpu` (PERGAI_CONFIG).")(command)


def accept_licence(command: Command) -> Command:
    """Add `--accept-licence`, as `accepted`: None when it is not given."""
    return click.option(
        "--accept-licence",
        "accepted",
        multiple=True,
        metavar="ID",
        callback=lambda _context, _option, ids: list(ids) or None,
        help="Use this model though its licence forbids commercial use; can be repeated (PERGAI_ACCEPT_LICENCES).",
    )(command)


def load(home: Path | None, config: str | None, **overrides: Any) -> Settings:
    """The settings, the command line's words before all others."""
    from pergai.settings import load_settings

    return load_settings(config, home=home.expanduser().resolve() if home else None, **overrides)
