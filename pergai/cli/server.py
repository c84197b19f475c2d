"""`pergai serve`, `pergai demo`, `pergai openapi`."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from pergai.cli.models import of_profile, pull_all
from pergai.cli.options import accept_licence, home_and_config, load


@click.command()
@click.option("--host", help="Address to listen on (PERGAI_HOST).")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on (PERGAI_PORT).")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]))
@click.option("--pull", is_flag=True, help="First fetch the weights that the profile lacks.")
@accept_licence
@home_and_config
def serve(
    host: str | None,
    port: int | None,
    log_level: str | None,
    pull: bool,
    accepted: list[str] | None,
    home: Path | None,
    config: str | None,
) -> None:
    """Run the server until SIGTERM or Ctrl-C. It downloads nothing unless asked to."""
    log = {"level": log_level} if log_level else None
    settings = load(home, config, host=host, port=port, log=log, accept_licences=accepted)
    if pull:
        list(pull_all(of_profile(settings), settings))
    from pergai.app import serve as run
    from pergai.storage.lock import lock_home

    settings.paths.create()
    with lock_home(settings.paths):  # a folder in use is said in one line, not in the log of a failed start
        pass
    run(settings)


@click.command()
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("demo"), show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the demo's server (PERGAI_PORT).")
@home_and_config
def demo(out: Path, port: int | None, home: Path | None, config: str | None) -> None:
    """Put a product photo through the whole API, and leave a page with the pictures. Fetches the weights that are missing."""
    settings = load(home, config, port=port)
    list(pull_all(of_profile(settings), settings))
    from pergai.demo.run import run

    run(settings, out.expanduser().resolve())


@click.command()
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="A file instead of stdout.")
def openapi(output: Path | None) -> None:
    """Write the OpenAPI document of the HTTP API."""
    import tempfile

    import msgspec

    with tempfile.TemporaryDirectory() as empty:
        from pergai.app import create_app

        schema = create_app(load(Path(empty), "embedded")).openapi_schema.to_schema()
    text = msgspec.json.format(msgspec.json.encode(schema)).decode() + "\n"
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
