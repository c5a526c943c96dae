"""Branches, tags, history and the end of a repository."""

from dataclasses import dataclass

from nomoat.core.names import RepositoryName
from nomoat.core.operation.base import Operation


@dataclass(frozen=True, slots=True)
class ListCommits(Operation):
    """See the commits that led to a revision: ids, times, authors and titles."""

    repository: RepositoryName
    revision: str

    @property
    def requested(self) -> str:
        return f"{self.repository}@{self.revision}"


@dataclass(frozen=True, slots=True)
class CreateBranch(Operation):
    """Make a branch that begins at a revision."""

    repository: RepositoryName
    branch: str
    start: str

    @property
    def requested(self) -> str:
        return f"{self.repository}@{self.branch}"


@dataclass(frozen=True, slots=True)
class DeleteBranch(Operation):
    """Remove a branch; its commits stay, by their ids."""

    repository: RepositoryName
    branch: str

    @property
    def requested(self) -> str:
        return f"{self.repository}@{self.branch}"


@dataclass(frozen=True, slots=True)
class CreateTag(Operation):
    """Give a revision a further name, which does not move."""

    repository: RepositoryName
    tag: str
    revision: str
    message: str

    @property
    def requested(self) -> str:
        return f"{self.repository}@{self.tag}"


@dataclass(frozen=True, slots=True)
class DeleteTag(Operation):
    """Take a tag away; its commit stays."""

    repository: RepositoryName
    tag: str

    @property
    def requested(self) -> str:
        return f"{self.repository}@{self.tag}"


@dataclass(frozen=True, slots=True)
class DeleteRepository(Operation):
    """Remove a repository with its history and contents, for good; its declaration stays."""

    repository: RepositoryName

    @property
    def requested(self) -> str:
        return str(self.repository)
