"""What a dataset's versions hold: who contributed which file, and what a version changes."""

from dataclasses import dataclass

from nomoat.core.names import RepositoryName
from nomoat.core.operation.base import Operation


@dataclass(frozen=True, slots=True)
class ReadManifest(Operation):
    """See the manifest of a version: for every file digest, size and contributor, and the chain that it ends."""

    repository: RepositoryName
    revision: str

    @property
    def requested(self) -> str:
        return f"{self.repository}@{self.revision}"


@dataclass(frozen=True, slots=True)
class DiffVersions(Operation):
    """See in figures how two versions differ, and no row of either. `base` is '' for the last approved one before."""

    repository: RepositoryName
    base: str
    revision: str

    @property
    def requested(self) -> str:
        return f"{self.repository}@{self.revision}"
