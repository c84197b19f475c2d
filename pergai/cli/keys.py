"""`pergai keys`: works beside a running server (through its admin door) and without one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click

from pergai.cli.options import home_and_config, load
from pergai.cli.tables import print_table

if TYPE_CHECKING:
    from pergai.services.keys import KeyRecord

T = TypeVar("T")


@click.group()
def keys() -> None:
    """Make, list and revoke API keys."""


@keys.command()
@click.argument("name")
@click.option("--library", default="default", show_default=True, help="The library the key opens; made when it is new.")
@click.option("--read-only", is_flag=True, help="The key may look, and change nothing.")
@home_and_config
def create(name: str, library: str, read_only: bool, home: Path | None, config: str | None) -> None:
    """Make a key and print it. It cannot be read again."""
    from pergai.services.keys import NewKey

    new = _ask(home, config, "keys.create", NewKey, name=name, library=library, read_only=read_only)
    click.echo(new.key)
    click.echo(
        f"{_right(new.record)} key of library {new.record.library}, id {new.record.id}; shown only this once", err=True
    )


@keys.command("list")
@home_and_config
def list_keys(home: Path | None, config: str | None) -> None:
    """Show every key there is or was; of the keys themselves only the last four characters."""
    from pergai.services.keys import KeyRecord

    records = _ask(home, config, "keys.list", list[KeyRecord])
    print_table(("id", "name", "library", "key", "right", "made", "state"), map(_row, records))


@keys.command()
@click.argument("key_id", metavar="ID")
@home_and_config
def revoke(key_id: str, home: Path | None, config: str | None) -> None:
    """Refuse a key from now on."""
    from pergai.services.keys import KeyRecord

    record = _ask(home, config, "keys.revoke", KeyRecord, id=key_id)
    click.echo(f"{record.name} (pk_…{record.hint}) is revoked")


def _row(record: KeyRecord) -> tuple[str, ...]:
    made = f"{record.created_at:%Y-%m-%d %H:%M}"
    state = f"revoked {record.revoked_at:%Y-%m-%d %H:%M}" if record.revoked_at else "valid"
    return str(record.id), record.name, record.library, f"pk_…{record.hint}", _right(record), made, state


def _right(record: KeyRecord) -> str:
    return "read-only" if record.read_only else "read-write"


def _ask(home: Path | None, config: str | None, method: str, kind: type[T], **params: Any) -> T:
    from pergai.services.admin import administer

    return asyncio.run(administer(load(home, config).paths, method, kind, **params))
