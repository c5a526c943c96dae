"""Querying a view of a dataset: its masked rows, never the files that they come from."""

from collections.abc import Mapping
from dataclasses import dataclass

from nomoat.core.names import RepositoryName
from nomoat.core.operation.base import Operation


@dataclass(frozen=True, slots=True)
class QueryView(Operation):
    """Run one SELECT over a view of a dataset's revision, in a process that has nothing else."""

    repository: RepositoryName
    view: str
    revision: str
    sql: str

    @property
    def requested(self) -> str:
        return f"{self.repository}@{self.revision}:{self.view}"

    @property
    def asked(self) -> Mapping[str, str]:
        return {"sql": self.sql}
