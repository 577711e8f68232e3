"""Lanes that were set back, applications that are paused, and an application's deliveries in order.

Run by ``gitops/store/migrations/env.py``.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("lane", sa.Column("rollback", sa.Text()))
    op.create_table(
        "pause",
        sa.Column("application", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("application", name=op.f("pk_pause")),
    )
    op.create_index(op.f("ix_delivery_application_number"), "delivery", ["application", "number"])
