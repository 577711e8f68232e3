"""Database errors in our own words, mapped at the store's edge.

Used around every call into SQLAlchemy. Neither statements nor their parameters nor a URL reach a
message: the first could hold what people wrote, the last a password.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from gitops.errors import GitopsError, StaleWrite, StoreUnavailable

_SQLITE = {
    "SQLITE_BUSY": ("it is locked by another process", "is another controller running on it?"),
    "SQLITE_FULL": ("the disk is full", "make room; nothing was lost, nothing new is applied"),
    "SQLITE_READONLY": ("it is read-only", "check the owner and the mount of the state folder"),
    "SQLITE_CANTOPEN": ("it cannot be opened", "check the owner and mode of the state folder"),
    "SQLITE_IOERR": ("the disk fails", "see the system log; restore a backup to another disk"),
    "SQLITE_CORRUPT": ("the file is damaged", "stop the controller and restore a backup"),
    "SQLITE_NOTADB": ("the file is no SQLite database", "move it away or name another one"),
}
_CONFLICTS = frozenset({"40001", "40P01", "23505"})
"""PostgreSQL: serialization failure, deadlock, and the unique key that noticed one first."""


def sqlstate(error: BaseException) -> str:
    """PostgreSQL's code of an error, empty where there is none."""
    return str(getattr(getattr(error, "orig", None), "sqlstate", None) or "")


def passing_conflict(error: DBAPIError) -> bool:
    """Another transaction was first: the same work may succeed when run again."""
    return sqlstate(error) in _CONFLICTS


@contextmanager
def mapped(place: str) -> Iterator[None]:
    """Turns what SQLAlchemy raises into the error tree; ``place`` names the database safely."""
    try:
        yield
    except GitopsError:
        raise
    except IntegrityError:  # what no projection foresaw, or other replicas won every time
        raise StaleWrite("the store already holds something else under that name") from None
    except SQLAlchemyError as error:
        what, hint = _words(error)
        raise StoreUnavailable(
            f"the database cannot be used: {what}", hint=hint, place=place
        ) from None


def _words(error: SQLAlchemyError) -> tuple[str, str]:
    original = getattr(error, "orig", None)
    if isinstance(original, sqlite3.Error):
        return _sqlite(original)
    state = sqlstate(error)
    if state.startswith("28"):
        return "it refuses our credentials", "check the user and the password's reference"
    if state.startswith(("53", "58")):
        return f"it is out of resources ({state})", "see the server's log"
    if state == "25006":
        return "it is read-only", "the URL may name a standby"
    if state and not state.startswith(("08", "57")):
        return f"it answered with error {state}", "see the server's log"
    return "it does not answer", "check that it runs and can be reached"


def _sqlite(error: sqlite3.Error) -> tuple[str, str]:
    name = getattr(error, "sqlite_errorname", None) or type(error).__name__
    for prefix, words in _SQLITE.items():
        if name.startswith(prefix):
            return words
    return name, "see the controller's log"
