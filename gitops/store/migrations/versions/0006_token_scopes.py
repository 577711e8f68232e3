"""What a token is cut down to; those there are were made without a cut.

Run by ``gitops/store/migrations/env.py``.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("token", sa.Column("role", sa.Text(), nullable=False, server_default="admin"))
    op.add_column(
        "token", sa.Column("applications", sa.Text(), nullable=False, server_default="[]")
    )
