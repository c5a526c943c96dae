"""The tables of indexes; as those of `schema.py`."""

from typing import Final

from sqlalchemy import Column, ForeignKey, Integer, LargeBinary, Table, Text, UniqueConstraint

from nomoat.stores.state.schema import metadata

# The key that documents of one label in one index are sealed with; without its row they are gone.
index_key: Final = Table(
    "index_key",
    metadata,
    Column("id", Text, primary_key=True),
    Column("index", Text, nullable=False),
    Column("classification", Integer, nullable=False),
    Column("labels", Text, nullable=False),
    Column("wrapped_key", LargeBinary, nullable=False),
    UniqueConstraint("index", "classification", "labels", name="uq_index_key"),
    sqlite_strict=True,
)

# A document, sealed: its texts and vectors, who may read it, and what else is said of it.
index_document: Final = Table(
    "index_document",
    metadata,
    Column("index", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("key", Text, ForeignKey("index_key.id"), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    sqlite_strict=True,
)
