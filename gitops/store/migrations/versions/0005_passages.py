"""Changes by the time they moved last: what a period's figures are made from.

Run by ``gitops/store/migrations/env.py``.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(op.f("ix_change_updated_at"), "change", ["updated_at"])
