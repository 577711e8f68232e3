"""Carries the outbox to the notifiers: each notice at least once, none waiting for another's.

A notifier that is away keeps back its own notices only, and never a delivery. Run by the controller
for as long as it lives.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import structlog

from gitops.engine.folding import batches, folded
from gitops.engine.ledger import Ledger
from gitops.errors import Apart, GitopsError, StaleWrite, Transient
from gitops.model.events import (
    Notice,
)
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
