"""The labels that sessions carry, begun with what they had read.

Revises 0013.
"""

import json

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Begin to keep them."""
    made = op.create_table(
        "session_label",
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("classification", sa.Integer(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("at", sa.REAL[float](), nullable=False),
        sa.PrimaryKeyConstraint("session", name="pk_session_label"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    read = sa.text("SELECT session, classification, labels, max(at) FROM reading GROUP BY 1, 2, 3")
    joined: dict[str, tuple[int, frozenset[str], float]] = {}
    for session, classification, labels, at in op.get_bind().execute(read):
        level, names, last = joined.get(session, (0, frozenset[str](), 0.0))
        joined[session] = max(level, classification), names.union(json.loads(labels)), max(last, at)
    rows = [
        {"session": session, "classification": level, "labels": json.dumps(sorted(names)), "at": at}
        for session, (level, names, at) in joined.items()
        if level or names
    ]
    op.bulk_insert(made, rows)
