"""What people are told: a notice in the outbox for every event worth one, in its own transaction.

The ledger shows each event to :func:`announced` as it is appended, so nothing can happen that is
not told, and nothing is told that did not happen. :class:`Sender` carries the outbox to the
notifiers; one that is away keeps back its own notices only, and never a delivery.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import structlog

from gitops.engine.folding import batches, folded
from gitops.engine.ledger import Ledger
from gitops.engine.routes import held_until, route, severity_of
from gitops.errors import Apart, GitopsError, StaleWrite, Transient
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
from gitops.ports import Clock, Expecting, Gathering, Notifier, Reading, Transaction

_log = structlog.get_logger(__name__)

TRIES = 10
"""After that a notice the other side refuses is given up; who missed it finds everything in
``status`` and ``show``."""
KEPT = 7 * 86_400.0
"""Seconds: while the other side is merely away, a notice is kept so long."""
AT_ONCE = 1_000
"""Notices read at once: what makes others obsolete has to be among them."""
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
LONGEST_WAIT = 3_600.0
"""Seconds another side may ask us to wait."""
LONGEST_SLEEP = 60.0
"""Seconds between two looks at what quiet hours hold back: a clock may be set."""


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


@dataclass(frozen=True, slots=True)
class _Failure:
    message: str
    passing: bool = False
    """It may be over later: the notice is worth keeping."""
    apart: bool = False
    """It says nothing about the notifier's other notices."""
    wait: float = 0.0
    """Seconds the other side asks for."""


class Sender:
    """Empties the outbox, one notifier not waiting for another."""

    def __init__(
        self, ledger: Ledger, notifiers: Callable[[], Mapping[str, Notifier]], clock: Clock
    ) -> None:
        self._ledger = ledger
        self._notifiers = notifiers
        self._clock = clock
        self._resting: dict[str, tuple[float, float]] = {}
        """Notifier → (not before, on the monotonic clock; pause)."""
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._apart: dict[str, float] = {}
        """Single notices that wait, by id → not before."""
        self._held: float | None = None
        """When the first of those is due that quiet hours hold back, on the wall clock."""

    async def run(self) -> None:
        """For ever: sends after every write, and again when a resting notifier may be tried. A
        notifier that is slow keeps nobody else's notices back."""
        try:
            while True:
                self._ledger.written.clear()
                with contextlib.suppress(Transient, StaleWrite):
                    await self._begin()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._ledger.written.wait(), self._until_next())
        finally:
            for task in tuple(self._busy.values()):
                task.cancel()
            await asyncio.gather(*self._busy.values(), return_exceptions=True)

    def _until_next(self) -> float | None:
        """Seconds; None while nobody rests and nothing is held back."""
        now = self._clock.monotonic()
        times = [*(at for at, _ in self._resting.values()), *self._apart.values()]
        if self._held is not None:
            times.append(now + min(self._held - self._clock.now(), LONGEST_SLEEP))
        return max(0.05, min(times) - now) if times else None

    async def send(self) -> None:
        """Everything that may be sent now, once."""
        await self._begin()
        await asyncio.gather(*self._busy.values())

    async def _begin(self) -> None:
        idle = await self._waiting()
        for name, notices in idle.items():
            task = asyncio.create_task(self._send_all(name, notices), name=f"tell {name}")
            self._busy[name] = task
            task.add_done_callback(partial(self._done, name))

    def _done(self, name: str, _task: asyncio.Task[None]) -> None:
        self._busy.pop(name, None)
        self._ledger.written.set()  # there may be more than was read at once

    async def _waiting(self) -> Mapping[str, list[Notice]]:
        """By notifier, of those that are neither busy nor resting: a long queue of one that is
        away must not fill what is read for the others."""
        now = self._clock.monotonic()
        resting = {name for name, (at, _) in self._resting.items() if at > now}
        without = frozenset(self._busy) | resting
        by_notifier: dict[str, list[Notice]] = {}
        for notice in await self._worth_telling(without):
            if self._apart.get(notice.id, 0.0) <= now:
                by_notifier.setdefault(notice.notifier, []).append(notice)
        return by_notifier

    async def _worth_telling(self, without: frozenset[str]) -> list[Notice]:
        """What is due of these; what newer ones made obsolete while it was held up is done with."""
        limit, now = AT_ONCE + len(self._apart), self._clock.now()

        def query(reading: Reading) -> tuple[Sequence[Notice], float | None]:
            return reading.outbox(limit, without=without, due=now), reading.held_until(now)

        while True:
            found, self._held = await self._ledger.read(query)
            kept, obsolete = folded(found, now, unseen=self._stays)
            if obsolete:
                await self._done_with(obsolete)
            if len(found) < limit or not obsolete:
                return kept

    def _stays(self, notice: Notice) -> bool:
        """Does its notifier send messages that stay as they are?"""
        return isinstance(self._notifiers().get(notice.notifier), Gathering)

    async def _done_with(self, obsolete: Sequence[Notice]) -> None:
        _log.info("notices.folded", count=len(obsolete))

        def work(tx: Transaction) -> None:
            for notice in obsolete:
                tx.sent(notice.id, notice.attempts)

        await self._ledger.write(work)
        for notice in obsolete:
            self._apart.pop(notice.id, None)

    async def _send_all(self, name: str, notices: list[Notice]) -> None:
        notifier = self._notifiers().get(name)
        gathers: object = notifier
        with contextlib.suppress(Transient, StaleWrite):
            if isinstance(gathers, Expecting):
                gathers.expect(notices)
            together = isinstance(gathers, Gathering)
            queue = deque(batches(notices, self._clock.now(), together))
            refused = False
            while queue:
                batch = queue.popleft()
                failure = None if notifier is None else await self._try(notifier, batch)
                if failure and not failure.passing and len(batch) > 1:
                    queue.extendleft([notice] for notice in reversed(batch))  # one may be to blame
                elif await self._record(batch, failure):
                    for notice in batch:
                        self._apart.pop(notice.id, None)
                elif failure and (failure.apart or not (failure.passing or refused)):
                    # What is refused for good may be that one's fault; the next tells.
                    refused = refused or not failure.passing
                    least = FIRST_PAUSE if failure.passing else LONGEST_PAUSE
                    wait = max(least, min(failure.wait, LONGEST_WAIT))
                    for notice in batch:
                        self._apart[notice.id] = self._clock.monotonic() + wait
                else:
                    self._rest(name, failure)
                    return
            self._resting.pop(name, None)

    async def _record(self, batch: list[Notice], failure: _Failure | None) -> bool:
        """Are they all done with, sent or given up?"""
        errors: dict[str, str] = {}
        for notice in batch:
            errors[notice.id] = failure.message if failure else ""
            if failure and self._hopeless(notice, failure, notice.attempts + 1):
                problem, errors[notice.id] = failure.message, ""
                about = {"notifier": notice.notifier, "notice": notice.id}
                _log.error("notice.given-up", **about, problem=problem)

        def work(tx: Transaction) -> None:
            for notice in batch:
                tx.sent(notice.id, notice.attempts + 1, errors[notice.id])

        await self._ledger.write(work)
        return not any(errors.values())

    def _hopeless(self, notice: Notice, failure: _Failure, attempts: int) -> bool:
        if failure.passing:
            return self._clock.now() - notice.created_at > KEPT
        return attempts >= TRIES

    def _rest(self, name: str, failure: _Failure | None) -> None:
        pause = min(self._resting.get(name, (0.0, FIRST_PAUSE / 2))[1] * 2, LONGEST_PAUSE)
        wait = max(pause, min(failure.wait, LONGEST_WAIT) if failure else 0.0)
        self._resting[name] = (self._clock.monotonic() + wait, pause)

    async def _try(self, notifier: Notifier, batch: list[Notice]) -> _Failure | None:
        gathers: object = notifier
        try:
            if len(batch) > 1 and isinstance(gathers, Gathering):
                await gathers.send_together(batch)
            else:
                await notifier.send(batch[0])
        except Transient as error:
            apart = isinstance(error, Apart)
            return _Failure(error.message, True, apart, error.retry_after or 0.0)
        except GitopsError as error:
            return _Failure(error.message)
        except Exception:
            # Somebody else's plugin: its failure is its own.
            _log.exception("notifier.defect", notifier=notifier.name)
            return _Failure("the notifier failed, see the log")
        return None
