"""The tables of models behind servers; as those of `schema.py`."""

from typing import Final

from sqlalchemy import Column, ForeignKey, Integer, LargeBinary, Table, Text

from nomoat.stores.state.schema import SECONDS, metadata

# What the gateway shows to a server, wrapped by the key-encryption key for that server at that address.
upstream_credential: Final = Table(
    "upstream_credential",
    metadata,
    Column("upstream", Text, primary_key=True),
    Column("url", Text, nullable=False),
    Column("wrapped_key", LargeBinary, nullable=False),
    Column("at", SECONDS, nullable=False),
    Column("by", Text, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

# Values that prompts are looked through for, and canaries: keyed hashes of their words, and how many there are.
registration: Final = Table(
    "registration",
    metadata,
    Column("name", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("classification", Integer, nullable=False),
    Column("label", Text, nullable=False),
    Column("count", Integer, nullable=False),
    Column("first", LargeBinary, nullable=False),
    Column("steps", LargeBinary, nullable=False),
    Column("whole", LargeBinary, nullable=False),
    Column("at", SECONDS, nullable=False),
    Column("by", Text, nullable=False),
    sqlite_strict=True,
)

# What a session carries, the join of what it read, sent and was told; one that is not here carries nothing.
session_label: Final = Table(
    "session_label",
    metadata,
    Column("session", Text, primary_key=True),
    Column("classification", Integer, nullable=False),
    Column("labels", Text, nullable=False),
    Column("at", SECONDS, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
# Source code whose copies are to be known again; `commit` is '' while not all of it has come.
source: Final = Table(
    "source",
    metadata,
    Column("name", Text, primary_key=True),
    Column("label", Text, nullable=False),
    Column("classification", Integer, nullable=False),
    Column("cleared", Text, nullable=False),
    Column("commit", Text, nullable=False),
    Column("at", SECONDS, nullable=False),
    Column("by", Text, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

# The fingerprints of one file, under a key that is not here; `file` is a digest of its path.
source_file: Final = Table(
    "source_file",
    metadata,
    Column("source", Text, ForeignKey("source.name"), primary_key=True),
    Column("file", Text, primary_key=True),
    Column("exact", LargeBinary, nullable=False),
    Column("blind", LargeBinary, nullable=False),
    sqlite_strict=True,
)
