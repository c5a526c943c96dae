"""What a path of a shredded version held, so that the chain of manifests can still be checked.

Of what was shredded before, nobody knows it any more.

Revises 0011.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Begin to keep it."""
    op.create_table(
        "destroyed",
        sa.Column("revision", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("revision", "path", name="pk_destroyed"),
        sa.ForeignKeyConstraint(
            ["revision"], ["revision.id"], name="fk_destroyed_revision", deferrable=True, initially="DEFERRED"
        ),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
