"""SQLite engines: one file in the state folder, or memory for a run that keeps nothing.

Called by :mod:`gitops.store.opening`. WAL with ``synchronous=FULL``: a commit that returned is on
the disk, and reading never waits for writing. Transactions are begun by us, because the driver's
own habit of beginning late lets two writers deadlock.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import QueuePool, StaticPool

from gitops.errors import ConfigError, StoreUnavailable

READERS = 3
_BUSY = 5.0
"""Seconds to wait for another process's write before giving up."""


def file_engines(path: Path) -> tuple[Engine, Engine]:
    """(writer, reader) on a file, made 0600 in a folder made 0700 where they are not there yet.

    Raises StoreUnavailable when the disk refuses, ConfigError when it cannot do WAL.
    """
    _make_file(path)
    writer = _engine(lambda: _connect_writer(path), "BEGIN IMMEDIATE", 1)
    reader = _engine(lambda: _connect_reader(path), "BEGIN", READERS)
    return writer, reader


def memory_engine() -> Engine:
    """A database that lives as long as its one connection, for reading and writing alike."""

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA foreign_keys=ON")
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=StaticPool, hide_parameters=True)
    return _begin_with(engine, "BEGIN IMMEDIATE")


def _engine(connect: Callable[[], sqlite3.Connection], begin: str, size: int) -> Engine:
    engine = create_engine(
        "sqlite://",
        creator=connect,
        poolclass=QueuePool,
        pool_size=size,
        max_overflow=0,
        hide_parameters=True,
    )
    return _begin_with(engine, begin)


def _begin_with(engine: Engine, statement: str) -> Engine:
    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(statement)

    return engine


def _connect_writer(path: Path) -> sqlite3.Connection:
    connection = _connect(path, "rw")
    mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    if mode != "wal":
        connection.close()
        raise ConfigError(
            f"the disk under the store cannot do write-ahead logging (mode {mode!r})",
            place=str(path),
            hint="keep the state folder on a local disk, or use PostgreSQL",
        )
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    return connection


def _connect_reader(path: Path) -> sqlite3.Connection:
    connection = _connect(path, "ro")
    connection.execute("PRAGMA query_only=ON")
    return connection


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode={mode}",
        uri=True,
        timeout=_BUSY,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.execute("PRAGMA trusted_schema=OFF")
    return connection


def _make_file(path: Path) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        if path.stat().st_mode & 0o077 and path.stat().st_uid == os.geteuid():
            path.chmod(0o600)
    except OSError as error:
        raise StoreUnavailable(
            f"the database file cannot be made: {error.strerror}",
            place=str(path),
            hint="check that the folder exists, is ours to write, and has room",
        ) from None
