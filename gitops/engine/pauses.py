"""``gitops pause``: an application is left alone for a time that ends by itself.

Kept by the controller: people pause and resume through it, and one task of it ends what is over,
at its moment and not by looking every so often. What a pause means is decided elsewhere, in the
transactions it is about: the desk asks nobody, and the store lets nothing be claimed. Never stops
what is claimed already.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from gitops.engine.ballot import leave
from gitops.engine.ledger import Ledger, open_change
from gitops.errors import NotAllowed, StaleWrite, Transient
from gitops.model.delivery import LaneId, Pause
from gitops.model.events import ApplicationPaused, ApplicationResumed
from gitops.model.ids import ApplicationName, PersonName
from gitops.ports import Clock, Reading, Transaction

LONGEST = 30 * 86_400.0
"""Seconds. Who needs longer takes the application out of the fleet file."""
LONGEST_REASON = 2_000
_LONGEST_SLEEP = 60.0
"""Seconds: a machine that was asleep, or whose clock was set, is late by no more than this."""
_AGAIN = 1.0


class Pauses:
    """The pauses of one controller's store, mirrored: only this controller writes there."""

    def __init__(
        self, ledger: Ledger, clock: Clock, offer: Callable[[ApplicationName], None]
    ) -> None:
        """``offer``: have a look at every lane of that application."""
        self._ledger = ledger
        self._clock = clock
        self._offer = offer
        self._known: dict[ApplicationName, Pause] = {}
        self._moved = asyncio.Event()

    async def load(self) -> None:
        """Reads what an earlier process wrote."""
        found = await self._ledger.read(lambda reading: reading.pauses())
        self._known = {pause.application: pause for pause in found}
        self._moved.set()

    def of(self, application: ApplicationName) -> Pause | None:
        """The one that holds now."""
        pause = self._known.get(application)
        return pause if pause is not None and pause.holds(self._clock.now()) else None

    def present(self) -> dict[ApplicationName, Pause]:
        """Those that hold now."""
        now = self._clock.now()
        return {name: pause for name, pause in self._known.items() if pause.holds(now)}

    async def pause(
        self, lanes: Sequence[LaneId], person: PersonName, seconds: float, reason: str
    ) -> Pause:
        """Takes back every open question about the lanes, which are all of one application. Takes
        the place of an earlier pause. Raises NotAllowed without a reason, or for a time that is
        none or too long."""
        application, why = lanes[0].application, reason.strip()[:LONGEST_REASON]
        if not why:
            hint = 'say why in a few words (in a terminal: --reason "…")'
            raise NotAllowed("a pause needs a reason", hint=hint)
        if not 0 < seconds <= LONGEST:
            raise NotAllowed(
                f"a pause lasts up to {LONGEST / 86_400:.0f} days",
                hint="name its length, such as 30m, 2h or 1d; it can be made longer later",
            )
        since = self._clock.now()
        pause = Pause(application, person, why, since, since + seconds)

        def work(tx: Transaction) -> Pause:
            tx.append(ApplicationPaused(application, person, why, pause.until))
            for lane in lanes:
                record = open_change(tx, tx.lane(lane))
                if record is not None:
                    leave(tx, record, pause.told)
            return pause

        self._known[application] = await self._ledger.write(work)
        self._moved.set()
        return pause

    async def resume(self, application: ApplicationName, person: PersonName) -> None:
        """Raises NotAllowed when there is no pause."""
        if self.of(application) is None:
            raise NotAllowed(f"{application} is not paused")
        with contextlib.suppress(StaleWrite):  # somebody else's resume was first
            await self._ledger.append(ApplicationResumed(application, person))
        self._known.pop(application, None)
        self._offer(application)

    async def run(self) -> None:
        """For ever: ends each pause when its time is up."""
        while True:
            self._moved.clear()
            with contextlib.suppress(Transient):
                for pause in self._over():
                    await self._ended(pause)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._moved.wait(), self._until_next())

    def _over(self) -> list[Pause]:
        now = self._clock.now()
        return [pause for pause in self._known.values() if not pause.holds(now)]

    def _until_next(self) -> float | None:
        """Seconds; None while nothing is paused."""
        if not self._known:
            return None
        left = min(pause.until for pause in self._known.values()) - self._clock.now()
        return min(left, _LONGEST_SLEEP) if left > 0 else _AGAIN

    async def _ended(self, pause: Pause) -> None:
        """Its time is up, unless somebody made it longer while that was noticed."""
        name = pause.application

        def work(tx: Transaction) -> None:
            if paused(tx, name, self._clock.now()) is None:
                tx.append(ApplicationResumed(name, "its time was up"))

        with contextlib.suppress(StaleWrite):  # somebody's resume was first
            await self._ledger.write(work)
        if self._known.get(name) == pause:
            del self._known[name]
        self._offer(name)


def paused(reading: Reading, application: ApplicationName, now: float) -> Pause | None:
    """The one that holds at ``now``, as the store has it."""
    found = reading.pause(application)
    return found if found is not None and found.holds(now) else None
