"""Schema changes, one file each, applied when the server opens its database. Used only by the server itself."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine


def upgrade(database: Path) -> None:
    """Bring the file to the newest schema, making it if it is missing. Blocks; run before anything else opens it."""
    command.upgrade(_config(database), "head")


def current(database: Path) -> tuple[str | None, str | None]:
    """(the file's revision, the newest one)."""
    engine = create_engine(f"sqlite:///{database}")
    try:
        with engine.connect() as connection:
            revision = MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()
    return revision, ScriptDirectory.from_config(_config(database)).get_current_head()


def _config(database: Path) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["url"] = f"sqlite:///{database}"
    return config
