"""The engine's way to the store: every write carries the lease it is made under.

A thin pairing of a store and the present lease epoch, so that no caller can forget the epoch.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

from gitops.engine.bell import Bell, Overheard
from gitops.engine.measures import Hearing, Measures
from gitops.errors import StaleWrite, StoreUnavailable
from gitops.model.delivery import ChangeRecord, LaneRecord
from gitops.model.events import Epoch, Event
from gitops.ports import Reading, Store, Transaction
from gitops.ports.observing import Ended

T = TypeVar("T")


class Ledger:
    """Reads and writes under one lease. ``epoch`` is set and cleared by the lease keeper."""

    def __init__(
        self,
        store: Store,
        epoch: Epoch | None = None,
        listening: Callable[[Transaction], Transaction] = lambda tx: tx,
    ) -> None:
        """``listening`` gives back the transaction that ``work`` is to see: who announces events
        hears of them there."""
        self._store = store
        self._listening = listening
        self.measures = Measures()
        """What is seen of the writes, and of everything else this process does."""
        self.bell = Bell()
        """Rung by every write, with what it was about."""
        self.epoch = epoch
        self.written = asyncio.Event()
        """Set by every write; for whoever carries the outbox."""

    def looking(self) -> Ledger:
        """The same store to read only: without a lease every write is refused."""
        return Ledger(self._store)

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """One durable transaction. Raises StaleWrite without a lease or when a precondition of
        an event fails, StoreUnavailable when the database is away."""
        if self.epoch is None:
            raise StaleWrite("this controller holds no lease, so it may not write")
        ended: list[Ended] = []
        topics: dict[str, None] = {}

        def heard(tx: Transaction) -> T:
            ended.clear()  # PostgreSQL may have the work done again
            topics.clear()
            return work(Overheard.of(Hearing.of(self._listening(tx), ended), self.bell, topics))

        began = time.monotonic()
        try:
            done = await self._store.write(heard, self.epoch)
        except StoreUnavailable:
            self.measures.unwritten()
            raise
        self.measures.wrote(time.monotonic() - began, ended)
        self.written.set()
        self.bell.ring(topics)
        return done

    async def append(self, *events: Event) -> None:
        def work(tx: Transaction) -> None:
            for event in events:
                tx.append(event)

        await self.write(work)

    async def read(self, query: Callable[[Reading], T]) -> T:
        return await self._store.read(query)


def open_change(reading: Reading, lane: LaneRecord) -> ChangeRecord | None:
    """The lane's one change that has not ended; None when there is none."""
    return reading.change(lane.current) if lane.current else None


class LedgerMemory:
    """Plays ``Memory`` in the store, for adapters."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def recall(self, owner: str, key: str) -> str | None:
        return await self._ledger.read(lambda reading: reading.memo(owner, key))

    async def keep(self, owner: str, key: str, value: str | None) -> None:
        await self._ledger.write(lambda tx: tx.memorise(owner, key, value))

    async def keep_first(self, owner: str, key: str, value: str) -> bool:
        return await self._ledger.write(lambda tx: tx.memorise_first(owner, key, value))

    async def forget(self, owner: str, before: float) -> None:
        await self._ledger.write(lambda tx: tx.forget_memos(owner, before))
