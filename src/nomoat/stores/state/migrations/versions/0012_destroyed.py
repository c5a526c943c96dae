"""What stands in the chain of manifests for changes whose contents were destroyed.

Revises 0011. Of versions that were shredded before, nothing is known any more.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "destroyed",
        sa.Column("revision", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("revision", "path", name="pk_destroyed"),
        sa.ForeignKeyConstraint(
            ["revision"], ["revision.id"], name="fk_destroyed_revision", deferrable=True, initially="DEFERRED"
        ),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
