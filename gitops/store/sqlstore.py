"""The store as the engine sees it: asynchronous in front, one writing thread behind.

Plays :class:`gitops.ports.Store`. Writes queue up for one thread, so nothing here ever waits for a
lock of its own process; reads run beside them on a few threads with connections that cannot write.
The event loop never touches the database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import Connection

from gitops.errors import StoreUnavailable
from gitops.model.events import Epoch
from gitops.ports import Reading, Transaction
from gitops.store.database import Database
from gitops.store.leases import SqlLeases, check_epoch
from gitops.store.reading import SqlReading
from gitops.store.transaction import SqlTransaction

T = TypeVar("T")


class SqlStore:
    """Made by :func:`gitops.store.open_store`; ``leases`` shares its database and thread."""

    def __init__(self, database: Database, readers: int, dead: Callable[[str], bool]) -> None:
        """``readers`` 0: reads take the writing thread (a database in memory has one
        connection)."""
        self._database = database
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="store-write")
        self._reading = (
            ThreadPoolExecutor(readers, thread_name_prefix="store-read")
            if readers
            else self._writing
        )
        self.leases = SqlLeases(database, self._run_writing, dead)

    async def write(self, work: Callable[[Transaction], T], epoch: Epoch) -> T:
        """Runs ``work`` in one serialised transaction that first checks the lease epoch.

        Durable when it returns. Raises StaleWrite (lease lost, precondition gone),
        StoreUnavailable, or what ``work`` raised; nothing is kept then. One exception: when the
        connection to PostgreSQL breaks during commit, StoreUnavailable leaves it open whether the
        transaction was kept; read back. ``work`` may run more than once.
        """

        def transaction(connection: Connection) -> T:
            check_epoch(self._database, connection, epoch)
            writing = SqlTransaction(connection, self._database.clock.now())
            result = work(writing)
            writing.finish()
            return result

        return await self._run_writing(lambda: self._database.write(transaction))

    async def read(self, query: Callable[[Reading], T]) -> T:
        """Runs ``query`` on one consistent snapshot of what is committed."""
        return await self._run(
            self._reading,
            lambda: self._database.read(lambda connection: query(SqlReading(connection))),
        )

    def close(self) -> None:
        """Waits for what is queued, then closes every connection. Fine to call twice."""
        self._reading.shutdown()
        self._writing.shutdown()
        self._database.close()

    async def _run_writing(self, work: Callable[[], T]) -> T:
        return await self._run(self._writing, work)

    async def _run(self, executor: Executor, work: Callable[[], T]) -> T:
        try:
            queued = executor.submit(work)
        except RuntimeError:
            raise StoreUnavailable("the store is closed", place=self._database.place) from None
        return await asyncio.wrap_future(queued)
