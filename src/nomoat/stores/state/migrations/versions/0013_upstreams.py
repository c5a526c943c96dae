"""What the gateway shows to the servers of models.

Revises 0012.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Begin to keep it."""
    op.create_table(
        "upstream_credential",
        sa.Column("upstream", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.REAL[float](), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("upstream", name="pk_upstream_credential"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
