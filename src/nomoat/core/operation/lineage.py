"""Lineage: what went into a version and what came of it, lowering what it inherited, reporting that it was loaded."""

from dataclasses import dataclass
from typing import ClassVar

from nomoat.core.lineage import Label
from nomoat.core.names import RepositoryName
from nomoat.core.operation.base import Operation


@dataclass(frozen=True, slots=True)
class ReadLineage(Operation):
    """See what went into a version and what came of it, as far as the caller may know of those repositories.

    Without a `revision` ('') it is what is served, and what came of any version. `path` narrows what came of it to one
    file (of that revision: to its content), `contributor` to what `person:NAME` or `workload:NAME` wrote.
    """

    part: ClassVar[str] = "Discover"

    repository: RepositoryName
    revision: str = ""
    path: str = ""
    contributor: str = ""

    @property
    def requested(self) -> str:
        return f"{self.repository}@{self.revision}" if self.revision else str(self.repository)


@dataclass(frozen=True, slots=True)
class LowerLabel(Operation):
    """Let a version (by its commit id) have a weaker label than that of what its run read."""

    repository: RepositoryName
    commit: str
    label: Label
    reason: str

    @property
    def requested(self) -> str:
        return f"{self.repository}@{self.commit}"


@dataclass(frozen=True, slots=True)
class ReportLoad(Operation):
    """Say which files of a version (by its commit id) the caller loaded: (path, SHA-256) pairs, as it hashed them."""

    repository: RepositoryName
    commit: str
    files: tuple[tuple[str, str], ...]

    @property
    def requested(self) -> str:
        return f"{self.repository}@{self.commit}"
