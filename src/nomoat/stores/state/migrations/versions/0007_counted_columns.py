"""Columns of the log that have every name of what a record is on: those made before are made anew.

Revises 0006.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Destroy the keys of the columns that there are."""
    op.execute("DELETE FROM chunk")
