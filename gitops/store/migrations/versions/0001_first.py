"""The first schema: events and everything that follows from them.

Frozen: later changes are migrations of their own. Run by ``gitops/store/migrations/env.py``.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _applied_object()
    _event()
    _lease()
    _outbox()
    _project()
    _request()
    _source()
    _token()
    _lane()
    _verdict()
    _change()
    _delivery()
    _plan()
    _request_member()
    op.execute("INSERT INTO project (name) VALUES ('default')")


def _applied_object() -> None:
    op.create_table(
        "applied_object",
        sa.Column("application", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("group", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("desired", sa.Text(), nullable=False),
        sa.Column("projection", sa.Text(), nullable=False),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint(
            "application", "target", "group", "kind", "namespace", "name", name="pk_applied_object"
        ),
    )


def _event() -> None:
    op.create_table(
        "event",
        sa.Column("sequence", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("previous", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_event"),
        sa.UniqueConstraint("subject", "previous", name="uq_event_subject_previous"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_event_subject_sequence", "event", ["subject", "sequence"], unique=False)


def _lease() -> None:
    op.create_table(
        "lease",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("epoch", _NUMBER, nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_lease"),
    )


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("notifier", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("sent_at", sa.Double()),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
    )
    op.create_index(
        "ix_outbox_waiting",
        "outbox",
        ["created_at"],
        unique=False,
        sqlite_where=sa.text("sent_at IS NULL"),
        postgresql_where=sa.text("sent_at IS NULL"),
    )


def _project() -> None:
    op.create_table(
        "project",
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_project"),
    )


def _request() -> None:
    op.create_table(
        "request",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("number", _NUMBER, nullable=False),
        sa.Column("occasion", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("root", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_request"),
        sa.UniqueConstraint("number", name="uq_request_number"),
    )
    op.create_index("ix_request_state_number", "request", ["state", "number"], unique=False)
    op.create_index(
        "uq_request_open_occasion",
        "request",
        ["occasion"],
        unique=True,
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    )


def _source() -> None:
    op.create_table(
        "source",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_source"),
    )


def _token() -> None:
    op.create_table(
        "token",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("revoked_at", sa.Double()),
        sa.Column("revoked_by", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_token"),
        sa.UniqueConstraint("hash", name="uq_token_hash"),
    )


def _lane() -> None:
    op.create_table(
        "lane",
        sa.Column("application", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), server_default="default", nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("current", sa.Text()),
        sa.Column("delivered", sa.Text()),
        sa.Column("hold", sa.Text()),
        sa.Column("drift_hold", sa.Text()),
        sa.ForeignKeyConstraint(["project"], ["project.name"], name="fk_lane_project"),
        sa.PrimaryKeyConstraint("application", "target", name="pk_lane"),
    )


def _verdict() -> None:
    op.create_table(
        "verdict",
        sa.Column("number", _NUMBER, autoincrement=False, nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("root", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["number"], ["event.sequence"], name="fk_verdict_number"),
        sa.ForeignKeyConstraint(["request"], ["request.id"], name="fk_verdict_request"),
        sa.PrimaryKeyConstraint("number", name="pk_verdict"),
    )
    op.create_index("ix_verdict_request", "verdict", ["request"], unique=False)


def _change() -> None:
    op.create_table(
        "change",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("number", _NUMBER, nullable=False),
        sa.Column("application", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.Column("plan", sa.Text()),
        sa.Column("seal", sa.Text()),
        sa.Column("request", sa.Text()),
        sa.Column("auto_seal", sa.Text()),
        sa.Column("auto_policy", sa.Text()),
        sa.ForeignKeyConstraint(
            ["application", "target"],
            ["lane.application", "lane.target"],
            name="fk_change_application_target",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_change"),
        sa.UniqueConstraint("number", name="uq_change_number"),
    )
    op.create_index(
        "ix_change_application_target_number",
        "change",
        ["application", "target", "number"],
        unique=False,
    )
    op.create_index("ix_change_state", "change", ["state"], unique=False)


def _delivery() -> None:
    op.create_table(
        "delivery",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("number", _NUMBER, nullable=False),
        sa.Column("change", sa.Text(), nullable=False),
        sa.Column("application", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("finished_at", sa.Double()),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("approved_by", sa.Text(), nullable=False),
        sa.Column("versions", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["application", "target"],
            ["lane.application", "lane.target"],
            name="fk_delivery_application_target",
        ),
        sa.ForeignKeyConstraint(["change"], ["change.id"], name="fk_delivery_change"),
        sa.PrimaryKeyConstraint("id", name="pk_delivery"),
        sa.UniqueConstraint("change", name="uq_delivery_change"),
        sa.UniqueConstraint("number", name="uq_delivery_number"),
    )
    op.create_index(
        "ix_delivery_application_target_number",
        "delivery",
        ["application", "target", "number"],
        unique=False,
    )


def _plan() -> None:
    op.create_table(
        "plan",
        sa.Column("change", sa.Text(), nullable=False),
        sa.Column("number", _NUMBER, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("seal", sa.Text(), nullable=False),
        sa.Column("versions", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["change"], ["change.id"], name="fk_plan_change"),
        sa.ForeignKeyConstraint(["number"], ["event.sequence"], name="fk_plan_number"),
        sa.PrimaryKeyConstraint("change", name="pk_plan"),
    )


def _request_member() -> None:
    op.create_table(
        "request_member",
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("change", sa.Text(), nullable=False),
        sa.Column("number", _NUMBER, nullable=False),
        sa.Column("seal", sa.Text(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("moved", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["change"], ["change.id"], name="fk_request_member_change"),
        sa.ForeignKeyConstraint(["request"], ["request.id"], name="fk_request_member_request"),
        sa.PrimaryKeyConstraint("request", "change", name="pk_request_member"),
    )
    op.create_index(
        "ix_request_member_change_state", "request_member", ["change", "state"], unique=False
    )
