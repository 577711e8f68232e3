"""Holds the lease this controller writes under, and lets go of everything when it is lost.

Renewed at a third of its life on the monotonic clock. Losing it takes the epoch away from the
ledger first, so nothing can be written any more, and then ends the run.
"""

from __future__ import annotations

import asyncio

import structlog

from gitops.engine.ledger import Ledger
from gitops.errors import StaleWrite, StoreUnavailable
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

    async def acquire(self) -> None:
        """Waits until the lease is ours; says so when somebody else has it."""
        told = False
        while True:
            epoch = await self._leases.acquire(LEASE, self._holder, self._seconds)
            if epoch is not None:
                self._ledger.epoch = epoch
                return
            if not told:
                told = True
                _log.warning("lease.waiting", why="another controller runs on this store")
            await asyncio.sleep(min(1.0, self._seconds / 5))

    async def keep(self) -> None:
        """Renews for ever. Raises StaleWrite when the lease is lost."""
        good = self._clock.monotonic()
        while True:
            await asyncio.sleep(self._seconds / 3)
            epoch = self._ledger.epoch
            if epoch is None:
                raise StaleWrite("the lease was given up")
            try:
                kept = await self._leases.renew(epoch, self._holder, self._seconds)
            except StoreUnavailable as error:
                _log.warning("lease.unrenewed", problem=error.message)
                kept = self._clock.monotonic() - good < self._seconds
            else:
                good = self._clock.monotonic()
            if not kept:
                self._ledger.epoch = None
                raise StaleWrite("another controller has taken the lease over")

    async def release(self) -> None:
        """At a clean end: the next controller need not wait."""
        epoch, self._ledger.epoch = self._ledger.epoch, None
        if epoch is not None:
            await self._leases.release(epoch, self._holder)
