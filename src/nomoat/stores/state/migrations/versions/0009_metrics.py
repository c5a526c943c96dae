"""What was told of datasets with noise, and what that cost of their privacy budgets.

Revises 0008.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "metric_release",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("revision", sa.Text(), nullable=False),
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("epsilon", sa.Integer(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("at", sa.REAL[float](), nullable=False),
        sa.Column("record", sa.Integer(), nullable=False),
        sa.CheckConstraint("epsilon > 0", name=op.f("ck_metric_release_epsilon")),
        sa.PrimaryKeyConstraint("number", name="pk_metric_release"),
        sqlite_autoincrement=True,
        sqlite_strict=True,
    )
    op.create_index("ix_metric_release_dataset", "metric_release", ["dataset"])
    op.create_table(
        "metric_share",
        sa.Column("release", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("at", sa.REAL[float](), nullable=False),
        sa.Column("record", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["release"],
            ["metric_release.number"],
            name="fk_metric_share_release",
            deferrable=True,
            initially="DEFERRED",
        ),
        sa.PrimaryKeyConstraint("release", "subject", name="pk_metric_share"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "budget_hold",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.REAL[float](), nullable=False),
        sa.Column("record", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_budget_hold"),
        sqlite_autoincrement=True,
        sqlite_strict=True,
    )
    op.create_index("ix_budget_hold_dataset", "budget_hold", ["dataset"])
