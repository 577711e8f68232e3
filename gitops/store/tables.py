"""The store's tables, as SQLAlchemy Core sees them.

``event`` is the truth: appended to, chained per subject, never changed. Every other table but
``lease``, ``outbox``, ``memo`` and ``applied_object`` follows from it by the projections and exists
so that questions are one look-up. The schema itself is made by the migrations; a contract test
compares the two. ``number`` columns hold the sequence of the event that made the row: newest first
is one index walk. Times are seconds since the epoch; ``JSON`` text is canonical
(:mod:`gitops.records`).
"""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import TypeDecorator

HEAD = "0007"
"""The newest migration; a test holds it to the folder of migrations."""

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class Words(TypeDecorator[str]):
    """Text that may be foreign. What PostgreSQL cannot hold (NUL, lone surrogates) becomes U+FFFD;
    the event keeps the original, escaped."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        if value is None or (value.isascii() and "\x00" not in value):
            return value
        return _UNSTORABLE.sub("\ufffd", value)


Number = BigInteger().with_variant(Integer, "sqlite")
"""SQLite grows only an INTEGER primary key by itself."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _lane(**options: Any) -> tuple[Column[Any], Column[Any]]:
    return (
        Column("application", Words, nullable=False, **options),
        Column("target", Words, nullable=False, **options),
    )


def _to_lane() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["application", "target"], ["lane.application", "lane.target"])


project = Table("project", metadata, Column("name", Words, primary_key=True))

event = Table(
    "event",
    metadata,
    Column("sequence", Number, primary_key=True, autoincrement=True),
    Column("subject", Words, nullable=False),
    Column("kind", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("payload", Text, nullable=False),
    Column("previous", Text, nullable=False),
    Column("hash", Text, nullable=False),
    # Two writers cannot both follow the same event: a chain never forks.
    UniqueConstraint("subject", "previous"),
    Index(None, "subject", "sequence"),
    Index(None, "at", "sequence"),
    Index(None, "kind", "sequence"),
    sqlite_autoincrement=True,
)

lane = Table(
    "lane",
    metadata,
    *_lane(primary_key=True),
    Column("project", Words, ForeignKey("project.name"), nullable=False, server_default="default"),
    Column("generation", Integer, nullable=False),
    Column("current", Text),
    Column("delivered", Text),
    Column("hold", Text),
    Column("drift_hold", Text),
    Column("rollback", Text),
)

pause = Table(
    "pause",
    metadata,
    Column("application", Words, primary_key=True),
    Column("by", Words, nullable=False),
    Column("why", Words, nullable=False),
    Column("since", Double, nullable=False),
    Column("until", Double, nullable=False),
)
"""One that is over is still here until somebody, or its end, was written down."""

change = Table(
    "change",
    metadata,
    Column("id", Text, primary_key=True),
    Column("number", Number, nullable=False, unique=True),
    *_lane(),
    Column("generation", Integer, nullable=False),
    Column("cause", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Words, nullable=False),
    Column("opened_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("plan", Text),
    Column("seal", Text),
    Column("request", Words),
    Column("auto_seal", Text),
    Column("auto_policy", Words),
    _to_lane(),
    Index(None, "application", "target", "number"),
    Index(None, "state"),
    Index(None, "updated_at"),
)

plan = Table(
    "plan",
    metadata,
    Column("change", Text, ForeignKey("change.id"), primary_key=True),
    Column("number", Number, ForeignKey("event.sequence"), nullable=False),
    Column("digest", Text, nullable=False),
    Column("seal", Text, nullable=False),
    Column("versions", Text, nullable=False),
)
"""The present plan of each change; the plan itself is in the event it points to."""

request = Table(
    "request",
    metadata,
    Column("id", Words, primary_key=True),
    Column("number", Number, nullable=False, unique=True),
    Column("occasion", Words, nullable=False),
    Column("title", Words, nullable=False),
    Column("root", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("opened_at", Double, nullable=False),
    Index(
        "uq_request_open_occasion",
        "occasion",
        unique=True,
        sqlite_where=text("state = 'open'"),
        postgresql_where=text("state = 'open'"),
    ),
    Index(None, "state", "number"),
)

request_member = Table(
    "request_member",
    metadata,
    Column("request", Words, ForeignKey("request.id"), nullable=False),
    Column("change", Text, ForeignKey("change.id"), nullable=False),
    Column("number", Number, nullable=False),
    Column("seal", Text, nullable=False),
    Column("plan", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("moved", Words, nullable=False),
    Column("by", Text, nullable=False),
    Column("reason", Words, nullable=False),
    PrimaryKeyConstraint("request", "change"),
    Index(None, "change", "state"),
)

verdict = Table(
    "verdict",
    metadata,
    Column("number", Number, ForeignKey("event.sequence"), primary_key=True, autoincrement=False),
    Column("request", Words, ForeignKey("request.id"), nullable=False, index=True),
    Column("root", Text, nullable=False),
    Column("person", Words, nullable=False),
    Column("decision", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("payload", Text, nullable=False),
)

delivery = Table(
    "delivery",
    metadata,
    Column("id", Text, primary_key=True),
    Column("number", Number, nullable=False, unique=True),
    Column("change", Text, ForeignKey("change.id"), nullable=False, unique=True),
    *_lane(),
    Column("started_at", Double, nullable=False),
    Column("finished_at", Double),
    Column("state", Text, nullable=False),
    Column("reason", Words, nullable=False),
    Column("approved_by", Text, nullable=False),
    Column("versions", Text, nullable=False),
    _to_lane(),
    Index(None, "application", "target", "number"),
    Index(None, "application", "number"),
)

source = Table(
    "source",
    metadata,
    Column("name", Words, primary_key=True),
    Column("status", Text, nullable=False),
    Column("at", Double, nullable=False),
)

token = Table(
    "token",
    metadata,
    Column("id", Words, primary_key=True),
    Column("person", Words, nullable=False),
    Column("hash", Text, nullable=False, unique=True),
    Column("expires_at", Double, nullable=False),
    Column("note", Words, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("revoked_at", Double),
    Column("revoked_by", Words),
    Column("role", Text, nullable=False, server_default="admin"),
    Column("applications", Text, nullable=False, server_default="[]"),
)

lease = Table(
    "lease",
    metadata,
    Column("name", Words, primary_key=True),
    Column("holder", Words, nullable=False),
    Column("epoch", Number, nullable=False),
    Column("expires_at", Double, nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Words, primary_key=True),
    Column("notifier", Words, nullable=False),
    Column("kind", Words, nullable=False),
    Column("subject", Words, nullable=False),
    Column("payload", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("error", Words, nullable=False),
    Column("sent_at", Double),
    Column("channel", Words, nullable=False, server_default=""),
    Column("not_before", Double, nullable=False, server_default="0"),
    Index(
        "ix_outbox_waiting",
        "created_at",
        sqlite_where=text("sent_at IS NULL"),
        postgresql_where=text("sent_at IS NULL"),
    ),
)

memo = Table(
    "memo",
    metadata,
    Column("owner", Words, primary_key=True),
    Column("key", Words, primary_key=True),
    Column("value", Words, nullable=False),
    Column("at", Double, nullable=False),
    Index(None, "owner", "at"),
)
"""What adapters remember between runs; follows from no event and decides nothing by itself."""

applied_object = Table(
    "applied_object",
    metadata,
    *_lane(primary_key=True),
    Column("group", Words, primary_key=True),
    Column("kind", Words, primary_key=True),
    Column("namespace", Words, primary_key=True),
    Column("name", Words, primary_key=True),
    Column("desired", Text, nullable=False),
    Column("projection", Text, nullable=False),
    Column("uid", Words, nullable=False),
)
