"""Runs the migrations on the connection that `State` hands over, inside its transaction."""

from alembic import context
from sqlalchemy import Connection

from nomoat.stores.state.schema import metadata

connection: Connection = context.config.attributes["connection"]
# SQLite's DDL is transactional as long as the driver does not commit by itself (ours may not).
context.configure(connection=connection, target_metadata=metadata, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
