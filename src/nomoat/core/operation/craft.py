"""Working on policies: explaining what was decided, trying what is not in force yet."""

from dataclasses import dataclass, field
from typing import ClassVar

from nomoat.core.operation.base import Operation


@dataclass(frozen=True, slots=True)
class ExplainRecord(Operation):
    """Say why the decision of record `number` was taken; `own`: only if it refused the caller themselves."""

    number: int
    own: bool

    @property
    def requested(self) -> str:
        return f"record {self.number}"


@dataclass(frozen=True, slots=True)
class SimulatePolicy(Operation):
    """Decide the recorded decisions that match `query` again, under `files` ((name, Cedar text) pairs).

    They are compared with what `base` decides, or, where it is empty, with what was recorded.
    """

    files: tuple[tuple[str, str], ...] = field(repr=False)
    base: tuple[tuple[str, str], ...] = field(repr=False)
    query: str

    @property
    def requested(self) -> str:
        return self.query


@dataclass(frozen=True, slots=True)
class TryPolicy(Operation):
    """Let `files` decide beside the active policies, without effect; none of them ends that."""

    priority: ClassVar[bool] = True
    files: tuple[tuple[str, str], ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ReadPolicy(Operation):
    """See the texts of the active policies and of those on trial, since when and by whom."""


@dataclass(frozen=True, slots=True)
class ReadDifferences(Operation):
    """See what the policies on trial would have decided otherwise, of the records that match `query`."""

    query: str

    @property
    def requested(self) -> str:
        return self.query


@dataclass(frozen=True, slots=True)
class FindUnused(Operation):
    """Find the grants of the active policies that nobody used in so many days."""

    days: int
