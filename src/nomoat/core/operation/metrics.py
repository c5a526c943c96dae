"""Metrics: seeing what may be asked of a dataset, asking, and opening its budget again after a restore."""

from dataclasses import dataclass
from typing import ClassVar

from nomoat.core.names import RepositoryName
from nomoat.core.operation.base import Operation


@dataclass(frozen=True, slots=True)
class ListMetrics(Operation):
    """See which metrics a dataset has, and what is left of its privacy budget."""

    repository: RepositoryName

    @property
    def requested(self) -> str:
        return str(self.repository)


@dataclass(frozen=True, slots=True)
class ReadMetric(Operation):
    """Have a metric of a revision told, with noise, for as long as the privacy budget lasts."""

    repository: RepositoryName
    metric: str
    revision: str

    @property
    def requested(self) -> str:
        return f"{self.repository}@{self.revision} {self.metric}"


@dataclass(frozen=True, slots=True)
class ReopenBudget(Operation):
    """Let metrics of a dataset be told again after a restore, which may have forgotten what was spent."""

    priority: ClassVar[bool] = True

    repository: RepositoryName
    reason: str

    @property
    def requested(self) -> str:
        return str(self.repository)
