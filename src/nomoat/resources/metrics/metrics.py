"""Metrics as a resource: what may be asked, asking it, opening a budget again, each for a permit.

Rules: a release is charged durably before its noise is drawn, and kept durably before anybody is told: what fails in
between costs the budget, never privacy. One metric of one version is drawn once, whoever asks, and told again as it
was; that costs the dataset nothing (post-processing), and who had not been told it their own budget.
Contents are read here for nobody: a process apart finds the exact numbers, another one keeps them and tells them with
noise alone. Neither is in this process.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias, final
from weakref import WeakValueDictionary

import orjson

from nomoat.core.directory import Directory, Repository
from nomoat.core.errors import Conflict, NotFound
from nomoat.core.metrics import MILLION, Budget, Metric
from nomoat.core.names import RepositoryName
from nomoat.core.operation import ListMetrics, Operation, OpT, ReadMetric, ReopenBudget, Resolved, Target
from nomoat.core.permit import Permit
from nomoat.core.principal import Principal
from nomoat.core.verdict import Scannable
from nomoat.resources.directory.metrics import described_metric
from nomoat.resources.metrics.answers import Answer, answer, dump_answer, load_answer
from nomoat.resources.metrics.mechanism import FORMATS, Noise, Question, parts, shape
from nomoat.resources.repositories.labels import Version, as_inherited, matches, repository_target, version_of
from nomoat.resources.repositories.resolution import MISSING, Resolver, existing, place_in, require_kept
from nomoat.stores.budgets import Asked, Asker, Budgets, require_left
from nomoat.stores.catalog import Catalog
from nomoat.stores.created import CreatedRepository
from nomoat.stores.objects import Objects
from nomoat.stores.revisions import Snapshot

MOST_FILES: Final = 256

Tabulate: TypeAlias = Callable[[Question, Scannable], Awaitable[bytes]]
"""Finds the numbers of one file, apart. Raises `Conflict` when it has none, `Unavailable`."""


@dataclass(frozen=True, slots=True)
class BudgetPlace:
    """A dataset whose metrics are meant. No `metric`: it has none of that name; no `snapshot`: no such revision."""

    declared: Repository
    created: CreatedRepository
    snapshot: Snapshot | None = None
    metric: Metric | None = None


@dataclass(frozen=True, slots=True)
class Left:
    """What is left of a budget, for everybody and for who asks, in millionths; `closed` says why nothing is ('')."""

    total: int
    person: int
    closed: str


@dataclass(frozen=True, slots=True)
class Listing:
    """The metrics of a dataset, its budget, and what is left of it."""

    metrics: tuple[Metric, ...]
    budget: Budget
    left: Left


@dataclass(frozen=True, slots=True)
class Told:
    """An answer about the version `commit`; `charged` is what it cost who asked, in millionths (0: told before)."""

    commit: str
    metric: Metric
    answer: Answer
    charged: int
    left: Left


@final
class Metrics:
    """What datasets tell with noise."""

    def __init__(
        self,
        directory: Callable[[], Directory],
        catalog: Catalog,
        objects: Objects,
        budgets: Budgets,
        tabulate: Tabulate,
        noise: Noise,
        clock: Callable[[], float],
    ) -> None:
        self._directory = directory
        self._catalog = catalog
        self._objects = objects
        self._budgets = budgets
        self._tabulate = tabulate
        self._noise = noise
        self._clock = clock
        self._turns: WeakValueDictionary[Asked, asyncio.Lock] = WeakValueDictionary()

    # -- Resolving ----------------------------------------------------------------------------------

    @property
    def resolvers(self) -> Mapping[type[Operation], Resolver]:
        """The resolver of each operation."""
        return {
            ListMetrics: self.resolve_list,
            ReadMetric: self.resolve_read,
            ReopenBudget: self.resolve_reopen,
        }

    def resolve_list(self, _: Principal, operation: ListMetrics) -> Resolved[ListMetrics]:
        """Resolve a dataset. Raises `NotFound`."""
        return self._resolved(operation, BudgetPlace(*self._dataset(operation.repository)), None)

    def resolve_read(self, who: Principal, operation: ReadMetric) -> Resolved[ReadMetric]:
        """Resolve a metric of a revision. Raises `NotFound` when there is no such dataset."""
        declared, created = self._dataset(operation.repository)
        snapshot = self._catalog.snapshot(created, operation.revision)
        metric = next((each for each in declared.metrics if each.name == operation.metric), None)
        version = None
        if snapshot is not None:
            version = version_of(snapshot, who, self._catalog.lineage.label(snapshot.revision.id))
        return self._resolved(operation, BudgetPlace(declared, created, snapshot, metric), version)

    def resolve_reopen(self, _: Principal, operation: ReopenBudget) -> Resolved[ReopenBudget]:
        """Resolve the opening of a budget: a matter of what is declared, of whatever dataset."""
        directory = self._directory()
        target = Target(
            *("Directory", "directory", str(operation.repository), str(directory.generation)),
            facts=(("widens_self", False),),
        )
        return Resolved(operation, (target,))

    def _resolved(self, operation: OpT, place: BudgetPlace, version: Version | None) -> Resolved[OpT]:
        targets = as_inherited(repository_target(place.declared, version), version)
        return Resolved(operation, targets, {"place": place}, repository_target(place.declared), MISSING)

    def _dataset(self, name: RepositoryName) -> tuple[Repository, CreatedRepository]:
        return existing(self._directory, self._catalog, name)

    # -- Serving ------------------------------------------------------------------------------------

    def list_metrics(self, permit: Permit[ListMetrics]) -> Listing:
        """Tell what may be asked of a dataset, and what is left of its budget. Raises `Unavailable`."""
        declared = place_in(permit.claim(ListMetrics), BudgetPlace).declared
        return Listing(declared.metrics, declared.budget, self._left(declared, permit.principal.subject))

    async def read(self, permit: Permit[ReadMetric]) -> Told:
        """Tell a metric of a revision.

        Raises `NotFound` when there is no such revision or metric, `Conflict` when the budget does not have what it
        costs or its files have not what it needs, `Unavailable` when it cannot be had now, `Revoked`.
        """
        place = place_in(permit.claim(ReadMetric), BudgetPlace)
        snapshot = require_kept(place.snapshot)
        if place.metric is None:
            raise NotFound(f"{place.declared.name} has no metric of that name", kind="entry")
        metric, commit = place.metric, snapshot.revision.id
        asked = Asked(str(place.declared.name), commit, digest_of(metric))
        turn = self._turns.setdefault(asked, asyncio.Lock())
        async with turn:
            found, charged = await self._told(permit, place, metric, asked)
        permit.check()
        permit.note(metric=metric.name, epsilon=f"{charged / MILLION:g}", version=commit)
        return Told(commit, metric, found, charged, self._left(place.declared, permit.principal.subject))

    async def _told(
        self, permit: Permit[ReadMetric], place: BudgetPlace, metric: Metric, asked: Asked
    ) -> tuple[Answer, int]:
        """Tell a release that there is, or make one; and what that cost who asks."""
        budget = place.declared.budget
        asker = Asker(permit.principal.subject, self._clock(), permit.receipt.index)
        released = self._budgets.find(asked)
        if released is not None:
            charged = await self._budgets.share(released, asked.dataset, budget, asker, permit.check)
            return load_answer(released.answer), released.epsilon if charged else 0
        # Before any work: who has nothing left makes none.
        require_left(self._budgets.spending(asked.dataset, asker.subject), asked.dataset, metric.epsilon, budget)
        key = f"{place.created.id}/{asked.revision}/{asked.metric}"
        if not await self._noise.knows(key):
            await self._learn(key, place, metric)

        def still() -> None:
            permit.check()
            self._require_unchanged(place)

        number = await self._budgets.charge(asked, metric.epsilon, budget, asker, still)
        made = answer(metric, await self._noise.release(key, parts(metric)))
        await self._budgets.conclude(number, dump_answer(made))
        return made, metric.epsilon

    async def reopen(self, permit: Permit[ReopenBudget]) -> Left:
        """Open a dataset's budget after a restore. Raises `NotFound`, `Conflict` when it is open, `Unavailable`."""
        operation = permit.claim(ReopenBudget).operation
        declared, reason = self._directory().repositories.get(operation.repository), operation.reason
        if declared is None:
            raise NotFound(MISSING, kind="repository", detail="not declared")
        asker = Asker(permit.principal.subject, self._clock(), permit.receipt.index)
        await self._budgets.reopen(str(declared.name), reason, asker, permit.check)
        permit.note(reason=reason)
        return self._left(declared, permit.principal.subject)

    async def _learn(self, key: str, place: BudgetPlace, metric: Metric) -> None:
        """Have the exact numbers of a version found, file by file, and kept where noise is drawn."""
        files = _files(place, metric)
        tables: list[bytes] = []
        for path, format_ in files.items():
            assert place.snapshot is not None  # noqa: S101 - a version has files
            file = place.snapshot.files[path]
            question = Question(metric, format_, len(files) == 1)
            with contextlib.closing(self._objects.open(file.blob, place.created.id, file.digest)) as content:
                tables.append(await self._tabulate(question, content.scannable()))
        if not await self._noise.learn(key, shape(metric), tables):
            raise Conflict("a file of this version cannot be counted")

    def _require_unchanged(self, place: BudgetPlace) -> None:
        now = self._directory().repositories.get(place.declared.name)
        if now is None or (now.metrics, now.budget) != (place.declared.metrics, place.declared.budget):
            raise Conflict("the metrics of this dataset were declared anew meanwhile; ask again")

    def _left(self, declared: Repository, subject: str) -> Left:
        spending, budget = self._budgets.spending(str(declared.name), subject), declared.budget
        total = max(0, budget.total - spending.total)
        return Left(total, min(total, max(0, budget.person - spending.person)), spending.held)


def _files(place: BudgetPlace, metric: Metric) -> dict[str, str]:
    """The files that a metric is about, and the format of each. Raises `Conflict`."""
    paths = [path for path in (place.snapshot.paths if place.snapshot else ()) if matches(metric.files, path)]
    if not 0 < len(paths) <= MOST_FILES:
        raise Conflict(f"a metric is about 1 to {MOST_FILES} files, and this version has {len(paths)} of them")
    ends = {path: FORMATS.get("." + path.rpartition(".")[2].lower(), "") for path in sorted(paths)}
    if not all(ends.values()):
        raise Conflict(f"a file of this metric is no table: one ends with {', '.join(FORMATS)}")
    return ends


def digest_of(metric: Metric) -> str:
    """A metric by what it asks, whatever it is called: whatever changes its answer or noise changes this."""
    described = described_metric(metric)
    del described["name"]
    return hashlib.sha256(orjson.dumps(described, option=orjson.OPT_SORT_KEYS)).hexdigest()
