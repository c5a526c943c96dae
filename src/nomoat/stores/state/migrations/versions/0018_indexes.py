"""Documents that are searched, and the keys they are sealed with.

Revises 0017.
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Begin to keep them."""
    op.create_table(
        "index_key",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("index", sa.Text(), nullable=False),
        sa.Column("classification", sa.Integer(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_index_key"),
        sa.UniqueConstraint("index", "classification", "labels", name="uq_index_key"),
        sqlite_strict=True,
    )
    op.create_table(
        "index_document",
        sa.Column("index", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["key"], ["index_key.id"], name="fk_index_document_key"),
        sa.PrimaryKeyConstraint("index", "name", name="pk_index_document"),
        sqlite_strict=True,
    )
