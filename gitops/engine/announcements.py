"""What people are told: a notice in the outbox for every event worth one, in its own transaction.

The ledger shows each event to the :class:`Announcer` as it is appended, so nothing can happen that
is not told, and nothing is told that did not happen. :mod:`gitops.engine.sending` carries the
outbox to the notifiers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from gitops.engine.routes import held_until, route, severity_of
from gitops.model.approval import Decision, MemberState, Verdict
from gitops.model.delivery import ChangeState
from gitops.model.events import (
    Answered,
    ApplyFinished,
    ChangeBlocked,
    ChangeClosed,
    ChangeOpened,
    Claimed,
    Event,
    HealthMoved,
    MemberAsked,
    MemberDecided,
    Notice,
    Reminded,
)
from gitops.model.fleet import ApplicationSpec, Fleet
from gitops.model.ids import ApplicationName, ChangeId, combine, short
from gitops.model.routes import UNROUTED, Told
from gitops.ports import Clock, Transaction


class Announcer:
    """Turns events into notices for every notifier of the fleet file."""

    def __init__(
        self,
        fleet: Callable[[], Fleet],
        clock: Clock,
        thorough: Callable[[str], bool] = lambda _kind: False,
        spec: Callable[[ApplicationName], ApplicationSpec | None] | None = None,
        edits: Callable[[str], bool] = lambda _kind: False,
    ) -> None:
        """``thorough``: does a kind of notifier want what concerns nobody but itself too? Those
        are told everything, whatever the routes say: they mark things and wake nobody. ``spec``
        finds an application that is not in the fleet file itself. ``edits``: does a kind of
        notifier change what it has said instead of saying more? That wakes nobody."""
        self._fleet = fleet
        self._clock = clock
        self._thorough = thorough
        self._edits = edits
        self._spec = spec or self._in_the_file

    def _in_the_file(self, name: ApplicationName) -> ApplicationSpec | None:
        return self._fleet().applications.get(name)

    def listening(self, tx: Transaction) -> Transaction:
        """The same transaction; each event appended to it is also announced."""
        return cast(Transaction, _Listening(tx, self)) if self._fleet().notifiers else tx

    def announce(self, tx: Transaction, event: Event, place: int) -> None:
        """Enqueues what is to be told of the event at ``place`` of the log.

        The place makes the notice: what becomes true a second time is told a second time, a
        transaction that is tried again takes its first try's notices back with it, and notices of
        one instant are sent in the order things happened.
        """
        told = _told(event)
        if told is None:
            return
        kind, change, payload = told
        thorough = [each.name for each in self._fleet().notifiers if self._thorough(each.kind)]
        if kind in UNROUTED and not thorough:
            return
        now = self._clock.now()
        payload = {**_context(tx, change, kind, now), **payload}
        facts = {**payload, **self._facts(tx, change), "severity": severity_of(kind).value}
        notice = Notice("", "", kind, change, facts, now)
        ears = () if kind in UNROUTED else route(notice, self._fleet())
        edits = {each.name for each in self._fleet().notifiers if self._edits(each.kind)}
        for ear in (*(e for e in ears if e.notifier not in thorough), *map(Told, thorough)):
            identity = short(combine(ear.notifier, kind, change, place), 12)
            silent = kind in _EDITED and ear.notifier in edits
            # What was asked in the evening and answered at night must not ask on till morning.
            told_already = silent and tx.told(ear.notifier, change, now)
            until = now if told_already else held_until(ear, notice, now)
            tx.enqueue(
                replace(
                    notice,
                    id=f"{place:012d}-{identity}",
                    notifier=ear.notifier,
                    channel=ear.channel,
                    not_before=until if until > now else 0.0,
                )
            )

    def _facts(self, tx: Transaction, change: ChangeId) -> dict[str, object]:
        """What a route may choose by."""
        record = tx.change(change)
        if record is None:
            return {}
        lane = record.change.lane
        spec, cluster = self._spec(lane.application), self._fleet().clusters.get(lane.target)
        labels = dict(spec.labels) if spec else {}
        return {
            "application": lane.application,
            "target": lane.target,
            "project": spec.project if spec else "default",
            "labels": labels,
            "environment": dict(cluster.labels) if cluster else labels,
        }


class _Listening:
    """Hands everything through; ``append`` is heard as well."""

    def __init__(self, tx: Transaction, announcer: Announcer) -> None:
        self._tx = tx
        self._announcer = announcer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tx, name)

    def append(self, event: Event) -> int:
        place = self._tx.append(event)
        self._announcer.announce(self._tx, event, place)
        return place


def _told(event: Event) -> tuple[str, ChangeId, dict[str, object]] | None:
    """(kind, change, payload) of an event people want to hear of."""
    told: tuple[str, ChangeId, dict[str, object]] | None = None
    facts: dict[str, object]
    match event:
        case ChangeOpened():
            told = ("opened", event.change.id, {})
        case MemberAsked():
            facts = {"request": event.request, "seal": event.seal, "moved": event.moved}
            told = ("asked", event.change, {**facts, "expires_at": event.expires_at})
        case MemberDecided():
            facts = {"request": event.request, "by": ", ".join(event.by), "reason": event.reason}
            told = (event.state.value, event.change, {**facts})
        case Answered(Verdict(decision=Decision.APPROVE) as verdict):
            # A quorum may want more; a denial decides at once and is told as such.
            facts = {"request": verdict.request, "by": verdict.person, "reason": verdict.reason}
            told = ("answered", verdict.covers[0][0], {**facts})
        case ApplyFinished():
            told = ("verifying", event.change, {"reason": event.summary})
        case Reminded():
            facts = {"request": event.request, "expires_at": event.expires_at}
            kind = "stuck" if event.stuck else "reminder"
            told = (kind, event.change, {**facts, "reason": event.stuck})
        case HealthMoved():
            kind = "recovered" if event.well else "degraded"
            told = (kind, event.change, {"reason": event.reason})
        case ChangeBlocked():
            told = ("blocked", event.change, {"reason": event.reason})
        case Claimed():
            told = ("applying", event.change, {"approved_by": ", ".join(event.approved_by)})
        case ChangeClosed() if event.state not in _QUIET:
            told = (event.state.value, event.change, {"reason": event.reason})
    return told


def _context(tx: Transaction, change: ChangeId, kind: str, now: float) -> dict[str, object]:
    """What every notice says: whose lane, of which revision, why, in which request; of a healthy
    one how long it took from its claim, in seconds."""
    record = tx.change(change)
    if record is None:
        return {"lane": ""}
    about = record.change
    told: dict[str, object] = {
        "lane": str(about.lane),
        "source": about.revision.source,
        "revision": about.revision.id,
        "cause": about.cause.value,
        "occasion": about.occasion,
    }
    if record.request:
        told["request"] = record.request
    delivery = tx.delivery(record.delivery) if record.delivery else None
    if delivery is not None and kind == ChangeState.HEALTHY.value:
        told["seconds"] = round(now - delivery.started_at, 1)
    return told


_EDITED = frozenset(
    {
        *("answered", "applying", "verifying"),
        *(state.value for state in MemberState if state is not MemberState.ASKING),
        *(ChangeState.HEALTHY.value, ChangeState.SUPERSEDED.value),
    }
)
"""Kinds of which a notifier that edits says nothing new aloud."""

_QUIET = (
    # Told when the member is decided.
    ChangeState.DENIED,
    ChangeState.EXPIRED,
)
