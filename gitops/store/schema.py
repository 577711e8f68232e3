"""Brings a database to the schema this version knows, or refuses it.

Called once while opening. A new or older database is migrated in one transaction that other
processes opening it at the same moment wait for; a newer one is refused, because what we would
write into it could mean something else there. Alembic is imported only when there is something to
migrate.
"""

from __future__ import annotations

import contextlib
import sqlite3
from functools import cache
from pathlib import Path
from typing import cast

from sqlalchemy import Connection, Engine, StaticPool, create_engine, insert, inspect, text

from gitops.errors import ConfigError
from gitops.store import tables as t

_MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 4_721_003_118
"""Any constant: the advisory lock of migrations on PostgreSQL."""


def bring_up_to_date(engine: Engine, place: str) -> None:
    """Raises ConfigError for a database of a newer version, or one that is somebody else's."""
    if engine.dialect.name == "postgresql":
        # Whoever waited for the lock must see what its holder did, not an older snapshot.
        engine = engine.execution_options(isolation_level="READ COMMITTED")
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        found = _revision(connection)
        if found == t.HEAD:
            return
        _migrate(connection, found, place)


def create_all(engine: Engine) -> None:
    """The present schema without history, for a new database in memory: copied from one that was
    made once, which takes a tenth of the time."""
    with contextlib.closing(engine.raw_connection()) as connection:
        _made().backup(cast(sqlite3.Connection, connection.driver_connection))


@cache
def _made() -> sqlite3.Connection:
    """Only ever read."""
    made = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    engine = create_engine("sqlite://", creator=lambda: made, poolclass=StaticPool)
    with engine.begin() as connection:
        t.metadata.create_all(connection)
        connection.execute(insert(t.project).values(name="default"))
    return made


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _migrate(connection: Connection, found: str | None, place: str) -> None:
    from alembic import command  # noqa: PLC0415 – half a second for one start in a hundred
    from alembic.config import Config  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise ConfigError(
            f"the store was written by a newer version (schema {found}, we know {t.HEAD})",
            place=place,
            hint="run the newer version, or restore a backup made before it was started",
        )
    if found is None and inspect(connection).get_table_names():
        raise ConfigError(
            "the database holds tables that are not ours",
            place=place,
            hint="give the controller a database of its own",
        )
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
