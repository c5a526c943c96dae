"""Writing datasets and models: creating, uploading, committing."""

from dataclasses import dataclass, field

from nomoat.core.names import RepositoryName
from nomoat.core.operation.base import Operation


@dataclass(frozen=True, slots=True)
class CreateRepository(Operation):
    """Create an empty repository that the directory declares."""

    repository: RepositoryName

    @property
    def requested(self) -> str:
        return str(self.repository)


@dataclass(frozen=True, slots=True)
class PlanUpload(Operation):
    """Ask how files of these paths and sizes are to be uploaded."""

    repository: RepositoryName
    revision: str
    files: tuple[tuple[str, int], ...]

    @property
    def requested(self) -> str:
        return f"{self.repository}@{self.revision}"


@dataclass(frozen=True, slots=True)
class GrantUpload(Operation):
    """Ask for one-use upload URLs for contents given by (SHA-256, size in bytes)."""

    repository: RepositoryName
    contents: tuple[tuple[str, int], ...]

    @property
    def requested(self) -> str:
        return str(self.repository)


@dataclass(frozen=True, slots=True)
class UploadBlob(Operation):
    """Store one content of exactly this SHA-256 and size in a repository, not yet in any revision."""

    repository: RepositoryName
    digest: str
    size: int

    @property
    def requested(self) -> str:
        return f"{self.repository} sha256:{self.digest[:12]}"


@dataclass(frozen=True, slots=True)
class Change:
    """One file's part of a commit: new inline content, an uploaded (digest, size), or removal."""

    path: str
    content: bytes | None = field(default=None, repr=False)
    digest: str = ""
    size: int = 0
    removal: bool = False
    folder: bool = False


@dataclass(frozen=True, slots=True)
class WriteFile(Operation):
    """Commit changes to files of a branch, all or none; every file is decided on its own labels.

    `parent` is the commit that the author believes to be the newest ('' for don't care).
    """

    repository: RepositoryName
    revision: str
    changes: tuple[Change, ...]
    title: str
    parent: str = ""

    @property
    def requested(self) -> str:
        return f"{self.repository}@{self.revision}"
