"""Erasures: of whom the content was destroyed, and by which record of the log.

Revises 0003.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "erasure",
        sa.Column("pseudonym", sa.Text(), nullable=False),
        sa.Column("record", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("pseudonym", name="pk_erasure"),
        sqlite_strict=True,
    )
