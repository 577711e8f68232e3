"""One opened database, SQLite or PostgreSQL: two engines and how a transaction runs on each.

Made by :mod:`gitops.store.opening`, used by the store and its leases from their own threads. Knows
nothing of events. Everything that differs between the two databases is here or in the modules that
make the engines.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from gitops.errors import StoreUnavailable
from gitops.ports import Clock
from gitops.store.failures import mapped, passing_conflict

T = TypeVar("T")
_ATTEMPTS = 12
_FIRST_PAUSE = 0.002
_LONGEST_PAUSE = 0.25


@dataclass(frozen=True, slots=True)
class Database:
    """``writer`` serialises (BEGIN IMMEDIATE, or SERIALIZABLE); ``reader`` cannot write."""

    writer: Engine
    reader: Engine
    place: str
    """Names the database in messages, without a password."""
    clock: Clock
    shared: bool
    """Replicas may use it at the same time, so leases go by the database's own clock."""

    def write(self, work: Callable[[Connection], T]) -> T:
        """Runs ``work`` in one transaction and commits. On PostgreSQL it is run again when another
        transaction was first, with growing pauses. Raises what ``work`` raises, StaleWrite,
        StoreUnavailable."""
        with mapped(self.place):
            for attempt in range(_ATTEMPTS):
                try:
                    with self.writer.begin() as connection:
                        return work(connection)
                except DBAPIError as error:
                    if not passing_conflict(error):
                        raise
                _pause(attempt)
        raise StoreUnavailable(
            "the database is too contended: other replicas were first every time",
            place=self.place,
            retry_after=1.0,
        )

    def read(self, query: Callable[[Connection], T]) -> T:
        """Runs ``query`` on one snapshot. Raises what it raises, or StoreUnavailable."""
        with mapped(self.place), self.reader.connect() as connection:
            return query(connection)

    def now(self, connection: Connection) -> float:
        """The clock leases go by: the server's where there are replicas, else ours."""
        if not self.shared:
            return self.clock.now()
        return float(connection.execute(_SERVER_TIME).scalar_one())

    def close(self) -> None:
        self.reader.dispose()
        self.writer.dispose()


_SERVER_TIME = text("SELECT extract(epoch FROM clock_timestamp())::float8")


def _pause(attempt: int) -> None:
    longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**attempt)
    time.sleep(random.uniform(longest / 2, longest))  # noqa: S311 – spreads retries, no secret
