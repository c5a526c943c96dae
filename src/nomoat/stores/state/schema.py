"""The tables of the state, as SQLAlchemy Core knows them.

Rules: names and documents are plain columns because the whole file is encrypted; secrets are stored
hashed (`code`) or wrapped (`blob`, `subject_key`). Times are Unix seconds. Tables are STRICT, so a
value of the wrong type is an error. Foreign keys are checked at commit, so the order of statements
in a transaction does not matter. A change here needs a migration; a test compares the two.
"""

from typing import Final

from sqlalchemy import (
    REAL,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

metadata: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

SECONDS: Final = REAL[float]()
UNSCANNED: Final = "unscannable"
"""The verdict of what nobody has looked at: never clean."""


def refers_to(column: str) -> ForeignKey:
    """A reference that is checked at the end of the transaction."""
    return ForeignKey(column, deferrable=True, initially="DEFERRED")


# One row, whose number grows with every write: an older copy of the file has a smaller one.
generation: Final = Table(
    "generation",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    sqlite_strict=True,
)

# -- What is declared and decided on ----------------------------------------------------------------

# The newest row is the active directory; `document` is the canonical text of everything declared.
directory_version: Final = Table(
    "directory_version",
    metadata,
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("document", Text, nullable=False),
    Column("applied_at", SECONDS, nullable=False),
    Column("applied_by", Text, nullable=False),
    sqlite_strict=True,
)

# The newest row is the active policy set; `files` is a JSON object of name to Cedar text.
policy_version: Final = Table(
    "policy_version",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("files", Text, nullable=False),
    Column("applied_at", SECONDS, nullable=False),
    Column("applied_by", Text, nullable=False),
    sqlite_autoincrement=True,
    sqlite_strict=True,
)

# The set on trial beside the active one, as above; the newest row is meant, and '' for none.
policy_trial: Final = Table(
    "policy_trial",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("files", Text, nullable=False),
    Column("begun_at", SECONDS, nullable=False),
    Column("begun_by", Text, nullable=False),
    sqlite_autoincrement=True,
    sqlite_strict=True,
)

# -- Who is enrolled --------------------------------------------------------------------------------

# `public_key` is a SubjectPublicKeyInfo (DER), `thumbprint` its hash.
device: Final = Table(
    "device",
    metadata,
    Column("id", Text, primary_key=True),
    Column("person", Text, nullable=False, index=True),
    Column("public_key", LargeBinary, nullable=False),
    Column("thumbprint", Text, nullable=False),
    Column("created_at", SECONDS, nullable=False),
    Column("revoked_at", SECONDS),
    sqlite_strict=True,
)

session: Final = Table(
    "session",
    metadata,
    Column("id", Text, primary_key=True),
    Column("subject_kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("device", Text, refers_to("device.id"), index=True),
    Column("authenticated_at", SECONDS, nullable=False),
    Column("expires_at", SECONDS, nullable=False),
    Column("revoked_at", SECONDS),
    Index(None, "subject_kind", "subject"),
    sqlite_strict=True,
)

# One-time codes, by the SHA-256 of their secret; `session` is what the first use made.
code: Final = Table(
    "code",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("subject_kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("expires_at", SECONDS, nullable=False),
    Column("used_at", SECONDS),
    Column("session", Text, refers_to("session.id")),
    sqlite_strict=True,
)

# Every revocation, in order; for people and workloads it is the only trace.
revocation: Final = Table(
    "revocation",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("at", SECONDS, nullable=False),
    Index(None, "kind", "name"),
    sqlite_autoincrement=True,
    sqlite_strict=True,
)

# -- What repositories hold -------------------------------------------------------------------------

repository: Final = Table(
    "repository",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("namespace", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("created_at", SECONDS, nullable=False),
    Column("created_by", Text, nullable=False),
    UniqueConstraint("kind", "namespace", "name"),
    sqlite_strict=True,
)

# A content of one repository. The same content in two repositories is two blobs with two keys. `format` is '' until it
# was scanned; `findings` is a JSON list of what was found, each a list of verdict, rule, where and what.
blob: Final = Table(
    "blob",
    metadata,
    Column("id", Text, primary_key=True),
    Column("repository", Text, refers_to("repository.id"), nullable=False),
    Column("digest", Text, nullable=False),
    Column("size", Integer, nullable=False),
    Column("git_oid", Text, nullable=False),
    Column("wrapped_key", LargeBinary, nullable=False),
    Column("created_at", SECONDS, nullable=False),
    Column("verdict", Text, nullable=False, server_default=UNSCANNED),
    Column("format", Text, nullable=False, server_default=""),
    Column("findings", Text, nullable=False, server_default="[]"),
    UniqueConstraint("repository", "digest"),
    CheckConstraint("size >= 0", name="size"),
    sqlite_strict=True,
)

# Who sent all of a content to its repository, and so holds it already: only they may give it a path.
upload: Final = Table(
    "upload",
    metadata,
    Column("blob", Text, refers_to("blob.id"), primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("at", SECONDS, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

# What is known of the rows of a content (`nomoat.core.profile`): `maker` tells which profiler and key made it,
# `signatures` has those of some of its rows, one after the other.
profile: Final = Table(
    "profile",
    metadata,
    Column("blob", Text, refers_to("blob.id"), primary_key=True),
    Column("maker", Text, nullable=False),
    Column("document", Text, nullable=False),
    Column("signatures", LargeBinary, nullable=False),
    sqlite_strict=True,
)

# A commit; its files are those of `parent` with the rows of `change` applied. `manifest` is the digest of its manifest
# (`nomoat.core.chain`), which contains the parent's.
revision: Final = Table(
    "revision",
    metadata,
    Column("id", Text, primary_key=True),
    Column("repository", Text, refers_to("repository.id"), nullable=False, index=True),
    Column("parent", Text, refers_to("revision.id"), index=True),
    Column("title", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("at", SECONDS, nullable=False),
    Column("manifest", Text, nullable=False, server_default=""),
    sqlite_strict=True,
)

# One path that a revision sets (`blob`) or removes (null). `verdict` is the content's, and what its name adds.
change: Final = Table(
    "change",
    metadata,
    Column("revision", Text, refers_to("revision.id"), primary_key=True),
    Column("path", Text, primary_key=True),
    Column("blob", Text, refers_to("blob.id"), index=True),
    Column("verdict", Text, nullable=False, server_default=UNSCANNED),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

# What stands in the chain of manifests for a change whose content was shredded, and whose row has no blob any more.
destroyed: Final = Table(
    "destroyed",
    metadata,
    Column("revision", Text, refers_to("revision.id"), primary_key=True),
    Column("path", Text, primary_key=True),
    Column("hash", Text, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

# Where a version stands; the newest row of a revision counts. `record` is the one of the log that led to it (0: none),
# `statement` what the gateway signed of it.
stage: Final = Table(
    "stage",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("revision", Text, refers_to("revision.id"), nullable=False, index=True),
    Column("stage", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("at", SECONDS, nullable=False),
    Column("reason", Text, nullable=False),
    Column("record", Integer, nullable=False),
    Column("statement", LargeBinary, nullable=False),
    sqlite_autoincrement=True,
    sqlite_strict=True,
)

branch: Final = Table(
    "branch",
    metadata,
    Column("repository", Text, refers_to("repository.id"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("revision", Text, refers_to("revision.id"), nullable=False, index=True),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

# A further name of a revision, which does not move.
tag: Final = Table(
    "tag",
    metadata,
    Column("repository", Text, refers_to("repository.id"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("revision", Text, refers_to("revision.id"), nullable=False, index=True),
    Column("message", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("at", SECONDS, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

# -- What came of what ------------------------------------------------------------------------------

# None of these refers to its revision: they outlast a repository, as what was read of it does.

# That a session read bytes of a file, once a day and label; `digest` and the label are the file's at that time, `labels` a JSON list.
reading: Final = Table(
    "reading",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("session", Text, nullable=False),
    Column("day", Integer, nullable=False),
    Column("revision", Text, nullable=False, index=True),
    Column("path", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("repository", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("classification", Integer, nullable=False),
    Column("labels", Text, nullable=False),
    Column("at", SECONDS, nullable=False),
    Column("record", Integer, nullable=False),
    UniqueConstraint("session", "revision", "path", "day", "classification", "labels"),
    Index(None, "subject", "at"),
    Index(None, "repository", "digest"),
    sqlite_autoincrement=True,
    sqlite_strict=True,
)

# The run that published a version. It read what its subject had read up to `upto`: in this session, or after `since`.
origin: Final = Table(
    "origin",
    metadata,
    Column("revision", Text, primary_key=True),
    Column("repository", Text, nullable=False),
    Column("subject", Text, nullable=False, index=True),
    Column("session", Text, nullable=False),
    Column("at", SECONDS, nullable=False),
    Column("since", SECONDS, nullable=False),
    Column("upto", Integer, nullable=False),
    Column("record", Integer, nullable=False),
    Column("statement", LargeBinary, nullable=False),
    sqlite_strict=True,
)

# The label that a version inherits; the newest row of a revision counts, and a version without one inherits nothing.
label: Final = Table(
    "label",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("revision", Text, nullable=False, index=True),
    Column("classification", Integer, nullable=False),
    Column("labels", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("at", SECONDS, nullable=False),
    Column("reason", Text, nullable=False),
    Column("record", Integer, nullable=False),
    sqlite_autoincrement=True,
    sqlite_strict=True,
)

# What a session reported to have loaded of a version; `verified` is 1 where it had fetched exactly that.
load: Final = Table(
    "load",
    metadata,
    Column("revision", Text, primary_key=True),
    Column("session", Text, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("verified", Integer, nullable=False),
    Column("at", SECONDS, nullable=False),
    Column("record", Integer, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

# -- What keeps the log's content sealed ------------------------------------------------------------

# The key of one subject's sealed records; deleting the row erases them and leaves the proofs whole.
subject_key: Final = Table(
    "subject_key",
    metadata,
    Column("pseudonym", Text, primary_key=True),
    Column("wrapped_key", LargeBinary, nullable=False),
    sqlite_strict=True,
)

# Whose key was destroyed, and the newest record that says so: what tells erased content from lost keys.
erasure: Final = Table(
    "erasure",
    metadata,
    Column("pseudonym", Text, primary_key=True),
    Column("record", Integer, nullable=False),
    sqlite_strict=True,
)

# Columns of the log, in chunks: which records of which times, and the key of each.
chunk: Final = Table(
    "chunk",
    metadata,
    Column("first", Integer, primary_key=True, autoincrement=False),
    Column("last", Integer, nullable=False),
    Column("oldest", Text, nullable=False),
    Column("newest", Text, nullable=False),
    Column("wrapped_key", LargeBinary, nullable=False),
    sqlite_strict=True,
)
