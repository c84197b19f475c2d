"""A library may have a brand kit.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

import pergai.db.tables

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "brand_kit",
        sa.Column("library", sa.String(), nullable=False),
        sa.Column("colours", sa.JSON(), nullable=False),
        sa.Column("scenes", sa.JSON(), nullable=False),
        sa.Column("safe_area", sa.JSON(), nullable=True),
        sa.Column("updated_at", pergai.db.tables.Instant(), nullable=False),
        sa.PrimaryKeyConstraint("library", name=op.f("pk_brand_kit")),
    )


def downgrade() -> None:
    op.drop_table("brand_kit")
