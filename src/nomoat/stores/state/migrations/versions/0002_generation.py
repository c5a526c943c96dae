"""The generation: an older copy of the state can be told from the newest.

Revises 0001. What was written before counts as generation 0.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table and its one row."""
    table = op.create_table(
        "generation",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_generation"),
        sqlite_strict=True,
    )
    op.execute(sa.insert(table).values(number=0))
