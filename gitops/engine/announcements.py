"""What people are told: a notice in the outbox for every event worth one, in its own transaction.

The ledger shows each event to :func:`announced` as it is appended, so nothing can happen that is
not told, and nothing is told that did not happen. :class:`Sender` carries the outbox to the
notifiers; one that is away keeps back its own notices only, and never a delivery.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import structlog

from gitops.engine.ledger import Ledger
from gitops.errors import Apart, GitopsError, StaleWrite, Transient
from gitops.model.approval import Decision, Verdict
from gitops.model.delivery import ChangeState
from gitops.model.events import (
    Answered,
    ApplyFinished,
    ChangeBlocked,
    ChangeClosed,
    ChangeOpened,
    Claimed,
    Event,
    MemberAsked,
    MemberDecided,
    Notice,
)
from gitops.model.fleet import Fleet
from gitops.model.ids import ChangeId, combine, short
from gitops.ports import Clock, Expecting, Notifier, Transaction

_log = structlog.get_logger(__name__)

TRIES = 10
"""After that a notice the other side refuses is given up; who missed it finds everything in
``status`` and ``show``."""
KEPT = 7 * 86_400.0
"""Seconds: while the other side is merely away, a notice is kept so long."""
AT_ONCE = 100
"""Notices read at once."""
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
LONGEST_WAIT = 3_600.0
"""Seconds another side may ask us to wait."""


class Announcer:
    """Turns events into notices for every notifier of the fleet file."""

    def __init__(
        self,
        fleet: Callable[[], Fleet],
        clock: Clock,
        thorough: Callable[[str], bool] = lambda _kind: False,
    ) -> None:
        """``thorough``: does a kind of notifier want what concerns nobody but itself too?"""
        self._fleet = fleet
        self._clock = clock
        self._thorough = thorough

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
        listeners = [
            notifier
            for notifier in self._fleet().notifiers
            if kind not in _FOR_THE_THOROUGH or self._thorough(notifier.kind)
        ]
        if not listeners:
            return
        now = self._clock.now()
        payload = {**_context(tx, change, kind, now), **payload}
        for notifier in listeners:
            identity = short(combine(notifier.name, kind, change, place), 12)
            tx.enqueue(
                Notice(
                    f"{place:012d}-{identity}",
                    notifier.name,
                    kind,
                    change,
                    payload,
                    now,
                )
            )


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
    match event:
        case ChangeOpened():
            told = ("opened", event.change.id, {})
        case MemberAsked():
            facts = {"request": event.request, "seal": event.seal, "moved": event.moved}
            told = ("asked", event.change, {**facts})
        case MemberDecided():
            facts = {"request": event.request, "by": ", ".join(event.by), "reason": event.reason}
            told = (event.state.value, event.change, {**facts})
        case Answered(Verdict(decision=Decision.APPROVE) as verdict):
            # A quorum may want more; a denial decides at once and is told as such.
            facts = {"request": verdict.request, "by": verdict.person, "reason": verdict.reason}
            told = ("answered", verdict.covers[0][0], {**facts})
        case ApplyFinished():
            told = ("verifying", event.change, {"reason": event.summary})
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


_FOR_THE_THOROUGH = ("opened", ChangeState.UNCHANGED.value)
"""Beginnings, and endings without any effect: of use where every commit has a mark to be moved."""

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
        """Seconds; None while nobody rests."""
        times = [*(at for at, _ in self._resting.values()), *self._apart.values()]
        return max(0.05, min(times) - self._clock.monotonic()) if times else None

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
        limit = AT_ONCE + len(self._apart)
        by_notifier: dict[str, list[Notice]] = {}
        for notice in await self._ledger.read(lambda r: r.outbox(limit, without=without)):
            if self._apart.get(notice.id, 0.0) <= now:
                by_notifier.setdefault(notice.notifier, []).append(notice)
        return by_notifier

    async def _send_all(self, name: str, notices: list[Notice]) -> None:
        notifier = self._notifiers().get(name)
        gathers: object = notifier
        with contextlib.suppress(Transient, StaleWrite):
            if isinstance(gathers, Expecting):
                gathers.expect(notices)
            for notice in notices:
                failure = None if notifier is None else await self._try(notifier, notice)
                if await self._record(notice, failure):
                    self._apart.pop(notice.id, None)
                elif failure and failure.apart:
                    wait = max(FIRST_PAUSE, min(failure.wait, LONGEST_WAIT))
                    self._apart[notice.id] = self._clock.monotonic() + wait
                else:
                    self._rest(name, failure)
                    return
            self._resting.pop(name, None)

    async def _record(self, notice: Notice, failure: _Failure | None) -> bool:
        """Is it done with, sent or given up?"""
        attempts, error = notice.attempts + 1, failure.message if failure else ""
        if failure and self._hopeless(notice, failure, attempts):
            _log.error("notice.given-up", notifier=notice.notifier, notice=notice.id, problem=error)
            error = ""
        await self._ledger.write(lambda tx: tx.sent(notice.id, attempts, error))
        return not error

    def _hopeless(self, notice: Notice, failure: _Failure, attempts: int) -> bool:
        if failure.passing:
            return self._clock.now() - notice.created_at > KEPT
        return attempts >= TRIES

    def _rest(self, name: str, failure: _Failure | None) -> None:
        pause = min(self._resting.get(name, (0.0, FIRST_PAUSE / 2))[1] * 2, LONGEST_PAUSE)
        wait = max(pause, min(failure.wait, LONGEST_WAIT) if failure else 0.0)
        self._resting[name] = (self._clock.monotonic() + wait, pause)

    async def _try(self, notifier: Notifier, notice: Notice) -> _Failure | None:
        try:
            await notifier.send(notice)
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
