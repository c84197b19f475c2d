"""The queue's index holds what is queued, not everything that ever was.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_generation_queue", table_name="generation")
    op.create_index(
        "ix_generation_pending",
        "generation",
        ["library", "priority", "id", "crashes", "provider"],
        sqlite_where=sa.text("status = 'pending'"),
    )
    op.create_index(
        "ix_generation_suspect",
        "generation",
        ["library", "priority", "id"],
        sqlite_where=sa.text("status = 'pending' AND crashes > 0"),
    )
    op.create_index("ix_generation_processing", "generation", ["id"], sqlite_where=sa.text("status = 'processing'"))


def downgrade() -> None:
    for name in ("processing", "suspect", "pending"):
        op.drop_index(f"ix_generation_{name}", table_name="generation")
    op.create_index("ix_generation_queue", "generation", ["status", "library", "priority", "id"])
