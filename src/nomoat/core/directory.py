"""The directory as one immutable snapshot: who and what is declared, with labels and clearances."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from nomoat.core.inference import Endpoint, Upstream
from nomoat.core.metrics import NOTHING, Budget, Metric
from nomoat.core.names import Classification, RepositoryName
from nomoat.core.quotas import Quota
from nomoat.core.retrieval import Index
from nomoat.core.view import View

ADMINISTRATORS = "administrators"
"""The group that the starter policies let administer, and `nomoat init` declares."""


@dataclass(frozen=True, slots=True)
class Person:
    """A declared person. `groups` are names of groups."""

    name: str
    groups: frozenset[str] = frozenset()
    clearance: Classification = Classification.PUBLIC


@dataclass(frozen=True, slots=True)
class Workload:
    """A declared workload; its SPIFFE ID is `spiffe://<trust domain>/<name>`."""

    name: str
    segment: str = ""
    groups: frozenset[str] = frozenset()
    clearance: Classification = Classification.PUBLIC


@dataclass(frozen=True, slots=True)
class FileRule:
    """Labels and a classification for the files of a repository whose path matches a glob.

    `glob` follows `fnmatch` on the whole path, with `**` for any depth; of several matching rules
    labels are joined and the last rule's classification holds.
    """

    glob: str
    labels: frozenset[str] = frozenset()
    classification: Classification | None = None


@dataclass(frozen=True, slots=True)
class Cap:
    """The most that one contributor may set between two approved versions: how many files, and bytes of them together."""

    files: int
    size: int


@dataclass(frozen=True, slots=True)
class Repository:
    """A declared dataset or model. `owner_group` or `owner_person` is set, or neither.

    `reviewed` is whether a person has to approve what is published, who did not write it. `append_only` is whether
    what an approved version has stays as it is, `cap` what one contributor may set (None: as much as they want). `views`
    and `metrics` are of datasets only; metrics may be asked for until `budget` is spent.
    """

    name: RepositoryName
    classification: Classification
    labels: frozenset[str] = frozenset()
    owner_group: str = ""
    owner_person: str = ""
    files: tuple[FileRule, ...] = ()
    reviewed: bool = False
    append_only: bool = False
    cap: Cap | None = None
    views: tuple[View, ...] = ()
    metrics: tuple[Metric, ...] = ()
    budget: Budget = NOTHING


@dataclass(frozen=True, slots=True)
class Directory:
    """Everything declared, at one generation (which moves with every change)."""

    generation: int = 0
    groups: frozenset[str] = frozenset()
    people: Mapping[str, Person] = field(default_factory=dict[str, Person])
    workloads: Mapping[str, Workload] = field(default_factory=dict[str, Workload])
    repositories: Mapping[RepositoryName, Repository] = field(default_factory=dict[RepositoryName, Repository])
    upstreams: Mapping[str, Upstream] = field(default_factory=dict[str, Upstream])
    endpoints: Mapping[str, Endpoint] = field(default_factory=dict[str, Endpoint])
    quotas: Mapping[str, Quota] = field(default_factory=dict[str, Quota])
    indexes: Mapping[str, Index] = field(default_factory=dict[str, Index])

    @property
    def administrators(self) -> list[str]:
        """The names of the people who administer."""
        return sorted(name for name, person in self.people.items() if ADMINISTRATORS in person.groups)
