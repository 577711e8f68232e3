"""What adapters have to remember: messages posted, webhook deliveries seen, who pushed what.

Run by ``gitops/store/migrations/env.py``.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "memo",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "key", name=op.f("pk_memo")),
    )
    op.create_index(op.f("ix_memo_owner_at"), "memo", ["owner", "at"])
