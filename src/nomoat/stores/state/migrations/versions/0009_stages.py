"""Where versions stand. Those that were published before had no stage, and were served: they are approved.

Revises 0008.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table, and note every version that there is as approved."""
    op.create_table(
        "stage",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("at", sa.REAL(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("record", sa.Integer(), nullable=False),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_stage"),
        sa.ForeignKeyConstraint(
            ["revision"], ["revision.id"], name="fk_stage_revision", deferrable=True, initially="DEFERRED"
        ),
        sqlite_autoincrement=True,
        sqlite_strict=True,
    )
    op.create_index("ix_stage_revision", "stage", ["revision"])
    op.execute(
        "INSERT INTO stage (revision, stage, subject, at, reason, record, statement)"
        " SELECT id, 'approved', 'gateway', at, 'published before versions had stages', 0, x'' FROM revision"
    )
