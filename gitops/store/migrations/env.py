"""Runs migrations on the connection that :mod:`gitops.store.schema` hands over, inside its
transaction: all of them or none. Alembic executes this file; there is no other way in.
"""

from alembic import context

from gitops.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
