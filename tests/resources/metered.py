"""A gateway with a dataset that has metrics, its budgets, and those who ask."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from nomoat.core.names import RepositoryKind, RepositoryName
from nomoat.core.operation import ListMetrics, ReadMetric, ReopenBudget
from nomoat.core.principal import PrincipalKind
from nomoat.resources.metrics.mechanism import Drawn, Noise, Part
from nomoat.resources.metrics.metrics import Left, Listing, Metrics, Told
from nomoat.stores.budgets import Budgets
from tests.guard.world import Actor, runs_in
from tests.resources.world import Yard, yard

VISITS = RepositoryName(RepositoryKind.DATASET, "acme", "visits")
PEOPLE = """
[[person]]
name = "second"
groups = ["data-scientists"]
"""
DATASET = """
[[dataset]]
name = "acme/visits"
classification = "confidential"
owner = "group:data-engineers"
budget = {budget}
person_budget = {person}
"""
COUNT = """
[[dataset.metrics]]
name = "by-ward"
kind = "count"
files = "data/*.csv"
group = "ward"
values = ["east", "north", "west"]
epsilon = 1.0
"""
MEAN = """
[[dataset.metrics]]
name = "stay"
kind = "mean"
files = "data/*.csv"
column = "days"
bounds = [0, 30]
epsilon = 1.0
"""
FILES = {"data/a.csv": b"ward,days\n" + b"east,3\n" * 500 + b"north,5\n" * 400 + b"nowhere,1\n" * 50}


class Failing:
    """The process that draws noise, which is gone when noise is to be drawn."""

    def __init__(self, noise: Noise) -> None:
        self.noise = noise
        self.failing = False

    async def knows(self, key: str) -> bool:
        return await self.noise.knows(key)

    async def learn(self, key: str, shape: Mapping[str, int], tables: Sequence[bytes]) -> bool:
        return await self.noise.learn(key, shape, tables)

    async def release(self, key: str, parts: Sequence[Part]) -> Sequence[Drawn]:
        if self.failing:
            raise ConnectionError("it crashed")
        return await self.noise.release(key, parts)


@dataclass
class Metered:
    """The yard, and its metrics."""

    yard: Yard
    metrics: Metrics
    second: Actor = field(init=False)

    @property
    def scientist(self) -> Actor:
        return self.yard.scientist

    @property
    def budgets(self) -> Budgets:
        return self.yard.world.gateway.budgets

    async def declare(self, *metrics: str, budget: float = 10.0, person: float = 10.0) -> None:
        await self.yard.world.declare(DATASET.format(budget=budget, person=person) + "".join(metrics))

    async def ask(self, metric: str = "by-ward", by: Actor | None = None, revision: str = "main") -> Told:
        operation = ReadMetric(VISITS, metric, revision)
        async with self.yard.guard.admit((by or self.scientist).present(), operation) as permit:
            return await self.metrics.read(permit)

    async def listing(self, by: Actor | None = None) -> Listing:
        async with self.yard.guard.admit((by or self.scientist).present(), ListMetrics(VISITS)) as permit:
            return self.metrics.list_metrics(permit)

    async def reopen(self, by: Actor, reason: str = "nothing was told") -> Left:
        async with self.yard.guard.admit(by.present(), ReopenBudget(VISITS, reason)) as permit:
            return await self.metrics.reopen(permit)

    def spent(self, by: Actor | None = None) -> tuple[int, int]:
        found = self.budgets.spending(str(VISITS), (by or self.scientist).subject)
        return found.total, found.person


@asynccontextmanager
async def metered(tmp_path: Path) -> AsyncGenerator[Metered]:
    async with yard(tmp_path) as there:
        found = Metered(there, there.world.gateway.metrics)
        await there.world.declare(PEOPLE)
        await found.declare(COUNT, MEAN)
        found.second = await there.world.joined(PrincipalKind.PERSON, "second")
        await there.create(VISITS)
        await there.write(VISITS, FILES)
        yield found


in_metered = runs_in(metered)
