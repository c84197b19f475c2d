"""Alembic's entry point: run the migrations on the database that `upgrade` names."""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine

from pergai.db.tables import metadata

engine = create_engine(context.config.attributes.get("url") or "sqlite://")
with engine.connect() as connection:
    connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
engine.dispose()
