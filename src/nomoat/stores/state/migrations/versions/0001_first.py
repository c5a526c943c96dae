"""The first schema.

Revises nothing.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_SECONDS = sa.REAL[float]()


def upgrade() -> None:
    """Make every table of the first release."""
    _make_declared()
    _make_enrolled()
    _make_held()
    op.create_table(
        "subject_key",
        sa.Column("pseudonym", sa.Text(), nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("pseudonym", name="pk_subject_key"),
        sqlite_strict=True,
    )


def _make_declared() -> None:
    op.create_table(
        "directory_version",
        sa.Column("generation", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("applied_at", _SECONDS, nullable=False),
        sa.Column("applied_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("generation", name="pk_directory_version"),
        sqlite_strict=True,
    )
    op.create_table(
        "policy_version",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("files", sa.Text(), nullable=False),
        sa.Column("applied_at", _SECONDS, nullable=False),
        sa.Column("applied_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_policy_version"),
        sqlite_autoincrement=True,
        sqlite_strict=True,
    )


def _make_enrolled() -> None:
    op.create_table(
        "device",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("thumbprint", sa.Text(), nullable=False),
        sa.Column("created_at", _SECONDS, nullable=False),
        sa.Column("revoked_at", _SECONDS),
        sa.PrimaryKeyConstraint("id", name="pk_device"),
        sqlite_strict=True,
    )
    op.create_index("ix_device_person", "device", ["person"])
    op.create_table(
        "session",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("subject_kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("device", sa.Text()),
        sa.Column("authenticated_at", _SECONDS, nullable=False),
        sa.Column("expires_at", _SECONDS, nullable=False),
        sa.Column("revoked_at", _SECONDS),
        _reference("fk_session_device", "device", "device.id"),
        sa.PrimaryKeyConstraint("id", name="pk_session"),
        sqlite_strict=True,
    )
    op.create_index("ix_session_device", "session", ["device"])
    op.create_index("ix_session_subject_kind_subject", "session", ["subject_kind", "subject"])
    op.create_table(
        "code",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("subject_kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("expires_at", _SECONDS, nullable=False),
        sa.Column("used_at", _SECONDS),
        sa.Column("session", sa.Text()),
        _reference("fk_code_session", "session", "session.id"),
        sa.PrimaryKeyConstraint("hash", name="pk_code"),
        sqlite_strict=True,
    )
    op.create_table(
        "revocation",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("at", _SECONDS, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_revocation"),
        sqlite_autoincrement=True,
        sqlite_strict=True,
    )
    op.create_index("ix_revocation_kind_name", "revocation", ["kind", "name"])


def _make_held() -> None:
    op.create_table(
        "repository",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", _SECONDS, nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_repository"),
        sa.UniqueConstraint("kind", "namespace", "name", name="uq_repository_kind_namespace_name"),
        sqlite_strict=True,
    )
    op.create_table(
        "blob",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("repository", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("git_oid", sa.Text(), nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", _SECONDS, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_blob"),
        sa.UniqueConstraint("repository", "digest", name="uq_blob_repository_digest"),
        sa.CheckConstraint("size >= 0", name=op.f("ck_blob_size")),
        _reference("fk_blob_repository", "repository", "repository.id"),
        sqlite_strict=True,
    )
    op.create_table(
        "upload",
        sa.Column("blob", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("at", _SECONDS, nullable=False),
        _reference("fk_upload_blob", "blob", "blob.id"),
        sa.PrimaryKeyConstraint("blob", "subject", name="pk_upload"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "revision",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("repository", sa.Text(), nullable=False),
        sa.Column("parent", sa.Text()),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("at", _SECONDS, nullable=False),
        _reference("fk_revision_repository", "repository", "repository.id"),
        _reference("fk_revision_parent", "parent", "revision.id"),
        sa.PrimaryKeyConstraint("id", name="pk_revision"),
        sqlite_strict=True,
    )
    op.create_index("ix_revision_repository", "revision", ["repository"])
    op.create_table(
        "change",
        sa.Column("revision", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("blob", sa.Text()),
        _reference("fk_change_revision", "revision", "revision.id"),
        _reference("fk_change_blob", "blob", "blob.id"),
        sa.PrimaryKeyConstraint("revision", "path", name="pk_change"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "branch",
        sa.Column("repository", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("revision", sa.Text(), nullable=False),
        _reference("fk_branch_repository", "repository", "repository.id"),
        _reference("fk_branch_revision", "revision", "revision.id"),
        sa.PrimaryKeyConstraint("repository", "name", name="pk_branch"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


def _reference(name: str, column: str, to: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [to], name=name, deferrable=True, initially="DEFERRED")
