"""``INSERT … ON CONFLICT``: the one statement SQLAlchemy builds per dialect.

Called by the transaction and the projections. Built once for each table and database.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def upsert(connection: Connection, table: Table) -> Any:
    """Replaces every column but the primary key; takes one row's values or a list of them."""
    return _upsert(connection.dialect.name, table)


def insert_new(connection: Connection, table: Table) -> Any:
    """Does nothing where the primary key is there already."""
    return _insert(connection.dialect.name, table).on_conflict_do_nothing()


@cache
def _upsert(dialect: str, table: Table) -> Any:
    statement = _insert(dialect, table)
    changed = {c.name: statement.excluded[c.name] for c in table.c if not c.primary_key}
    return statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=changed)


def _insert(dialect: str, table: Table) -> Any:
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
