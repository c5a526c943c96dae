"""Tags; and indexes over what refers to a revision, so that a repository is removed without scans.

Revises 0003. Each revision that is removed has its foreign keys looked up from the other side.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table and the indexes."""
    op.create_table(
        "tag",
        sa.Column("repository", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("revision", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("at", sa.REAL[float](), nullable=False),
        sa.PrimaryKeyConstraint("repository", "name", name="pk_tag"),
        _reference("fk_tag_repository", "repository", "repository.id"),
        _reference("fk_tag_revision", "revision", "revision.id"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("ix_tag_revision", "tag", ["revision"])
    op.create_index("ix_branch_revision", "branch", ["revision"])
    op.create_index("ix_revision_parent", "revision", ["parent"])


def _reference(name: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [target], name=name, deferrable=True, initially="DEFERRED")
