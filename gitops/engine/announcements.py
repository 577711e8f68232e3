"""What people are told: a notice in the outbox for every event worth one, in its own transaction.

The ledger shows each event to :func:`announced` as it is appended, so nothing can happen that is
not told, and nothing is told that did not happen. :class:`Sender` carries the outbox to the
notifiers; one that is away keeps back its own notices only, and never a delivery.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any, cast

import structlog

from gitops.engine.ledger import Ledger
from gitops.errors import GitopsError, StaleWrite, Transient
from gitops.model.delivery import ChangeState
from gitops.model.events import (
    ChangeBlocked,
    ChangeClosed,
    Claimed,
    Event,
    MemberAsked,
    MemberDecided,
    Notice,
)
from gitops.model.fleet import Fleet
from gitops.model.ids import ChangeId, combine, short
from gitops.ports import Clock, Notifier, Transaction

_log = structlog.get_logger(__name__)

TRIES = 10
"""After that a notice is given up; who missed it finds everything in ``status`` and ``show``."""
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 300.0


class Announcer:
    """Turns events into notices for every notifier of the fleet file."""

    def __init__(self, fleet: Callable[[], Fleet], clock: Clock) -> None:
        self._fleet = fleet
        self._clock = clock

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
        record = tx.change(change)
        lane = str(record.change.lane) if record else ""
        now = self._clock.now()
        for notifier in self._fleet().notifiers:
            identity = short(combine(notifier.name, kind, change, place), 12)
            tx.enqueue(
                Notice(
                    f"{place:012d}-{identity}",
                    notifier.name,
                    kind,
                    change,
                    {"lane": lane, **payload},
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
    match event:
        case MemberAsked():
            return (
                "asked",
                event.change,
                {"request": event.request, "seal": event.seal, "moved": event.moved},
            )
        case MemberDecided():
            by = ", ".join(event.by)
            payload = {"request": event.request, "by": by, "reason": event.reason}
            return event.state.value, event.change, {**payload}
        case ChangeBlocked():
            return "blocked", event.change, {"reason": event.reason}
        case Claimed():
            return "applying", event.change, {"approved_by": ", ".join(event.approved_by)}
        case ChangeClosed() if event.state not in _QUIET:
            return event.state.value, event.change, {"reason": event.reason}
    return None


_QUIET = (
    ChangeState.UNCHANGED,
    # Told when the member is decided.
    ChangeState.DENIED,
    ChangeState.EXPIRED,
)


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

    async def run(self) -> None:
        """For ever: sends after every write, and again when a resting notifier may be tried."""
        while True:
            self._ledger.written.clear()
            with contextlib.suppress(Transient, StaleWrite):
                await self.send()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ledger.written.wait(), self._until_next())

    def _until_next(self) -> float | None:
        """Seconds; None while nobody rests."""
        if not self._resting:
            return None
        return max(0.05, min(at for at, _ in self._resting.values()) - self._clock.monotonic())

    async def send(self) -> None:
        waiting = await self._ledger.read(lambda reading: reading.outbox())
        by_notifier: dict[str, list[Notice]] = {}
        for notice in waiting:
            by_notifier.setdefault(notice.notifier, []).append(notice)
        await asyncio.gather(*(self._send_all(name, all_) for name, all_ in by_notifier.items()))

    async def _send_all(self, name: str, notices: list[Notice]) -> None:
        if self._resting.get(name, (0.0, 0.0))[0] > self._clock.monotonic():
            return
        notifier = self._notifiers().get(name)
        for notice in notices:
            error = "" if notifier is None else await self._try(notifier, notice)
            attempts = notice.attempts + 1
            given_up = bool(error) and attempts >= TRIES
            if given_up:
                _log.error("notice.given-up", notifier=name, notice=notice.id, problem=error)
            await self._record(notice, attempts, "" if given_up else error)
            if error and not given_up:
                self._rest(name)
                return
        self._resting.pop(name, None)

    def _rest(self, name: str) -> None:
        pause = min(self._resting.get(name, (0.0, FIRST_PAUSE / 2))[1] * 2, LONGEST_PAUSE)
        self._resting[name] = (self._clock.monotonic() + pause, pause)

    async def _try(self, notifier: Notifier, notice: Notice) -> str:
        try:
            await notifier.send(notice)
        except GitopsError as error:
            return error.message
        except Exception:
            # Somebody else's plugin: its failure is its own.
            _log.exception("notifier.defect", notifier=notifier.name)
            return "the notifier failed, see the log"
        return ""

    async def _record(self, notice: Notice, attempts: int, error: str) -> None:
        def work(tx: Transaction) -> None:
            tx.sent(notice.id, attempts, error)

        await self._ledger.write(work)
