"""Weights behind a server that came from here: which version it loaded, where that stands, how confidential it is.

Rules: what counts is the newest word of the workload that runs the server, and only where it was verified: the very session
that reports fetched those files. A server that has not said what it loaded is not asked.
"""

from typing import NamedTuple, final

from nomoat.core.directory import Directory, Repository
from nomoat.core.inference import Served
from nomoat.core.lifecycle import Stage
from nomoat.core.lineage import Label
from nomoat.core.names import RepositoryName
from nomoat.resources.repositories.labels import file_target, repository_target
from nomoat.stores.catalog import Catalog
from nomoat.stores.revisions import Snapshot


class LoadedWeights(NamedTuple):
    """The version of a model that a server has loaded.

    `digest` is the root digest (SHA-256, hex) of the files that were reported, `stage` where the version stands, `label` the
    join of what it inherits and what its declaration says of it and of each of its files.
    """

    name: RepositoryName
    commit: str
    digest: str
    stage: Stage
    label: Label

    def __str__(self) -> str:
        return f"{self.name}@{self.commit}"


@final
class Weights:
    """What is known of the weights behind servers. `generation` changes with it."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    @property
    def generation(self) -> tuple[int, int]:
        """A value that changes when a version is loaded, judged or labelled anew."""
        return self._catalog.generation, self._catalog.lineage.generation

    def loaded(self, directory: Directory, served: Served) -> LoadedWeights | None:
        """What a server of declared weights has loaded; None while it has not said so, or not verifiably.

        Raises `Unavailable` when the state fails.
        """
        if served.weights is None:
            return None
        declared, created = directory.repositories.get(served.weights), self._catalog.find(served.weights)
        workload = directory.upstreams[served.upstream].workload
        if declared is None or created is None or workload not in directory.workloads:
            return None
        said = self._catalog.lineage.loads.newest(created.id, workload)
        snapshot = self._catalog.snapshot(created, said.commit) if said is not None and said.verified else None
        if said is None or snapshot is None:
            return None
        label = _declared(declared, snapshot).join(self._catalog.lineage.label(said.commit))
        return LoadedWeights(served.weights, said.commit, said.digest, snapshot.stage, label)


def _declared(repository: Repository, snapshot: Snapshot) -> Label:
    """As strict as the strictest of its files."""
    targets = [repository_target(repository)]
    if repository.files:
        targets += [file_target(repository, path) for path in snapshot.files]
    return Label.of(Label(target.classification, target.labels) for target in targets)
