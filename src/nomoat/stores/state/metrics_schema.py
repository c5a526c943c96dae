"""The tables of what was told of datasets with noise; as those of `schema.py`."""

from typing import Final

from sqlalchemy import CheckConstraint, Column, Integer, Table, Text

from nomoat.stores.state.schema import SECONDS, metadata, refers_to

# A release of a metric: charged (`epsilon`, in millionths) with an empty `answer`, which is filled in before anybody is
# told. Never removed: a dataset is its name, whatever becomes of the repository.
metric_release: Final = Table(
    "metric_release",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("dataset", Text, nullable=False, index=True),
    Column("revision", Text, nullable=False),
    Column("metric", Text, nullable=False),
    Column("epsilon", Integer, nullable=False),
    Column("answer", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("at", SECONDS, nullable=False),
    Column("record", Integer, nullable=False),
    CheckConstraint("epsilon > 0", name="epsilon"),
    sqlite_autoincrement=True,
    sqlite_strict=True,
)

# Who was told of a release, and so has it charged to them.
metric_share: Final = Table(
    "metric_share",
    metadata,
    Column("release", Integer, refers_to("metric_release.number"), primary_key=True, autoincrement=False),
    Column("subject", Text, primary_key=True),
    Column("at", SECONDS, nullable=False),
    Column("record", Integer, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

# What closed all budgets (`dataset` is '') or opened that of one dataset again; the newest row counts.
budget_hold: Final = Table(
    "budget_hold",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("dataset", Text, nullable=False, index=True),
    Column("subject", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", SECONDS, nullable=False),
    Column("record", Integer, nullable=False),
    sqlite_autoincrement=True,
    sqlite_strict=True,
)
