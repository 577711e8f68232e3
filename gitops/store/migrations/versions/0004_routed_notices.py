"""Where a notice goes, and until when it is held back.

Run by ``gitops/store/migrations/env.py``.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("outbox", sa.Column("channel", sa.Text(), nullable=False, server_default=""))
    op.add_column(
        "outbox", sa.Column("not_before", sa.Double(), nullable=False, server_default="0")
    )
