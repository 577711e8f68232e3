"""What each event does to the tables, and what must hold for it to be appended at all.

One function per event kind, found by :func:`project`. Each raises StaleWrite when the precondition
written on the event no longer holds; the whole transaction is lost then. Called by the transaction
after the event's row is written, with the event's own sequence and time; nothing else in the code
base changes these tables. This is the last place that can stop an unapproved change, so it trusts
nobody: not the gate, not the desk, not the lanes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from sqlalchemy import Connection, Row, Table, and_, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gitops.errors import StaleWrite
from gitops.model import events as e
from gitops.model.approval import Decision, Member, MemberState, RequestState, Verdict, root_of
from gitops.model.delivery import Cause, ChangeState, Delivered, Hold, LaneId
from gitops.model.ids import Digest, PersonName
from gitops.model.source import SourceStatus
from gitops.records import dumps, loads
from gitops.store import tables as t
from gitops.store.reading import Names, SqlReading, Versions

_UNCLAIMED = (ChangeState.OPEN, ChangeState.BLOCKED, ChangeState.ASKING)
_CLAIMABLE = (ChangeState.OPEN, ChangeState.ASKING)
_CLAIMED = (ChangeState.APPLYING, ChangeState.VERIFYING)
_ENDS = {
    True: frozenset({ChangeState.HEALTHY, ChangeState.FAILED, ChangeState.UNCHANGED}),
    False: frozenset(s for s in ChangeState if s.terminal) - {ChangeState.HEALTHY},
}
"""Terminal states by whether the change was claimed: what is applied is never cancelled, and what
was not is never called healthy."""


@dataclass(frozen=True, slots=True)
class Step:
    """One event on its way into the tables."""

    connection: Connection
    sequence: int
    at: float

    def one(self, query: Any) -> Row[Any] | None:
        return self.connection.execute(query).first()

    def run(self, statement: Any) -> int:
        """Executes and returns the number of rows it met."""
        return int(self.connection.execute(statement).rowcount)


E = TypeVar("E")
Projection = Callable[[Step, Any], None]
PROJECTIONS: dict[type[Any], Projection] = {}


def project(step: Step, event: e.Event) -> None:
    """Applies an event to the tables. Raises StaleWrite."""
    PROJECTIONS[type(event)](step, event)


def upsert(connection: Connection, table: Table) -> Any:
    """``INSERT … ON CONFLICT (primary key) DO UPDATE`` of every other column. Takes one row's
    values or a list of them at execution."""
    make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement: Any = make(table)
    changed = {c.name: statement.excluded[c.name] for c in table.c if not c.primary_key}
    return statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=changed)


def _on(kind: type[E]) -> Callable[[Callable[[Step, E], None]], Callable[[Step, E], None]]:
    def register(function: Callable[[Step, E], None]) -> Callable[[Step, E], None]:
        PROJECTIONS[kind] = function
        return function

    return register


def _stale(why: str) -> NoReturn:
    raise StaleWrite(why)


# --- changes ----------------------------------------------------------------------------------


@_on(e.ChangeOpened)
def _change_opened(step: Step, event: e.ChangeOpened) -> None:
    change = event.change
    _occupy(step, change.lane, change.generation, change.id)
    step.run(
        insert(t.change).values(
            id=change.id,
            number=step.sequence,
            application=change.lane.application,
            target=change.lane.target,
            generation=change.generation,
            cause=change.cause.value,
            payload=dumps(type(change), change),
            state=ChangeState.OPEN.value,
            reason="",
            opened_at=step.at,
            updated_at=step.at,
        )
    )


def _occupy(step: Step, lane: LaneId, generation: int, change: str) -> None:
    row = step.one(select(t.lane.c.generation, t.lane.c.current).where(_lane_is(lane)))
    known = row.generation if row else 0
    if row and row.current:
        _stale(f"{lane} already works on a change")
    if known != generation:
        _stale(f"{lane} is at generation {known}, the change was made for {generation}")
    if row:
        step.run(update(t.lane).where(_lane_is(lane)).values(current=change))
        return
    names = {"application": lane.application, "target": lane.target}
    step.run(insert(t.lane).values(**names, generation=generation, current=change))


@_on(e.ChangePlanned)
def _change_planned(step: Step, event: e.ChangePlanned) -> None:
    row = _open_change(step, event.change, _UNCLAIMED, "planned")
    if event.plan.change != event.change:
        _stale("the plan belongs to another change")
    asking = row.state == ChangeState.ASKING and row.seal == event.seal
    state = ChangeState.ASKING if asking else ChangeState.OPEN
    values = {"plan": event.plan.digest, "seal": event.seal, "reason": ""}
    _move(step, event.change, state, **values)
    step.connection.execute(
        upsert(step.connection, t.plan),
        {
            "change": event.change,
            "number": step.sequence,
            "digest": event.plan.digest,
            "seal": event.seal,
            "versions": dumps(Versions, event.plan.versions),
        },
    )


@_on(e.ChangeBlocked)
def _change_blocked(step: Step, event: e.ChangeBlocked) -> None:
    _open_change(step, event.change, _UNCLAIMED, "blocked")
    _move(step, event.change, ChangeState.BLOCKED, reason=event.reason)


@_on(e.AutoApproved)
def _auto_approved(step: Step, event: e.AutoApproved) -> None:
    row = _open_change(step, event.change, _CLAIMABLE, "approved by a policy")
    _same_seal(row, event.seal)
    values = {"auto_seal": event.seal, "auto_policy": event.policy}
    step.run(update(t.change).where(t.change.c.id == event.change).values(**values))


@_on(e.Claimed)
def _claimed(step: Step, event: e.Claimed) -> None:
    row = _open_change(step, event.change, _CLAIMABLE, "claimed")
    _same_seal(row, event.seal)
    if not event.approved_by or not _approved(step, row, event.seal):
        _stale("nobody approved this change under its present seal")
    versions = step.one(select(t.plan.c.versions).where(t.plan.c.change == event.change))
    _move(step, event.change, ChangeState.APPLYING)
    step.run(
        insert(t.delivery).values(
            id=event.change[:16],
            number=step.sequence,
            change=event.change,
            application=row.application,
            target=row.target,
            started_at=step.at,
            state=ChangeState.APPLYING.value,
            reason="",
            approved_by=dumps(Names, event.approved_by),
            versions=versions.versions if versions else "[]",
        )
    )


def _approved(step: Step, change: Row[Any], seal: Digest) -> bool:
    """By a policy, by people in a request, or by people before a delivery that failed: `retry`
    reuses a seal while it holds."""
    if change.auto_seal == seal:
        return True
    m = t.request_member.c
    by_people = and_(m.change == change.id, m.state == MemberState.APPROVED, m.seal == seal)
    if step.one(select(m.seal).where(by_people).limit(1)):
        return True
    return bool(SqlReading(step.connection).approved_seal(_lane_of(change), seal))


@_on(e.ApplyFinished)
def _apply_finished(step: Step, event: e.ApplyFinished) -> None:
    _open_change(step, event.change, (ChangeState.APPLYING,), "verified")
    _move(step, event.change, ChangeState.VERIFYING, reason=event.summary)
    _update_delivery(step, event.change, state=ChangeState.VERIFYING.value, reason=event.summary)


@_on(e.Noted)
def _noted(step: Step, event: e.Noted) -> None:
    if not step.one(select(t.change.c.id).where(t.change.c.id == event.change)):
        _stale("there is no such change")


@_on(e.ChangeClosed)
def _change_closed(step: Step, event: e.ChangeClosed) -> None:
    row = _open_change(step, event.change, (*_UNCLAIMED, *_CLAIMED), "closed")
    claimed = row.state in _CLAIMED
    if event.state not in _ENDS[claimed]:
        _stale(f"a change that is {row.state} cannot end as {event.state}")
    _move(step, event.change, event.state, reason=event.reason)
    _free_lane(step, row, event)
    if claimed:
        ended = {"state": event.state.value, "reason": event.reason, "finished_at": step.at}
        _update_delivery(step, event.change, **ended)
    _leave_requests(step, event.change, event.reason)


def _free_lane(step: Step, row: Row[Any], event: e.ChangeClosed) -> None:
    values: dict[str, Any] = {"generation": row.generation + 1, "current": None}
    if event.delivered:
        values["delivered"] = dumps(Delivered, event.delivered)
    if event.hold:
        column = "drift_hold" if row.cause == Cause.DRIFT else "hold"
        values[column] = dumps(Hold, event.hold)
    step.run(update(t.lane).where(_lane_is(_lane_of(row))).values(**values))


@_on(e.HoldLifted)
def _hold_lifted(step: Step, event: e.HoldLifted) -> None:
    column = "drift_hold" if event.drift else "hold"
    step.run(update(t.lane).where(_lane_is(event.lane)).values({column: None}))


def _open_change(
    step: Step, change: str, states: tuple[ChangeState, ...], becoming: str
) -> Row[Any]:
    """The change's row, if it is the current one of its lane and in one of ``states``."""
    query = select(t.change, t.lane.c.current).join(t.lane).where(t.change.c.id == change)
    row = step.one(query)
    if row is None:
        _stale("there is no such change")
    if row.current != change:
        _stale(f"the change is {row.state} and no longer the current one of its lane")
    if row.state not in states:
        _stale(f"a change that is {row.state} cannot be {becoming}")
    return row


def _same_seal(change: Row[Any], seal: Digest) -> None:
    if change.seal != seal:
        _stale("the change was planned again under another seal")


def _move(step: Step, change: str, state: ChangeState, **values: Any) -> None:
    values |= {"state": state.value, "updated_at": step.at}
    step.run(update(t.change).where(t.change.c.id == change).values(**values))


def _update_delivery(step: Step, change: str, **values: Any) -> None:
    step.run(update(t.delivery).where(t.delivery.c.change == change).values(**values))


def _lane_is(lane: LaneId) -> Any:
    c = t.lane.c
    return and_(c.application == lane.application, c.target == lane.target)


def _lane_of(row: Row[Any]) -> LaneId:
    return LaneId(row.application, row.target)


# --- requests ---------------------------------------------------------------------------------


@_on(e.RequestOpened)
def _request_opened(step: Step, event: e.RequestOpened) -> None:
    c = t.request.c
    same = and_(c.occasion == event.occasion, c.state == RequestState.OPEN)
    if step.one(select(c.id).where(same)) or step.one(select(c.id).where(c.id == event.request)):
        _stale("this is being asked already")
    step.run(
        insert(t.request).values(
            id=event.request,
            number=step.sequence,
            occasion=event.occasion,
            title=event.title,
            root=root_of(()),
            state=RequestState.OPEN.value,
            opened_at=step.at,
        )
    )


@_on(e.MemberAsked)
def _member_asked(step: Step, event: e.MemberAsked) -> None:
    _open_request(step, event.request)
    row = _open_change(step, event.change, _CLAIMABLE, "asked about")
    _same_seal(row, event.seal)
    if row.plan != event.plan:
        _stale("the change was planned again")
    step.connection.execute(
        upsert(step.connection, t.request_member),
        {
            "request": event.request,
            "change": event.change,
            "number": step.sequence,
            "seal": event.seal,
            "plan": event.plan,
            "state": MemberState.ASKING.value,
            "expires_at": float(event.expires_at),
            "moved": event.moved,
            "by": "[]",
            "reason": "",
        },
    )
    _move(step, event.change, ChangeState.ASKING, request=event.request)
    _follow_root(step, event.request)


@_on(e.Answered)
def _answered(step: Step, event: e.Answered) -> None:
    verdict = event.verdict
    if _open_request(step, verdict.request).root != verdict.root:
        _stale("what is asked has changed since it was shown")
    asking = {(m.change, m.seal) for m in _asking(step, verdict.request)}
    if not asking.issuperset(verdict.covers):
        _stale("the answer covers something that is not being asked")
    step.run(
        insert(t.verdict).values(
            number=step.sequence,
            request=verdict.request,
            root=verdict.root,
            person=verdict.person,
            decision=verdict.decision.value,
            at=float(verdict.at),
            payload=dumps(Verdict, verdict),
        )
    )


@_on(e.MemberDecided)
def _member_decided(step: Step, event: e.MemberDecided) -> None:
    c = t.request_member.c
    which = and_(c.request == event.request, c.change == event.change)
    member = step.one(select(t.request_member).where(which))
    if member is None or member.state != MemberState.ASKING:
        _stale("the member is not being asked about")
    if event.state is MemberState.ASKING:
        _stale("asking is no decision")
    if event.state is MemberState.APPROVED:
        _behind_it(step, event, member.seal)
    decided = {"state": event.state.value, "reason": event.reason}
    by = dumps(tuple[PersonName, ...], event.by)
    step.run(update(t.request_member).where(which).values(by=by, **decided))
    _follow_root(step, event.request)


def _behind_it(step: Step, event: e.MemberDecided, seal: Digest) -> None:
    """Every person named said yes to this change under this very seal, in this request."""
    query = select(t.verdict.c.payload).where(
        t.verdict.c.request == event.request,
        t.verdict.c.decision == Decision.APPROVE,
        t.verdict.c.person.in_(event.by),
    )
    answers = [loads(Verdict, row.payload) for row in step.connection.execute(query)]
    said_yes = {v.person for v in answers if (event.change, seal) in v.covers}
    if not event.by or not said_yes.issuperset(event.by):
        _stale("nobody answered yes to the member's present seal")


def _leave_requests(step: Step, change: str, reason: str) -> None:
    c = t.request_member.c
    asking = and_(c.change == change, c.state == MemberState.ASKING)
    requests = step.connection.execute(select(c.request).where(asking)).scalars().all()
    for request in requests:
        left = {"state": MemberState.LEFT.value, "reason": reason}
        step.run(update(t.request_member).where(asking, c.request == request).values(**left))
        _follow_root(step, request)


def _open_request(step: Step, request: str) -> Row[Any]:
    row = step.one(select(t.request).where(t.request.c.id == request))
    if row is None or row.state != RequestState.OPEN:
        _stale("the request is closed" if row else "there is no such request")
    return row


def _asking(step: Step, request: str) -> tuple[Member, ...]:
    c = t.request_member.c
    query = select(c.change, c.seal, c.plan).where(c.request == request)
    rows = step.connection.execute(query.where(c.state == MemberState.ASKING))
    return tuple(Member(row.change, row.seal, row.plan) for row in rows)


def _follow_root(step: Step, request: str) -> None:
    asking = _asking(step, request)
    state = RequestState.OPEN if asking else RequestState.CLOSED
    values = {"root": root_of(asking), "state": state.value}
    step.run(update(t.request).where(t.request.c.id == request).values(**values))


# --- sources and tokens -----------------------------------------------------------------------


@_on(e.SourceLooked)
def _source_looked(step: Step, event: e.SourceLooked) -> None:
    status = dumps(SourceStatus, event.status)
    values = {"name": event.status.source, "status": status, "at": step.at}
    step.connection.execute(upsert(step.connection, t.source), values)


@_on(e.TokenCreated)
def _token_created(step: Step, event: e.TokenCreated) -> None:
    if step.one(select(t.token.c.id).where(t.token.c.id == event.token)):
        _stale("a token of that id exists")
    step.run(
        insert(t.token).values(
            id=event.token,
            person=event.person,
            hash=event.hash,
            expires_at=float(event.expires_at),
            note=event.note,
            created_at=step.at,
        )
    )


@_on(e.TokenRevoked)
def _token_revoked(step: Step, event: e.TokenRevoked) -> None:
    alive = and_(t.token.c.id == event.token, t.token.c.revoked_at.is_(None))
    revoked = {"revoked_at": step.at, "revoked_by": event.by}
    if not step.run(update(t.token).where(alive).values(**revoked)):
        _stale("there is no such token, or it is revoked already")
