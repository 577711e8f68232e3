"""PostgreSQL engines, for replicas that share one store.

Called by :mod:`gitops.store.opening`. Writers run SERIALIZABLE: two replicas can interleave, and
the one whose premises the other changed is told to run again. Every wait has an end: connecting,
a lock, a statement, a forgotten transaction, a server that is gone without a word.
"""

from __future__ import annotations

from sqlalchemy import URL, Engine, create_engine, text

from gitops.errors import ConfigError

READERS = 3
_SECONDS = 5
_OPTIONS = "-c statement_timeout=30s -c lock_timeout=10s -c idle_in_transaction_session_timeout=60s"


def engines(url: URL, password: str | None) -> tuple[Engine, Engine]:
    """(writer, reader); nothing is connected yet."""
    if password is not None:
        url = url.set(password=password)
    writer = _engine(url, "SERIALIZABLE", _OPTIONS, 1)
    reader = _engine(
        url, "REPEATABLE READ", f"{_OPTIONS} -c default_transaction_read_only=on", READERS
    )
    return writer, reader


def _engine(url: URL, isolation: str, options: str, size: int) -> Engine:
    return create_engine(
        url.set(drivername="postgresql+psycopg"),
        isolation_level=isolation,
        pool_size=size,
        max_overflow=0,
        pool_pre_ping=True,
        pool_timeout=30,
        hide_parameters=True,
        connect_args={
            "options": options,
            "application_name": "gitops-controller",
            "connect_timeout": _SECONDS,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 15_000,
        },
    )


def refuse_unless_durable(engine: Engine, place: str) -> None:
    """A server that acknowledges commits it may forget could lose an approval, or a claim."""
    with engine.connect() as connection:
        value = connection.execute(text("SHOW synchronous_commit")).scalar_one()
    if value == "off":
        raise ConfigError(
            "the database acknowledges commits before they are on its disk",
            place=place,
            hint="set synchronous_commit = on for the controller's role or database",
        )
