"""Reading datasets and models: what is there, and its content."""

from dataclasses import dataclass
from typing import ClassVar

from nomoat.core.names import RepositoryKind, RepositoryName
from nomoat.core.operation.base import Operation


@dataclass(frozen=True, slots=True)
class ListRepositories(Operation):
    """See which datasets or models there are: those of a namespace, whose names have `search` in them ('' for all)."""

    part: ClassVar[str] = "DescribeRepository"

    kind: RepositoryKind
    namespace: str = ""
    search: str = ""

    @property
    def requested(self) -> str:
        return f"{self.kind} {self.namespace}/{self.search}"


@dataclass(frozen=True, slots=True)
class DescribeRepository(Operation):
    """See a repository's revision: its commit, date and the names of its files."""

    repository: RepositoryName
    revision: str

    @property
    def requested(self) -> str:
        return f"{self.repository}@{self.revision}"


@dataclass(frozen=True, slots=True)
class ListFiles(Operation):
    """List the files of a revision under a path ('' for all), with sizes and digests."""

    repository: RepositoryName
    revision: str
    under: str

    @property
    def requested(self) -> str:
        return f"{self.repository}@{self.revision}:{self.under}"


@dataclass(frozen=True, slots=True)
class DescribeFile(Operation):
    """See one file's size and digest, not its content."""

    repository: RepositoryName
    revision: str
    path: str

    @property
    def requested(self) -> str:
        return f"{self.repository}@{self.revision}:{self.path}"


@dataclass(frozen=True, slots=True)
class ReadFile(Operation):
    """Read one file's content, whole or a range (`first`, `last` inclusive; None: open).

    A negative `first` with `last` None asks for that many last bytes (RFC 9110, section 14.1.2). The
    range holds for the content with the entity tag `of` ('' for any); any other is read whole.
    """

    repository: RepositoryName
    revision: str
    path: str
    first: int | None = None
    last: int | None = None
    of: str = ""

    @property
    def requested(self) -> str:
        return f"{self.repository}@{self.revision}:{self.path}"
