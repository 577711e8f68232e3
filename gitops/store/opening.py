"""Opens a store: from the fleet file's words to a migrated database and its threads.

Called by ``app.py`` at start, and by ``gitops plan`` for one in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from gitops.errors import ConfigError
from gitops.model.fleet import StoreSpec
from gitops.ports import Clock
from gitops.store import on_postgres, on_sqlite, schema
from gitops.store.database import Database
from gitops.store.failures import mapped
from gitops.store.holders import proven_dead
from gitops.store.sqlstore import SqlStore

_DEFAULT = Path("store") / "gitops.db"


def open_store(
    spec: StoreSpec,
    state_dir: Path,
    clock: Clock,
    password: str | None = None,
    *,
    dead: Callable[[str], bool] = proven_dead,
) -> SqlStore:
    """A store ready for use, its schema brought up to date. Blocks while doing so.

    ``password`` is what the spec's reference resolved to. ``dead`` says of a lease holder's name
    that its process has certainly ended. Raises ConfigError (a URL we cannot use, a newer schema,
    a server that is not durable) and StoreUnavailable (not there, disk full).
    """
    if not spec.url:
        return _open_file(state_dir / _DEFAULT, clock, dead)
    url = _parse(spec.url)
    if url.get_backend_name() == "sqlite":
        return _open_file(_sqlite_path(url, state_dir), clock, dead)
    return _open_postgres(url, password, clock, dead)


def open_memory_store(clock: Clock) -> SqlStore:
    """A store that ends with the process, for runs that must keep nothing, and for tests."""
    engine = on_sqlite.memory_engine()
    schema.create_all(engine)
    return SqlStore(Database(engine, engine, "memory", clock, shared=False), 0, proven_dead)


def _open_file(path: Path, clock: Clock, dead: Callable[[str], bool]) -> SqlStore:
    writer, reader = on_sqlite.file_engines(path)
    database = Database(writer, reader, str(path), clock, shared=False)
    return _ready(database, on_sqlite.READERS, dead)


def _open_postgres(
    url: URL, password: str | None, clock: Clock, dead: Callable[[str], bool]
) -> SqlStore:
    place = f"postgresql://{url.host or url.query.get('host', '')}/{url.database or ''}"
    try:
        writer, reader = on_postgres.engines(url, password)
    except ModuleNotFoundError:
        raise ConfigError(
            "the PostgreSQL driver is not installed",
            place=place,
            hint="pip install 'gitops-controller[postgres]'",
        ) from None
    database = Database(writer, reader, place, clock, shared=True)
    return _ready(database, on_postgres.READERS, dead)


def _ready(database: Database, readers: int, dead: Callable[[str], bool]) -> SqlStore:
    try:
        with mapped(database.place):
            if database.shared:
                on_postgres.refuse_unless_durable(database.writer, database.place)
            schema.bring_up_to_date(database.writer, database.place)
    except BaseException:
        database.close()
        raise
    return SqlStore(database, readers, dead)


def _parse(text: str) -> URL:
    hint = "write postgresql://USER@HOST/DATABASE, or leave it out for SQLite"
    try:
        url = make_url(text)
        backend = url.get_backend_name()
    except (ArgumentError, ValueError):
        raise ConfigError("the store's url cannot be read", hint=hint) from None
    if url.password is not None or any("password" in key for key in url.query):
        raise ConfigError(
            "the store's url holds a password", hint="name it by reference under store.password"
        )
    if backend not in ("sqlite", "postgresql"):
        raise ConfigError(f"there is no store on {backend!r}", hint=hint)
    return url


def _sqlite_path(url: URL, state_dir: Path) -> Path:
    if not url.database or url.database.startswith((":memory:", "file:")):
        raise ConfigError(
            "the store's url names no file",
            hint="write sqlite:///PATH, or leave the url out for the state folder",
        )
    return state_dir / url.database
