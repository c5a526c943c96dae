"""What a scan said of contents, and of the paths that they are published under; and where versions stand.

Versions of before had no stage, and were served: they are approved.

Revises 0007.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Note what is there as never scanned, which is not clean, and every version as approved."""
    op.add_column("blob", sa.Column("verdict", sa.Text(), nullable=False, server_default="unscannable"))
    op.add_column("blob", sa.Column("format", sa.Text(), nullable=False, server_default=""))
    op.add_column("blob", sa.Column("findings", sa.Text(), nullable=False, server_default="[]"))
    op.add_column("change", sa.Column("verdict", sa.Text(), nullable=False, server_default="unscannable"))
    op.create_table(
        "stage",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("at", sa.REAL[float](), nullable=False),
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
