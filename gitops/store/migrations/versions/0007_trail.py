"""Events by time and by kind: what the audit is asked for.

Run by ``gitops/store/migrations/env.py``.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(op.f("ix_event_at_sequence"), "event", ["at", "sequence"])
    op.create_index(op.f("ix_event_kind_sequence"), "event", ["kind", "sequence"])
