"""What each event does to the tables, and what must hold for it to be appended at all.

One function per event kind, found by :func:`project`. Each raises StaleWrite when the precondition
written on the event no longer holds; the whole transaction is lost then. Called by the transaction
after the event's row is written, with the event's own sequence and time; nothing else in the code
base changes these tables. This is the last place that can stop an unapproved change, so it trusts
nobody: not the gate, not the desk, not the lanes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from sqlalchemy import Connection, Row, and_, bindparam, delete, insert, or_, select, update

from gitops.errors import StaleWrite
from gitops.model import events as e
from gitops.model.approval import Decision, Member, MemberState, RequestState, Verdict, root_of
from gitops.model.delivery import Cause, Change, ChangeState, Delivered, Hold, LaneId, Rollback
from gitops.model.ids import ChangeId, Digest, PersonName
from gitops.model.source import SourceStatus
from gitops.records import dumps, loads
from gitops.store import tables as t
from gitops.store.asked import Asked
from gitops.store.reading import Names, SqlReading, Versions
from gitops.store.upsert import upsert

_UNCLAIMED = (ChangeState.OPEN, ChangeState.BLOCKED, ChangeState.ASKING)
_CLAIMABLE = (ChangeState.OPEN, ChangeState.ASKING)
_NEVER_APPLIED = frozenset(s for s in ChangeState if s.terminal) - {ChangeState.HEALTHY}
_ENDS = {
    ChangeState.OPEN: _NEVER_APPLIED,
    ChangeState.BLOCKED: _NEVER_APPLIED,
    ChangeState.ASKING: _NEVER_APPLIED,
    ChangeState.APPLYING: frozenset({ChangeState.FAILED}),
    ChangeState.VERIFYING: frozenset(
        {ChangeState.HEALTHY, ChangeState.FAILED, ChangeState.SUPERSEDED}
    ),
}
"""How a change may end: what is being applied is never cancelled (what was claimed and not begun is
superseded when it fits no more), a rollout that hangs may make room for the commit that repairs it,
and only what was applied and seen to the end is healthy."""


@dataclass(frozen=True, slots=True)
class Step:
    """One event on its way into the tables."""

    connection: Connection
    sequence: int
    at: float
    asked: Asked

    def one(self, query: Any, **values: Any) -> Row[Any] | None:
        return self.connection.execute(query, values).first()

    def all(self, query: Any, **values: Any) -> Sequence[Row[Any]]:
        return self.connection.execute(query, values).all()

    def run(self, statement: Any, **values: Any) -> int:
        """Executes and returns the number of rows it met."""
        return int(self.connection.execute(statement, values).rowcount)


# Held as constants with bound parameters: building a statement costs four times running it.
_OF: Any = bindparam("of")
_LANE_IS = (
    t.lane.c.application == bindparam("of_application"),
    t.lane.c.target == bindparam("of_target"),
)
_LANE = select(t.lane.c.generation, t.lane.c.current).where(*_LANE_IS)
_SET_BACK = select(t.lane.c.rollback).where(*_LANE_IS)
_PAUSE = select(t.pause.c.until).where(t.pause.c.application == _OF)
_END_PAUSE = delete(t.pause).where(t.pause.c.application == _OF)
_SET_LANE = update(t.lane).where(*_LANE_IS)
_CHANGE = select(t.change, t.lane.c.current).join(t.lane).where(t.change.c.id == _OF)
_SET_CHANGE = update(t.change).where(t.change.c.id == _OF)
_NO_LONGER_ASKED = update(t.change).where(
    t.change.c.id == bindparam("of_change"),
    t.change.c.request == _OF,
    t.change.c.state == ChangeState.ASKING.value,
)
_OPEN_AGAIN = {"state": ChangeState.OPEN.value}
_SET_DELIVERY = update(t.delivery).where(t.delivery.c.change == _OF)
_VERSIONS = select(t.plan.c.versions).where(t.plan.c.change == _OF)
_REQUEST = select(t.request).where(t.request.c.id == _OF)
_OPEN_OCCASION = select(t.request.c.id).where(
    t.request.c.occasion == _OF, t.request.c.state == RequestState.OPEN.value
)
_M = t.request_member.c
_MEMBER_IS = (_M.request == _OF, _M.change == bindparam("of_change"))
_MEMBER = select(t.request_member).where(*_MEMBER_IS)
_SET_MEMBER = update(t.request_member).where(*_MEMBER_IS)
_ASKED_IN = select(_M.request).where(_M.change == _OF, _M.state == MemberState.ASKING.value)
_APPROVED_MEMBER = select(_M.seal).where(
    *_MEMBER_IS, _M.state == MemberState.APPROVED.value, _M.seal == bindparam("of_seal")
)
_APPROVED_IN = (
    select(_M.change, _M.seal)
    .join(
        t.change,
        and_(
            t.change.c.id == _M.change,
            t.change.c.seal == _M.seal,
            t.change.c.request == _M.request,
        ),
    )
    .join(t.lane, t.lane.c.current == t.change.c.id)
    .where(
        _M.request == _OF,
        _M.state == MemberState.APPROVED.value,
        t.change.c.state.in_([state.value for state in _CLAIMABLE]),
    )
)
"""Members people said yes to of which nothing is applied yet."""
_APPROVED_ONE = _APPROVED_IN.where(_M.change == bindparam("of_change"))
_TOKEN = select(t.token.c.id).where(
    or_(t.token.c.id == _OF, t.token.c.hash == bindparam("of_hash"))
)
_REVOKE = update(t.token).where(t.token.c.id == _OF, t.token.c.revoked_at.is_(None))

E = TypeVar("E")
Projection = Callable[[Step, Any], None]
PROJECTIONS: dict[type[Any], Projection] = {}


def project(step: Step, event: e.Event) -> None:
    """Applies an event to the tables. Raises StaleWrite."""
    PROJECTIONS[type(event)](step, event)


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
        insert(t.change),
        id=change.id,
        number=step.sequence,
        application=change.lane.application,
        target=change.lane.target,
        generation=change.generation,
        cause=change.cause.value,
        payload=dumps(Change, change),
        state=ChangeState.OPEN.value,
        reason="",
        opened_at=step.at,
        updated_at=step.at,
    )


def _occupy(step: Step, lane: LaneId, generation: int, change: str) -> None:
    row = step.one(_LANE, **_of_lane(lane))
    known = row.generation if row else 0
    if row and row.current:
        _stale(f"{lane} already works on a change")
    if known != generation:
        _stale(f"{lane} is at generation {known}, the change was made for {generation}")
    if row:
        step.run(_SET_LANE, current=change, **_of_lane(lane))
        return
    names = {"application": lane.application, "target": lane.target}
    step.run(insert(t.lane), generation=generation, current=change, **names)


@_on(e.ChangePlanned)
def _change_planned(step: Step, event: e.ChangePlanned) -> None:
    row = _open_change(step, event.change, _UNCLAIMED, "planned")
    if event.plan.change != event.change:
        _stale("the plan belongs to another change")
    asking = row.state == ChangeState.ASKING and row.seal == event.seal
    state = ChangeState.ASKING if asking else ChangeState.OPEN
    _move(step, event.change, state, plan=event.plan.digest, seal=event.seal, reason="")
    step.run(
        upsert(step.connection, t.plan),
        change=event.change,
        number=step.sequence,
        digest=event.plan.digest,
        seal=event.seal,
        versions=dumps(Versions, event.plan.versions),
    )


@_on(e.ChangeBlocked)
def _change_blocked(step: Step, event: e.ChangeBlocked) -> None:
    _open_change(step, event.change, _UNCLAIMED, "blocked")
    _move(step, event.change, ChangeState.BLOCKED, reason=event.reason)


@_on(e.AutoApproved)
def _auto_approved(step: Step, event: e.AutoApproved) -> None:
    row = _open_change(step, event.change, _UNCLAIMED, "approved by a policy")
    _same_seal(row, event.seal)
    # Whoever approves or asks has checked again: what blocked before is gone.
    state = ChangeState.OPEN if row.state == ChangeState.BLOCKED else ChangeState(row.state)
    _move(step, event.change, state, auto_seal=event.seal, auto_policy=event.policy)


@_on(e.Claimed)
def _claimed(step: Step, event: e.Claimed) -> None:
    row = _open_change(step, event.change, _CLAIMABLE, "claimed")
    _same_seal(row, event.seal)
    if not event.approved_by or not _approved(step, row, event.seal):
        _stale("nobody approved this change under its present seal")
    pause = step.one(_PAUSE, of=row.application)
    if pause and step.at < pause.until:
        _stale(f"{row.application} is paused")
    plan = step.one(_VERSIONS, of=event.change)
    _move(step, event.change, ChangeState.APPLYING)
    _set_back(step, row)
    step.run(
        insert(t.delivery),
        id=event.change[:16],
        number=step.sequence,
        change=event.change,
        application=row.application,
        target=row.target,
        started_at=step.at,
        state=ChangeState.APPLYING.value,
        reason="",
        approved_by=dumps(Names, event.approved_by),
        versions=plan.versions if plan else "[]",
    )


def _approved(step: Step, change: Row[Any], seal: Digest) -> bool:
    """By a policy, by people in a request, or by people before a delivery that failed: `retry`
    reuses a seal while it holds."""
    # Asked again elsewhere, a yes of the earlier request is void, whatever the seal.
    asked_in = {"of": change.request, "of_change": change.id}
    if change.auto_seal == seal or step.one(_APPROVED_MEMBER, **asked_in, of_seal=seal):
        return True
    return bool(SqlReading(step.connection).approved_seal(_lane_of(change), seal))


@_on(e.ApplyFinished)
def _apply_finished(step: Step, event: e.ApplyFinished) -> None:
    _open_change(step, event.change, (ChangeState.APPLYING,), "verified")
    _move(step, event.change, ChangeState.VERIFYING, reason=event.summary)
    state = ChangeState.VERIFYING.value
    step.run(_SET_DELIVERY, of=event.change, state=state, reason=event.summary)


@_on(e.Noted)
def _noted(step: Step, event: e.Noted) -> None:
    _known_change(step, event.change)


@_on(e.Reminded)
def _reminded(step: Step, event: e.Reminded) -> None:
    _known_change(step, event.change)


@_on(e.HealthMoved)
def _health_moved(step: Step, event: e.HealthMoved) -> None:
    _known_change(step, event.change)


def _known_change(step: Step, change: ChangeId) -> None:
    if not step.one(_CHANGE, of=change):
        _stale("there is no such change")


@_on(e.ChangeClosed)
def _change_closed(step: Step, event: e.ChangeClosed) -> None:
    row = _open_change(step, event.change, tuple(_ENDS), "closed")
    unbegun = event.unbegun and event.state is ChangeState.SUPERSEDED
    if event.state not in _ENDS[ChangeState(row.state)] and not unbegun:
        _stale(f"a change that is {row.state} cannot end as {event.state}")
    _move(step, event.change, event.state, reason=event.reason)
    _free_lane(step, row, event)
    ended = {"state": event.state.value, "reason": event.reason, "finished_at": step.at}
    step.run(_SET_DELIVERY, of=event.change, **ended)
    _leave_requests(step, event.change, event.reason)


def _free_lane(step: Step, row: Row[Any], event: e.ChangeClosed) -> None:
    values: dict[str, Any] = {"generation": row.generation + 1, "current": None}
    if event.delivered:
        values["delivered"] = dumps(Delivered, event.delivered)
        if row.state in _UNCLAIMED:
            _set_back(step, row)
    if event.hold:
        column = "drift_hold" if row.cause == Cause.DRIFT else "hold"
        values[column] = dumps(Hold, event.hold)
    step.run(_SET_LANE, **_of_lane(_lane_of(row)), **values)


@_on(e.HoldLifted)
def _hold_lifted(step: Step, event: e.HoldLifted) -> None:
    column = "drift_hold" if event.drift else "hold"
    step.run(_SET_LANE, **_of_lane(event.lane), **{column: None})


def _set_back(step: Step, row: Row[Any]) -> None:
    """A rollback that is carried out, or needs nothing carried out, holds its lane."""
    if row.cause == Cause.ROLLBACK and (back := loads(Change, row.payload).rollback):
        step.run(_SET_LANE, **_of_lane(_lane_of(row)), rollback=dumps(Rollback, back))


@_on(e.RollbackLifted)
def _rollback_lifted(step: Step, event: e.RollbackLifted) -> None:
    lane = step.one(_SET_BACK, **_of_lane(event.lane))
    if lane is None or lane.rollback is None:
        _stale(f"{event.lane} was not rolled back, or goes by its source again")
    step.run(_SET_LANE, **_of_lane(event.lane), rollback=None)


@_on(e.ApplicationPaused)
def _application_paused(step: Step, event: e.ApplicationPaused) -> None:
    if event.until <= step.at:
        _stale("a pause ends later than it begins")
    step.run(
        upsert(step.connection, t.pause),
        application=event.application,
        by=event.by,
        why=event.reason,
        since=step.at,
        until=float(event.until),
    )


@_on(e.ApplicationResumed)
def _application_resumed(step: Step, event: e.ApplicationResumed) -> None:
    if not step.run(_END_PAUSE, of=event.application):
        _stale(f"{event.application} is not paused")


def _open_change(
    step: Step, change: str, states: tuple[ChangeState, ...], becoming: str
) -> Row[Any]:
    """The change's row, if it is the current one of its lane and in one of ``states``."""
    row = step.one(_CHANGE, of=change)
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
    step.run(_SET_CHANGE, of=change, state=state.value, updated_at=step.at, **values)


def _of_lane(lane: LaneId) -> dict[str, str]:
    return {"of_application": lane.application, "of_target": lane.target}


def _lane_of(row: Row[Any]) -> LaneId:
    return LaneId(row.application, row.target)


# --- requests ---------------------------------------------------------------------------------


@_on(e.RequestOpened)
def _request_opened(step: Step, event: e.RequestOpened) -> None:
    step.asked.settle()
    if step.one(_OPEN_OCCASION, of=event.occasion) or step.one(_REQUEST, of=event.request):
        _stale("this is being asked already")
    step.run(
        insert(t.request),
        id=event.request,
        number=step.sequence,
        occasion=event.occasion,
        title=event.title,
        root=root_of(()),
        state=RequestState.OPEN.value,
        opened_at=step.at,
    )


@_on(e.MemberAsked)
def _member_asked(step: Step, event: e.MemberAsked) -> None:
    _open_request(step, event.request)
    row = _open_change(step, event.change, _UNCLAIMED, "asked about")
    _same_seal(row, event.seal)
    if row.plan != event.plan:
        _stale("the change was planned again")
    step.run(
        upsert(step.connection, t.request_member),
        request=event.request,
        change=event.change,
        number=step.sequence,
        seal=event.seal,
        plan=event.plan,
        state=MemberState.ASKING.value,
        expires_at=float(event.expires_at),
        moved=event.moved,
        by="[]",
        reason="",
    )
    _move(step, event.change, ChangeState.ASKING, request=event.request, reason="")
    step.asked.asks(event.request, Member(event.change, event.seal, event.plan))


@_on(e.Answered)
def _answered(step: Step, event: e.Answered) -> None:
    verdict = event.verdict
    covers = set(verdict.covers)
    if verdict.decision is Decision.DENY:
        covers -= _approved_in(step, verdict.request)
    if covers or not verdict.covers:
        written = _open_request(step, verdict.request).root
        if step.asked.root(verdict.request, written) != verdict.root:
            _stale("what is asked has changed since it was shown")
        asking = step.asked.members(verdict.request).values()
        if not {(m.change, m.seal) for m in asking}.issuperset(covers):
            _stale("the answer covers something that is not being asked")
    step.run(
        insert(t.verdict),
        number=step.sequence,
        request=verdict.request,
        root=verdict.root,
        person=verdict.person,
        decision=verdict.decision.value,
        at=float(verdict.at),
        payload=dumps(Verdict, verdict),
    )
    step.asked.answered(verdict.request)


@_on(e.MemberDecided)
def _member_decided(step: Step, event: e.MemberDecided) -> None:
    which = {"of": event.request, "of_change": event.change}
    member = step.one(_MEMBER, **which)
    taken_back = event.state is MemberState.DENIED and step.one(_APPROVED_ONE, **which) is not None
    if member is None or (member.state != MemberState.ASKING and not taken_back):
        _stale("the member is not being asked about")
    if event.state is MemberState.ASKING:
        _stale("asking is no decision")
    if event.state is MemberState.APPROVED:
        _behind_it(step, event, member)
    by = dumps(tuple[PersonName, ...], event.by)
    step.run(_SET_MEMBER, **which, state=event.state.value, by=by, reason=event.reason)
    step.asked.asks_no_more(event.request, event.change)
    if event.state is MemberState.LEFT:
        step.run(_NO_LONGER_ASKED, **which, **_OPEN_AGAIN, reason=event.reason, updated_at=step.at)


def _approved_in(step: Step, request: str) -> set[tuple[str, str]]:
    return {(row.change, row.seal) for row in step.all(_APPROVED_IN, of=request)}


def _behind_it(step: Step, event: e.MemberDecided, member: Row[Any]) -> None:
    """Every person named said yes to this change under this very seal, in this request, since it
    was last asked about."""
    said_yes = {
        each.person
        for each in step.asked.approvals(event.request)
        if each.number > member.number and (event.change, member.seal) in each.covers
    }
    if not event.by or not said_yes.issuperset(event.by):
        _stale("nobody answered yes to the member's present seal")


def _leave_requests(step: Step, change: str, reason: str) -> None:
    for row in step.all(_ASKED_IN, of=change):
        which = {"of": row.request, "of_change": change}
        step.run(_SET_MEMBER, **which, state=MemberState.LEFT.value, reason=reason)
        step.asked.asks_no_more(row.request, change)


def _open_request(step: Step, request: str) -> Row[Any]:
    row = step.one(_REQUEST, of=request)
    if row is None or step.asked.state(request, row.state) != RequestState.OPEN:
        _stale("the request is closed" if row else "there is no such request")
    return row


# --- sources and tokens -----------------------------------------------------------------------


@_on(e.SourceLooked)
def _source_looked(step: Step, event: e.SourceLooked) -> None:
    status = dumps(SourceStatus, event.status)
    step.run(upsert(step.connection, t.source), name=event.status.source, status=status, at=step.at)


@_on(e.TokenCreated)
def _token_created(step: Step, event: e.TokenCreated) -> None:
    if step.one(_TOKEN, of=event.token, of_hash=event.hash):
        _stale("that token exists already")
    step.run(
        insert(t.token),
        id=event.token,
        person=event.person,
        hash=event.hash,
        expires_at=float(event.expires_at),
        note=event.note,
        created_at=step.at,
        role=event.role.value,
        applications=dumps(tuple[str, ...], event.applications),
    )


@_on(e.TokenRevoked)
def _token_revoked(step: Step, event: e.TokenRevoked) -> None:
    if not step.run(_REVOKE, of=event.token, revoked_at=step.at, revoked_by=event.by):
        _stale("there is no such token, or it is revoked already")
