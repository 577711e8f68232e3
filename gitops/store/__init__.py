"""History and present state of every change: SQLite by default, PostgreSQL when there are replicas.

The only package that imports SQLAlchemy and Alembic; ``app.py`` imports it when a controller
starts. State changes by one way only, an event appended to a transaction that holds a lease.
"""

from gitops.store.chain import verify_chain
from gitops.store.holders import proven_dead, this_process
from gitops.store.opening import open_memory_store, open_store
from gitops.store.reading import Ambiguous
from gitops.store.sqlstore import SqlStore

__all__ = [
    "Ambiguous",
    "SqlStore",
    "open_memory_store",
    "open_store",
    "proven_dead",
    "this_process",
    "verify_chain",
]
