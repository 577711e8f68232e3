"""Every question the store answers. Plays :class:`gitops.ports.Reading`.

Runs on a store thread inside one transaction, so several answers agree with one another. Each is a
fixed number of statements, whatever the number of rows; none changes anything.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Row, Select, and_, bindparam, func, select
from sqlalchemy.sql.elements import ColumnElement

from gitops.errors import Permanent
from gitops.model.approval import (
    Decision,
    Member,
    MemberState,
    Request,
    RequestState,
    Verdict,
)
from gitops.model.delivery import (
    TERMINAL,
    AppliedObject,
    Cause,
    Change,
    ChangeRecord,
    ChangeState,
    Delivered,
    DeliveryRecord,
    Hold,
    LaneId,
    LaneRecord,
    Pause,
    Rollback,
)
from gitops.model.events import (
    ApplyFinished,
    ChangePlanned,
    Event,
    MemberAsked,
    Notice,
    StoredEvent,
)
from gitops.model.ids import (
    ApplicationName,
    ChangeId,
    DeliveryId,
    Digest,
    PersonName,
    RequestId,
    short,
)
from gitops.model.manifest import ObjectId
from gitops.model.passage import Passage
from gitops.model.plan import Plan
from gitops.model.serving import Role, TokenRecord
from gitops.model.source import SourceStatus
from gitops.model.trail import Asked, Soundness, Stretch, Trail, TrailEvent
from gitops.ports import Memo
from gitops.records import loads
from gitops.store import tables as t
from gitops.store import trail as audit
from gitops.store.chain import Link, verify_chain
from gitops.store.codec import KINDS, decode

MOST = 10_000
"""No answer lists more rows than this at once, whatever it was asked for."""
SHORTEST = 4
"""Characters of a request's id that are enough to name it."""
_AT_ONCE = 5_000
"""Ids in one statement: databases bound the number of parameters."""
_NEAR = 20_000
"""Events about a change's first within which others of its occasion are looked for."""
_LARGE = 50_000
"""Characters of an event's payload from which what it says is kept for a while."""
_HEX = re.compile(r"[0-9a-f]{1,64}\Z")
Names = tuple[str, ...]
T = TypeVar("T")


class Ambiguous(Permanent):
    """The beginning of an id fits several; the message names some of them."""


class SqlReading:
    """Questions over one connection, which the caller opens, keeps in a transaction and closes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    # --- lanes and changes ---

    def lane(self, lane: LaneId) -> LaneRecord:
        """The default record for a lane never seen."""
        row = self._one(_LANE, of_application=lane.application, of_target=lane.target)
        return _lane(row) if row else LaneRecord(lane)

    def lanes(self) -> Sequence[LaneRecord]:
        columns = t.lane.c
        return [_lane(row) for row in self._all(select(t.lane).order_by(*columns[:2]))]

    def change(self, change: ChangeId) -> ChangeRecord | None:
        row = self._one(_CHANGE, of=change)
        return _change(row) if row else None

    def changes(
        self, *, open_only: bool = True, lane: LaneId | None = None, limit: int = 1000
    ) -> Sequence[ChangeRecord]:
        """Newest first. Open changes are all told: there is at most one a lane."""
        newest = _CHANGES.order_by(t.change.c.number.desc())
        still_open = newest.where(t.change.c.state.in_(_OPEN))
        query = still_open if open_only else newest.limit(_most(limit))
        if lane:
            query = query.where(_in(t.change, lane))
        return [_change(row) for row in self._all(query)]

    def find_change(self, id_or_prefix: str) -> ChangeRecord | None:
        """By its id or the beginning of one. Raises Ambiguous when the beginning fits several."""
        rows = self._beginning(_CHANGES, t.change.c.id, t.change.c.number, id_or_prefix)
        _alone(id_or_prefix, [short(row.id, 16) for row in rows])
        return _change(rows[0]) if rows else None

    def of_occasion(self, record: ChangeRecord, *, limit: int = 100) -> Sequence[ChangeRecord]:
        """Changes of the same occasion that were opened about then, itself among them, by lane."""
        number, occasion = t.change.c.number, record.change.occasion
        mine = self._one(select(number).where(t.change.c.id == record.change.id))
        if mine is None or not occasion:
            return [record] if mine else []
        near = number.between(mine.number - _NEAR, mine.number + _NEAR)
        said = t.change.c.payload.contains(f'"occasion":{json.dumps(occasion)}', autoescape=True)
        places = (t.change.c.application, t.change.c.target, number)
        rows = self._all(_CHANGES.where(near, said).order_by(*places).limit(_most(limit)))
        return [found for row in rows if (found := _change(row)).change.occasion == occasion]

    def plan(self, change: ChangeId) -> Plan | None:
        """The present plan, masked, as it was shown."""
        row = self._one(_PLAN, of=change)
        return cast("ChangePlanned", _event(row.kind, row.payload)).plan if row else None

    def approved_seal(self, lane: LaneId, seal: Digest) -> tuple[str, ...]:
        """Persons whose verdicts approved this very seal for a change of this lane that failed.

        Empty once a later change with the seal ended in another way (denied, healthy …): only the
        last word on a seal counts. Superseded ones had no say.
        """
        c = t.change.c
        mine = and_(_in(t.change, lane), c.seal == seal, c.state.in_(_LAST_WORDS))
        last = self._one(select(c.state).where(mine).order_by(c.number.desc()).limit(1))
        if not last or last.state != ChangeState.FAILED:
            return ()
        m = t.request_member.c
        approved = and_(m.change == c.id, m.seal == seal, m.state == MemberState.APPROVED.value)
        failed = and_(mine, c.state == ChangeState.FAILED.value)
        query = select(m.by).join(t.change, approved).where(failed).order_by(c.number.desc())
        row = self._one(query.limit(1))
        return loads(Names, row.by) if row else ()

    def pause(self, application: ApplicationName) -> Pause | None:
        """The last one that nobody ended; it may be over."""
        row = self._one(_PAUSE, of=application)
        return _pause(row) if row else None

    def pauses(self) -> Sequence[Pause]:
        return [_pause(row) for row in self._all(select(t.pause).order_by(t.pause.c.application))]

    # --- requests ---

    def _settle(self) -> None:
        """Before requests are read: a transaction writes what follows from what it did."""

    def request(self, request: RequestId) -> Request | None:
        self._settle()
        found = self._requests(self._all(_REQUEST, of=request))
        return found[0] if found else None

    def find_request(self, id_or_prefix: str) -> Request | None:
        """By its id, or by a beginning of :data:`SHORTEST` characters and more. Raises Ambiguous
        when that fits several."""
        if (known := self.request(RequestId(id_or_prefix))) or len(id_or_prefix) < SHORTEST:
            return known
        self._settle()
        columns = t.request.c
        rows = self._beginning(select(t.request), columns.id, columns.number, id_or_prefix)
        _alone(id_or_prefix, [row.id for row in rows])
        return self._requests(rows)[0] if rows else None

    def requests(
        self, *, open_only: bool = True, limit: int = 100, before: str = ""
    ) -> Sequence[Request]:
        """Newest first; ``before`` is the id of the last one seen (unknown: from the newest)."""
        self._settle()
        number = t.request.c.number
        query = select(t.request).order_by(number.desc()).limit(_most(limit))
        if open_only:
            query = query.where(t.request.c.state == RequestState.OPEN.value)
        if before and (seen := self._one(select(number).where(t.request.c.id == before))):
            query = query.where(number < seen.number)
        return self._requests(self._all(query))

    def request_for(self, occasion: str) -> Request | None:
        """The open request of an occasion; there is at most one."""
        self._settle()
        found = self._requests(self._all(_OPEN_OCCASION, of=occasion))
        return found[0] if found else None

    def _requests(self, rows: Sequence[Row[Any]]) -> list[Request]:
        ids = [row.id for row in rows]
        members, verdicts = self._of(_MEMBERS, ids), self._of(_VERDICTS, ids)
        return [_request(row, members[row.id], verdicts[row.id]) for row in rows]

    def _of(self, query: Select[Any], requests: Sequence[str]) -> Mapping[str, list[Row[Any]]]:
        found: dict[str, list[Row[Any]]] = defaultdict(list)
        for row in self._each(query, requests):
            found[row.request].append(row)
        return found

    # --- deliveries ---

    def deliveries(
        self,
        *,
        lane: LaneId | None = None,
        application: ApplicationName | None = None,
        state: ChangeState | None = None,
        cause: Cause | None = None,
        limit: int = 50,
        before: str = "",
    ) -> Sequence[DeliveryRecord]:
        """Newest first; ``before`` is the id of the last one seen (unknown: from the newest)."""
        number = t.delivery.c.number
        query = _DELIVERIES.order_by(number.desc()).limit(_most(limit))
        if lane:
            query = query.where(_in(t.delivery, lane))
        if application:
            query = query.where(t.delivery.c.application == application)
        if state:
            query = query.where(t.delivery.c.state == state.value)
        if cause:
            query = query.where(t.change.c.cause == cause.value)
        if before and (seen := self._one(select(number).where(t.delivery.c.id == before))):
            query = query.where(number < seen.number)
        return [_delivery(row) for row in self._all(query)]

    def delivery(self, id_or_prefix: str) -> DeliveryRecord | None:
        """By its id, a change's id, or the beginning of either. Raises Ambiguous when the
        beginning fits several."""
        number = t.delivery.c.number
        rows = self._beginning(_DELIVERIES, t.delivery.c.change, number, id_or_prefix)
        _alone(id_or_prefix, [row.delivery_id for row in rows])
        return _delivery(rows[0]) if rows else None

    def _beginning(
        self, query: Select[Any], id: ColumnElement[Any], newest: ColumnElement[Any], text: str
    ) -> Sequence[Row[Any]]:
        """Some rows whose id begins so; none for what is no beginning of an id."""
        if not _HEX.match(text):
            return ()
        fits = and_(id >= text, id < text + "g")
        return self._all(query.where(fits).order_by(newest.desc()).limit(4))

    def passages(
        self, since: float, *, application: ApplicationName | None = None, limit: int = MOST
    ) -> Sequence[Passage]:
        """Changes that ended at ``since`` or later, the newest of them, oldest first."""
        query = _PASSAGES.where(t.change.c.updated_at >= since)
        if application:
            query = query.where(t.change.c.application == application)
        rows = self._all(query.order_by(t.change.c.updated_at.desc()).limit(_most(limit)))
        return [_passage(row) for row in reversed(rows)]

    # --- events ---

    def events(self, subject: str) -> Sequence[StoredEvent]:
        """A subject's whole story, oldest first."""
        return [_stored(link) for link in self.links(subject)]

    def broken(self, subject: str) -> int | None:
        """Sequence of the first of a subject's events that does not follow from those before it;
        None when its story is complete and unchanged."""
        return verify_chain(self, subject)

    def trail(
        self,
        asked: Asked,
        tell: Callable[[TrailEvent], T | None],
        *,
        before: int = 0,
        limit: int = 100,
    ) -> Trail[T]:
        """Events across all subjects, newest first, each as ``tell`` has it; None leaves it out.
        ``before`` is where the last page ended."""
        return audit.trail(self._connection, asked, tell, before, limit)

    def sound(self, subject: str, *, most: int = 1_000) -> Soundness:
        """How a subject's chain stands; of a longer one its newest ``most`` events."""
        return audit.sound(self._connection, subject, most)

    def verified(
        self, after: int = 0, head: str = "", *, limit: int = 5_000, until: int = 0
    ) -> Stretch:
        """The next stretch of a check of every chain, in the order of writing; ``after`` and
        ``head`` are what the stretch before it ended with. ``until`` is the last place to look at
        (0: all)."""
        return audit.verified(self._connection, after, head, limit, until)

    def links(self, subject: str) -> Iterable[Link]:
        """A subject's rows undecoded, for :func:`gitops.store.chain.verify_chain`."""
        c = t.event.c
        query = select(t.event).where(c.subject == subject).order_by(c.sequence)
        return [
            Link(r.sequence, r.subject, r.kind, r.at, r.payload, r.previous, r.hash)
            for r in self._all(query)
        ]

    # --- everything else ---

    def applied(self, lane: LaneId) -> Mapping[ObjectId, AppliedObject]:
        c = t.applied_object.c
        columns = (c.group, c.kind, c.namespace, c.name, c.desired, c.projection, c.uid)
        rows: Sequence[Any] = self._all(select(*columns).where(_in(t.applied_object, lane)))
        return {ObjectId(*row[:4]): AppliedObject(*row[4:]) for row in rows}

    def sources(self) -> Sequence[SourceStatus]:
        rows = self._all(select(t.source.c.status).order_by(t.source.c.name))
        return [loads(SourceStatus, row.status) for row in rows]

    def token(self, hash: str) -> TokenRecord | None:
        c = t.token.c
        query = select(c.id, c.person, c.expires_at, c.role, c.applications)
        row = self._one(query.where(c.hash == hash, c.revoked_at.is_(None)))
        if row is None:
            return None
        applications = loads(tuple[str, ...], row.applications)
        person, role = PersonName(row.person), Role(row.role)
        return TokenRecord(row.id, person, row.expires_at, role, applications)

    def tokens(self) -> Sequence[Mapping[str, Any]]:
        """Newest first: id, person, expires_at, note, created_at, revoked_at, revoked_by, role,
        applications. Never the hash."""
        columns = [column for column in t.token.c if column.name != "hash"]
        query = select(*columns).order_by(t.token.c.created_at.desc(), t.token.c.id)
        return [
            {**row._mapping, "applications": loads(tuple[str, ...], row.applications)}
            for row in self._all(query)
        ]

    def memo(self, owner: str, key: str) -> str | None:
        c = t.memo.c
        found = self._all(select(c.value).where(c.owner == owner, c.key == key))
        return found[0].value if found else None

    def kept_memo(self, owner: str, key: str) -> Memo | None:
        """The same, with when it was kept."""
        c = t.memo.c
        row = self._one(select(c.value, c.at).where(c.owner == owner, c.key == key))
        return Memo(key, row.value, row.at) if row else None

    def memos(self, owner: str, *, limit: int = 100) -> Sequence[Memo]:
        """Of one owner, newest first."""
        c = t.memo.c
        query = select(c.key, c.value, c.at).where(c.owner == owner)
        rows = self._all(query.order_by(c.at.desc(), c.key).limit(limit))
        return tuple(Memo(row.key, row.value, row.at) for row in rows)

    def outbox(
        self, limit: int = 100, *, without: Collection[str] = (), due: float | None = None
    ) -> Sequence[Notice]:
        """Notices not yet delivered, oldest first; with ``due`` only those told by then."""
        c = t.outbox.c
        query = select(t.outbox).where(c.sent_at.is_(None)).order_by(c.created_at, c.id)
        if without:
            query = query.where(c.notifier.not_in(sorted(without)))
        if due is not None:
            query = query.where(c.not_before <= due)
        return [_notice(row) for row in self._all(query.limit(_most(limit)))]

    def told(self, notifier: str, subject: str, now: float) -> bool:
        """Was a notifier told something of a subject, and is nothing more of it held back?"""
        c = t.outbox.c
        query = select(c.sent_at, c.not_before).where(c.notifier == notifier, c.subject == subject)
        rows = self._all(query)
        held = any(row.sent_at is None and row.not_before > now for row in rows)
        return not held and any(row.sent_at is not None for row in rows)

    def held_until(self, now: float) -> float | None:
        """When the first of the notices that are held back is due; None while none is."""
        c = t.outbox.c
        query = select(func.min(c.not_before)).where(c.sent_at.is_(None), c.not_before > now)
        return self._connection.execute(query).scalar()

    def _all(self, query: Select[Any], **values: Any) -> Sequence[Row[Any]]:
        return self._connection.execute(query, values).all()

    def _each(self, query: Select[Any], ids: Sequence[str]) -> Iterator[Row[Any]]:
        for start in range(0, len(ids), _AT_ONCE):
            yield from self._all(query, of=ids[start : start + _AT_ONCE])

    def _one(self, query: Select[Any], **values: Any) -> Row[Any] | None:
        return self._connection.execute(query, values).first()


_OPEN = tuple(state.value for state in ChangeState if not state.terminal)
_LAST_WORDS = tuple(sorted(state.value for state in TERMINAL - {ChangeState.SUPERSEDED}))
_CHANGES = select(t.change, t.delivery.c.id.label("delivery_id")).join_from(
    t.change, t.delivery, t.delivery.c.change == t.change.c.id, isouter=True
)
# The questions of every delivery, built once: building costs four times running.
_OF: Any = bindparam("of")
_ANY_OF: Any = bindparam("of", expanding=True)
_LANE = select(t.lane).where(
    t.lane.c.application == bindparam("of_application"),
    t.lane.c.target == bindparam("of_target"),
)
_PAUSE = select(t.pause).where(t.pause.c.application == _OF)
_CHANGE = _CHANGES.where(t.change.c.id == _OF)
_PLAN = (
    select(t.event.c.kind, t.event.c.payload)
    .join(t.plan, t.plan.c.number == t.event.c.sequence)
    .where(t.plan.c.change == _OF)
)
_REQUEST = select(t.request).where(t.request.c.id == _OF)
_OPEN_OCCASION = select(t.request).where(
    t.request.c.occasion == _OF, t.request.c.state == RequestState.OPEN.value
)
_MEMBERS = (
    select(t.request_member)
    .where(t.request_member.c.request.in_(_ANY_OF))
    .order_by(t.request_member.c.number)
)
_VERDICTS = (
    select(t.verdict.c.request, t.verdict.c.number, t.verdict.c.payload)
    .where(t.verdict.c.request.in_(_ANY_OF))
    .order_by(t.verdict.c.number)
)
_DELIVERIES = select(
    t.change,
    t.delivery.c.id.label("delivery_id"),
    t.delivery.c.started_at,
    t.delivery.c.finished_at,
    t.delivery.c.state.label("delivery_state"),
    t.delivery.c.reason.label("delivery_reason"),
    t.delivery.c.approved_by,
    t.delivery.c.versions,
).join_from(t.delivery, t.change)
Versions = tuple[tuple[str, str], ...]


def _first(kind: type[Any]) -> Any:
    """When a change's first event of a kind was written; a walk along its own few events."""
    names = [name for name, known in KINDS.items() if known is kind]
    # Joined to nothing, so that it is no column of an index: of two, SQLite would take the one by
    # kind, and walk every event of that kind for each change.
    is_kind = (t.event.c.kind + "").in_(names)
    mine = and_(t.event.c.subject == t.change.c.id, is_kind)
    return select(func.min(t.event.c.at)).where(mine).scalar_subquery()


_PASSAGES = (
    select(
        t.change.c.id,
        t.change.c.application,
        t.change.c.target,
        t.change.c.generation,
        t.change.c.cause,
        t.change.c.state,
        t.change.c.payload,
        t.change.c.opened_at,
        t.change.c.updated_at,
        t.delivery.c.started_at,
        _first(ChangePlanned).label("planned_at"),
        _first(MemberAsked).label("asked_at"),
        _first(ApplyFinished).label("applied_at"),
        select(func.max(t.verdict.c.at))
        .where(
            t.verdict.c.request == t.change.c.request,
            t.verdict.c.decision == Decision.APPROVE.value,
            t.verdict.c.at <= func.coalesce(t.delivery.c.started_at, t.change.c.updated_at),
        )
        .scalar_subquery()
        .label("answered_at"),
    )
    .join_from(t.change, t.delivery, t.delivery.c.change == t.change.c.id, isouter=True)
    # Said as what they are not: of two indexes SQLite would take the one by state otherwise, and
    # sort all that ever ended.
    .where(t.change.c.state.not_in(_OPEN))
)


def _alone(text: str, ids: Sequence[str]) -> None:
    if len(ids) > 1:
        more = " and more" if len(ids) > 3 else ""
        hint = "give more of its characters"
        raise Ambiguous(f"{text} fits {', '.join(ids[:3])}{more}", hint=hint)


def _in(table: Any, lane: LaneId) -> ColumnElement[bool]:
    columns = table.c
    return and_(columns.application == lane.application, columns.target == lane.target)


def _most(limit: int) -> int:
    return max(0, min(limit, MOST))


def _maybe(kind: Any, text: str | None) -> Any:
    return None if text is None else loads(kind, text)


def _lane(row: Row[Any]) -> LaneRecord:
    return LaneRecord(
        LaneId(row.application, row.target),
        row.generation,
        _maybe(Delivered, row.delivered),
        row.current,
        _maybe(Hold, row.hold),
        _maybe(Hold, row.drift_hold),
        _maybe(Rollback, row.rollback),
    )


def _pause(row: Row[Any]) -> Pause:
    application, by = ApplicationName(row.application), PersonName(row.by)
    return Pause(application, by, row.why, row.since, row.until)


def _change(row: Row[Any]) -> ChangeRecord:
    return ChangeRecord(
        loads(Change, row.payload),
        ChangeState(row.state),
        row.opened_at,
        row.updated_at,
        row.reason,
        row.plan,
        row.seal,
        row.request,
        row.delivery_id,
    )


def _delivery(row: Row[Any]) -> DeliveryRecord:
    return DeliveryRecord(
        DeliveryId(row.delivery_id),
        _change(row),
        row.started_at,
        row.finished_at,
        ChangeState(row.delivery_state),
        row.delivery_reason,
        loads(Names, row.approved_by),
        loads(Versions, row.versions),
    )


def _passage(row: Row[Any]) -> Passage:
    return Passage(
        row.id,
        LaneId(row.application, row.target),
        Cause(row.cause),
        ChangeState(row.state),
        row.generation,
        _committed(row.payload),
        row.opened_at,
        row.updated_at,
        row.planned_at,
        row.asked_at,
        row.answered_at,
        row.started_at,
        row.applied_at,
    )


def _committed(payload: str) -> tuple[float, ...]:
    """Of a kept change, its commits' times alone: to read all of it would take five times as long,
    for thousands at once."""
    commits = json.loads(payload).get("authorship", {}).get("commits", ())
    return tuple(commit.get("time", 0.0) for commit in commits)


Yes = Mapping[tuple[str, str], Sequence[tuple[int, PersonName]]]
"""(change, seal) → places of the answers that said yes to it, and whose they are."""


def _member(row: Row[Any], said: Yes) -> Member:
    """Rows of members and answers carry the place of their event, so that they have an order."""
    yes = {who for number, who in said.get((row.change, row.seal), ()) if number > row.number}
    state = MemberState(row.state)
    by = tuple(sorted(yes))
    return Member(row.change, row.seal, row.plan, state, row.expires_at, row.moved, by, row.reason)


def _request(row: Row[Any], members: list[Row[Any]], answers: list[Row[Any]]) -> Request:
    verdicts = [(answer.number, loads(Verdict, answer.payload)) for answer in answers]
    said: dict[tuple[str, str], list[tuple[int, PersonName]]] = defaultdict(list)
    for number, verdict in verdicts:
        for pair in verdict.covers if verdict.decision is Decision.APPROVE else ():
            said[pair].append((number, verdict.person))
    return Request(
        RequestId(row.id),
        row.occasion,
        row.title,
        row.root,
        RequestState(row.state),
        tuple(_member(member, said) for member in members),
        row.opened_at,
        tuple(verdict for _, verdict in verdicts),
    )


def _event(kind: str, payload: str) -> Event:
    """Plans of thousands of objects take long to read back, and pages that are live read the same
    one again and again. Events are frozen, so the same text may be the same value."""
    return _large(kind, payload) if len(payload) > _LARGE else decode(kind, payload)


_large = lru_cache(maxsize=8)(decode)


def _stored(link: Link) -> StoredEvent:
    event = _event(link.kind, link.payload)
    previous, hash = Digest(link.previous), Digest(link.hash)
    return StoredEvent(link.sequence, link.subject, link.kind, link.at, event, previous, hash)


def _notice(row: Row[Any]) -> Notice:
    return Notice(
        row.id,
        row.notifier,
        row.kind,
        row.subject,
        loads(dict[str, object], row.payload),
        row.created_at,
        row.attempts,
        row.channel,
        row.not_before,
    )
