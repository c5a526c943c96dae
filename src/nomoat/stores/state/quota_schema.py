"""The table of what was taken of quotas; as those of `schema.py`."""

from typing import Final

from sqlalchemy import Column, Integer, Table, Text

from nomoat.stores.state.schema import metadata

# What is counted of a quota in a slice of time, of one subject or, where `subject` is '', of all together. Removed when it
# counts no more. `cost` is in millionths.
quota_use: Final = Table(
    "quota_use",
    metadata,
    Column("quota", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("period", Text, primary_key=True),
    Column("slice", Integer, primary_key=True, autoincrement=False),
    Column("requests", Integer, nullable=False),
    Column("tokens", Integer, nullable=False),
    Column("cost", Integer, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
