"""One serialised write. Plays :class:`gitops.ports.Transaction`.

Made by the store for each piece of work, after the lease epoch was checked in the same database
transaction. ``append`` is the only way state changes; ``record_applied``, ``enqueue`` and ``sent``
keep what is no fact of the audit trail.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from sqlalchemy import Connection, and_, bindparam, delete, insert, select, update

from gitops.errors import StaleWrite
from gitops.model.delivery import AppliedObject, LaneId
from gitops.model.events import Event, Notice
from gitops.model.manifest import ObjectId
from gitops.records import dumps
from gitops.store import tables as t
from gitops.store.asked import Asked
from gitops.store.chain import link_hash
from gitops.store.codec import encode, kind_of, subject_of
from gitops.store.projections import Step, project
from gitops.store.reading import SqlReading
from gitops.store.upsert import insert_new, upsert


class SqlTransaction(SqlReading):
    """Reads what it wrote itself; everything it does becomes durable together, or not at all."""

    def __init__(self, connection: Connection, at: float) -> None:
        super().__init__(connection)
        self._at = at
        self._refused: StaleWrite | None = None
        self._asked = Asked(connection)

    def append(self, event: Event) -> int:
        """Chains the event and applies it to the tables; StaleWrite if its precondition fails.
        Returns its sequence."""
        sequence = self._chain(event)
        try:
            project(Step(self._connection, sequence, self._at, self._asked), event)
        except StaleWrite as refusal:
            self._refused = refusal
            raise
        return sequence

    def finish(self) -> None:
        """Before commit: work that swallowed a refusal must not keep the half it did."""
        if self._refused:
            raise self._refused
        self._settle()

    def _settle(self) -> None:
        self._asked.settle()

    def record_applied(self, lane: LaneId, seen: Mapping[ObjectId, AppliedObject | None]) -> None:
        """Upserts; None removes. One statement each, whatever the number of objects."""
        lane_key = {"application": lane.application, "target": lane.target}
        kept = [
            {
                **lane_key,
                **_key(id),
                "desired": one.desired,
                "projection": one.projection,
                "uid": one.uid,
            }
            for id, one in seen.items()
            if one is not None
        ]
        gone = [_bound({**lane_key, **_key(id)}) for id, one in seen.items() if one is None]
        if kept:
            self._connection.execute(upsert(self._connection, t.applied_object), kept)
        if gone:
            self._connection.execute(_FORGET, gone)

    def enqueue(self, notice: Notice) -> None:
        """A notice whose id is known already, delivered or not, is not queued again."""
        values = {
            "id": notice.id,
            "notifier": notice.notifier,
            "kind": notice.kind,
            "subject": notice.subject,
            "payload": dumps(dict[str, object], notice.payload),
            "created_at": notice.created_at or self._at,
            "attempts": notice.attempts,
            "error": "",
            "channel": notice.channel,
            "not_before": notice.not_before,
        }
        self._connection.execute(insert_new(self._connection, t.outbox), values)

    def sent(self, notice: str, attempts: int, error: str = "") -> None:
        """Marks a notice delivered (no error) or counts an attempt."""
        values: dict[str, Any] = {"attempts": attempts, "error": error}
        if not error:
            values["sent_at"] = self._at
        self._connection.execute(_SENT, {"of": notice, **values})

    def memorise(self, owner: str, key: str, value: str | None) -> None:
        """Keeps a value for an adapter until it is replaced; None forgets it."""
        if value is None:
            self._connection.execute(_FORGET_MEMO, {"of": owner, "named": key})
            return
        row = {"owner": owner, "key": key, "value": value, "at": self._at}
        self._connection.execute(upsert(self._connection, t.memo), [row])

    def memorise_first(self, owner: str, key: str, value: str) -> bool:
        """The same, only if there is none: False when somebody was first."""
        row = {"owner": owner, "key": key, "value": value, "at": self._at}
        # How many rows it made is not told by every driver.
        statement = insert_new(self._connection, t.memo).returning(t.memo.c.key)
        return self._connection.execute(statement, row).first() is not None

    def forget_memos(self, owner: str, before: float) -> None:
        """Those of one owner kept before that time."""
        self._connection.execute(_FORGET_MEMOS, {"of": owner, "before": before})

    def _chain(self, event: Event) -> int:
        """Writes the event's row behind its subject's last one; returns its sequence."""
        subject, kind, payload = subject_of(event), kind_of(event), encode(event)
        previous = self._connection.execute(_LAST, {"of": subject}).scalar() or ""
        row = {
            "subject": subject,
            "kind": kind,
            "at": self._at,
            "payload": payload,
            "previous": previous,
            "hash": link_hash(previous, subject, kind, payload, self._at),
        }
        result = self._connection.execute(_EVENT, row)
        return int(cast("Any", result.inserted_primary_key)[0])


def _key(id: ObjectId) -> dict[str, str]:
    return {"group": id.group, "kind": id.kind, "namespace": id.namespace, "name": id.name}


def _bound(key: dict[str, str]) -> dict[str, str]:
    return {f"at_{name}": value for name, value in key.items()}


_EVENT = insert(t.event)
_LAST = (
    select(t.event.c.hash)
    .where(t.event.c.subject == bindparam("of"))
    .order_by(t.event.c.sequence.desc())
    .limit(1)
)
_SENT = update(t.outbox).where(t.outbox.c.id == bindparam("of"))
_FORGET_MEMO = delete(t.memo).where(
    t.memo.c.owner == bindparam("of"), t.memo.c.key == bindparam("named")
)
_FORGET_MEMOS = delete(t.memo).where(
    t.memo.c.owner == bindparam("of"), t.memo.c.at < bindparam("before")
)
_FORGET = delete(t.applied_object).where(
    and_(*(c == bindparam(f"at_{c.name}") for c in t.applied_object.primary_key))
)
