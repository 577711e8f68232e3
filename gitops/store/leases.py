"""Leases as rows: who may write, under which epoch. Plays :class:`gitops.ports.Leases`.

An epoch rises whenever a lease changes hands and is checked in the transaction of every write, so
a holder that was stopped, cut off or slept through its time is refused however late it wakes. A
lease that ran out cannot be renewed, only acquired again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, and_, bindparam, insert, select, update

from gitops.errors import StaleWrite
from gitops.model.events import Epoch
from gitops.store import tables as t
from gitops.store.database import Database

T = TypeVar("T")


class Runner(Protocol):
    """Runs work on the store's one writing thread."""

    def __call__(self, work: Callable[[], T]) -> Awaitable[T]: ...


class SqlLeases:
    """Times are the database server's on PostgreSQL, else the injected clock's."""

    def __init__(self, database: Database, run: Runner, dead: Callable[[str], bool]) -> None:
        self._database = database
        self._run = run
        self._dead = dead

    async def acquire(self, name: str, holder: str, seconds: float) -> Epoch | None:
        """None while somebody else holds it. The holder itself keeps its live lease and epoch;
        any other acquisition raises the epoch."""

        def work(connection: Connection) -> Epoch | None:
            return self._acquire(connection, name, holder, seconds)

        return await self._run(lambda: self._database.write(work))

    async def renew(self, epoch: Epoch, holder: str, seconds: float) -> bool:
        """False when the lease is lost or has run out."""

        def work(connection: Connection) -> bool:
            now = self._database.now(connection)
            mine = and_(_is(epoch), t.lease.c.holder == holder, t.lease.c.expires_at > now)
            statement = update(t.lease).where(mine).values(expires_at=now + seconds)
            return connection.execute(statement).rowcount == 1

        return await self._run(lambda: self._database.write(work))

    async def release(self, epoch: Epoch, holder: str) -> None:
        """Gives it up at once; nothing when it is lost already."""

        def work(connection: Connection) -> None:
            mine = and_(_is(epoch), t.lease.c.holder == holder)
            connection.execute(update(t.lease).where(mine).values(holder="", expires_at=0.0))

        await self._run(lambda: self._database.write(work))

    def _acquire(
        self, connection: Connection, name: str, holder: str, seconds: float
    ) -> Epoch | None:
        now = self._database.now(connection)
        row = connection.execute(select(t.lease).where(t.lease.c.name == name)).first()
        values: dict[str, Any] = {"holder": holder, "expires_at": now + seconds}
        if row is None:
            connection.execute(insert(t.lease).values(name=name, epoch=1, **values))
            return Epoch(name, 1)
        live = row.expires_at > now
        if live and row.holder != holder and not self._dead(row.holder):
            return None
        number = row.epoch if live and row.holder == holder else row.epoch + 1
        this = t.lease.c.name == name
        connection.execute(update(t.lease).where(this).values(epoch=number, **values))
        return Epoch(name, number)


def check_epoch(database: Database, connection: Connection, epoch: Epoch) -> None:
    """Raises StaleWrite unless the lease still has this epoch and time left."""
    held = {"of": epoch.lease, "of_epoch": epoch.number}
    expires_at = connection.execute(_EXPIRY, held).scalar()
    if expires_at is None or expires_at <= database.now(connection):
        raise StaleWrite(
            f"lease lost: {epoch.lease} has run out or belongs to another process",
            hint="nothing was written; whoever holds it now carries on",
        )


_EXPIRY = select(t.lease.c.expires_at).where(
    t.lease.c.name == bindparam("of"), t.lease.c.epoch == bindparam("of_epoch")
)


def _is(epoch: Epoch) -> Any:
    return and_(t.lease.c.name == epoch.lease, t.lease.c.epoch == epoch.number)
