"""The digest of each version's manifest, chained to the one before it, and what is known of contents' rows.

Revises 0009.
"""

import hashlib
import json

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_PARENTS = """
WITH RECURSIVE chain (id, depth) AS (
  SELECT id, 0 FROM revision WHERE parent IS NULL
  UNION ALL SELECT revision.id, chain.depth + 1 FROM revision JOIN chain ON revision.parent = chain.id
)
SELECT revision.id, revision.parent, revision.author, revision.at
FROM revision JOIN chain ON chain.id = revision.id ORDER BY chain.depth
"""
_CHANGES = """
SELECT change.path, coalesce(blob.digest, ''), coalesce(blob.size, 0)
FROM change LEFT JOIN blob ON blob.id = change.blob WHERE change.revision = :revision
"""


def upgrade() -> None:
    """Add both, and work out the digests of the versions that are there."""
    op.add_column("revision", sa.Column("manifest", sa.Text(), nullable=False, server_default=""))
    op.create_table(
        "profile",
        sa.Column("blob", sa.Text(), nullable=False),
        sa.Column("maker", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("signatures", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("blob", name="pk_profile"),
        sa.ForeignKeyConstraint(["blob"], ["blob.id"], name="fk_profile_blob", deferrable=True, initially="DEFERRED"),
        sqlite_strict=True,
    )
    connection = op.get_bind()
    made: dict[str | None, str] = {None: ""}
    for commit, parent, author, at in connection.execute(sa.text(_PARENTS)).all():
        rows = connection.execute(sa.text(_CHANGES), {"revision": commit}).all()
        made[commit] = _digest(made[parent], commit, author, at, [_hash([*row]) for row in rows])
        row = {"id": commit, "manifest": made[commit]}
        connection.execute(sa.text("UPDATE revision SET manifest = :manifest WHERE id = :id"), row)


# As `nomoat.core.chain` had it when this was released.


def _hash(change: list[object]) -> str:
    return hashlib.sha256(b"nomoat-change-v1\n" + json.dumps(change).encode()).hexdigest()


def _digest(before: str, commit: str, author: str, at: float, hashes: list[str]) -> str:
    said = json.dumps([before, commit, author, float(at), sorted(hashes)])
    return hashlib.sha256(b"nomoat-manifest-v1\n" + said.encode()).hexdigest()
