"""Holds the lease this controller writes under, and lets go of everything when it is lost.

Renewed at a third of its life on the monotonic clock. Losing it takes the epoch away from the
ledger first, so nothing can be written any more, and then ends the run. A process that stood still
for longer than its lease (a paused machine, a blocked loop) takes it again where nobody else had
it meanwhile: restarting would cost time and mend nothing.
"""

from __future__ import annotations

import asyncio

import structlog

from gitops.engine.ledger import Ledger
from gitops.errors import StaleWrite, StoreUnavailable
from gitops.model.events import Epoch
from gitops.ports import Clock, Leases

_log = structlog.get_logger(__name__)

LEASE = "controller"
SECONDS = 15.0


class LeaseKeeper:
    def __init__(
        self, leases: Leases, ledger: Ledger, holder: str, clock: Clock, seconds: float = SECONDS
    ) -> None:
        self._leases = leases
        self._ledger = ledger
        self._holder = holder
        self._clock = clock
        self._seconds = seconds
        self._good: float | None = None

    @property
    def seconds(self) -> float:
        """How long the lease lasts."""
        return self._seconds

    @property
    def unrenewed(self) -> float | None:
        """Seconds since the store last took it or renewed it; None before."""
        return None if self._good is None else self._clock.monotonic() - self._good

    async def acquire(self) -> None:
        """Waits until the lease is ours; says so when somebody else has it."""
        told = False
        while True:
            epoch = await self._leases.acquire(LEASE, self._holder, self._seconds)
            if epoch is not None:
                self._ledger.epoch = epoch
                self._good = self._clock.monotonic()
                return
            if not told:
                told = True
                _log.warning("lease.waiting", why="another controller runs on this store")
            await asyncio.sleep(min(1.0, self._seconds / 5))

    async def keep(self) -> None:
        """Renews for ever. Raises StaleWrite when the lease is lost, and says to whom or why."""
        good = self._clock.monotonic()
        while True:
            await asyncio.sleep(self._seconds / 3)
            epoch = self._ledger.epoch
            if epoch is None:
                raise StaleWrite("the lease was given up")
            still = self._clock.monotonic() - good
            try:
                kept = await self._leases.renew(epoch, self._holder, self._seconds)
            except StoreUnavailable as error:
                _log.warning("lease.unrenewed", problem=error.message)
                self._within(good)
                continue
            if not kept:
                await self._lost(epoch, still)
            good = self._good = self._clock.monotonic()

    def _within(self, good: float) -> None:
        """A store that is away is waited for as long as the lease lasts."""
        if self._clock.monotonic() - good >= self._seconds:
            self._ledger.epoch = None
            raise StaleWrite("the store was away for longer than the lease lasts")

    async def _lost(self, epoch: Epoch, still: float) -> None:
        """Returns only with a lease that nobody else had in between."""
        self._ledger.epoch = None
        if still <= self._seconds:
            raise StaleWrite("another controller has taken the lease over")
        late = f"this process stood still for {still:.0f} s, longer than its lease lasts"
        again = await self._again(late)
        if again is None:
            raise StaleWrite(f"{late}, and another controller seems to have taken over")
        if again.number > epoch.number + 1:
            # Every new holder raises the epoch by one, so somebody wrote while we stood still and
            # what this process remembers is old. A fresh start reads the store anew.
            await self._leases.release(again, self._holder)
            raise StaleWrite(f"{late}, and another controller had it meanwhile")
        self._ledger.epoch = again
        _log.warning("lease.regained", why=late, hint="look for what kept the machine or loop busy")

    async def _again(self, late: str) -> Epoch | None:
        try:
            return await self._leases.acquire(LEASE, self._holder, self._seconds)
        except StoreUnavailable as error:
            raise StaleWrite(f"{late}, and the store is away: {error.message}") from error

    async def release(self) -> None:
        """At a clean end: the next controller need not wait."""
        epoch, self._ledger.epoch = self._ledger.epoch, None
        if epoch is not None:
            await self._leases.release(epoch, self._holder)
