"""A history of the example pipeline: its people and workloads, real records through the real guard.

`NOMOAT_HISTORY` says how many records it has at least (2,000 by default; 100000 is the measure of the issue).
"""

import asyncio
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from nomoat.core.connection import Presented
from nomoat.core.errors import NoMoatError
from nomoat.core.names import RepositoryKind, RepositoryName
from nomoat.core.operation import (
    Change,
    CreateRepository,
    DescribeFile,
    DescribeRepository,
    FindUnused,
    GrantUpload,
    ListFiles,
    Operation,
    PlanUpload,
    ReadDifferences,
    ReadFile,
    SimulatePolicy,
    TryPolicy,
    Whoami,
    WriteFile,
)
from nomoat.core.principal import PrincipalKind
from nomoat.policy import PolicySnapshot, compile_policies
from tests.guard.world import World, world
from tests.policy.edits import chance, edited

RECORDS = int(os.environ.get("NOMOAT_HISTORY", "2000"))
IN_FLIGHT = 128
DECLARED = (Path(__file__).parents[2] / "examples" / "pipeline" / "acme.toml").read_text()
AUDITED = '\n[[person]]\nname = "auditor@acme.example"\ngroups = ["auditors"]\n'
DIGITS = RepositoryName(RepositoryKind.DATASET, "acme", "digits")
READER = RepositoryName(RepositoryKind.MODEL, "acme", "digit-reader")
PATHS = ("metrics.json", "data/train.parquet", "data/a/b.parquet", "model.safetensors", "README.md")
PEOPLE = ("engineer@acme.example", "scientist@acme.example", "auditor@acme.example")
WORKLOADS = ("ingest", "train", "deploy")
DAYS = 100

Answer = dict[str, object]


@dataclass
class Simulated:
    """A random edit, and what the gateway says that it would change."""

    candidate: PolicySnapshot
    answer: Answer
    records: range = range(0)  # those of a trial


@dataclass
class Recorded:
    """The history: every record of a decision, newest first, and what the gateway said of it."""

    active: PolicySnapshot
    size: int = 0
    decisions: list[Mapping[str, object]] = field(default_factory=list[Mapping[str, object]])
    simulated: list[Simulated] = field(default_factory=list[Simulated])
    unused: Answer = field(default_factory=dict[str, object])
    tried: list[Simulated] = field(default_factory=list[Simulated])
    seconds: dict[str, float] = field(default_factory=dict[str, float])


def operation(random: Random) -> Operation:
    name, path = random.choice([DIGITS, DIGITS, READER]), random.choice(PATHS)
    return random.choice(
        [
            ReadFile(name, "main", path),
            ReadFile(name, "main", path),
            DescribeFile(name, "main", path),
            ListFiles(name, "main", ""),
            DescribeRepository(name, "main"),
            PlanUpload(name, "main", tuple((each, 10) for each in random.sample(PATHS, random.randint(1, 3)))),
            GrantUpload(name, (("0" * 64, 10),)),
            WriteFile(name, "main", (Change(path, b"x", "1" * 64, 1), Change("x/y", b"x", "1" * 64, 1)), "t"),
            CreateRepository(name),
            Whoami(),
        ]
    )


async def _callers(there: World, people: tuple[str, ...], workloads: tuple[str, ...]) -> list[Presented]:
    found: list[Presented] = []
    named = [(PrincipalKind.PERSON, name) for name in people] + [(PrincipalKind.WORKLOAD, name) for name in workloads]
    for kind, name in named:
        actor = await there.joined(kind, name)
        found += [actor.present(), actor.present(await there.bearer(actor), bound=False)]
    return found


async def _act(there: World, random: Random, callers: list[Presented], records: int) -> None:
    """Let callers do things at random until the log has so many records."""

    async def work() -> None:
        while there.gateway.log.size < records:
            there.clock.now += 0.001
            try:
                async with there.gateway.guard.admit(random.choice(callers), operation(random)):
                    pass
            except NoMoatError:
                continue

    await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))


async def _create(there: World) -> None:
    for name, who in ((DIGITS, "ingest"), (READER, "train")):
        actor = await there.joined(PrincipalKind.WORKLOAD, who)
        async with there.gateway.guard.admit(actor.present(), CreateRepository(name)) as permit:
            await there.gateway.writing.create_repository(permit)


async def build(directory: Path, seed: int, edits: int) -> Recorded:
    """Make the history in a fresh gateway: an older part by everybody, a newer one by some, one with policies on trial."""
    random = chance(seed)
    async with world(directory) as there:
        gateway = there.gateway
        made = Recorded(gateway.policies.current)
        await there.declare(DECLARED + AUDITED)
        await _create(there)
        begun = time.perf_counter()
        await _act(there, random, await _callers(there, PEOPLE, WORKLOADS), RECORDS // 2)
        there.clock.now += DAYS * 86_400
        await _act(there, random, await _callers(there, PEOPLE[:2], WORKLOADS[:2]), RECORDS)
        made.seconds["history"] = time.perf_counter() - begun
        await _try(there, random, made)
        auditor = (await there.joined(PrincipalKind.PERSON, PEOPLE[2])).present()
        made.size = gateway.log.size
        made.decisions = list(gateway.log.decisions(""))
        for _ in range(edits):
            candidate = edited(random, made.active.files)
            asked = SimulatePolicy(tuple(candidate.files.items()), (), "")
            begun = time.perf_counter()
            async with gateway.guard.admit(auditor, asked) as permit:
                made.simulated.append(Simulated(candidate, await gateway.history.simulate(permit)))
            made.seconds["simulate"] = time.perf_counter() - begun
        begun = time.perf_counter()
        async with gateway.guard.admit(auditor, FindUnused(90)) as unused:
            made.unused = await gateway.history.unused(unused)
        made.seconds["unused"] = time.perf_counter() - begun
        return made


async def _try(there: World, random: Random, made: Recorded) -> None:
    """Put random edits on trial, one after the other, while callers go on."""
    gateway = there.gateway
    admin = (await there.joined(PrincipalKind.PERSON, "admin@acme.example")).present()
    auditor = (await there.joined(PrincipalKind.PERSON, PEOPLE[2])).present()
    callers = await _callers(there, PEOPLE[:2], WORKLOADS[:2])
    without = {name: text for name, text in made.active.files.items() if name != "pipeline.cedar"}  # it surely bites
    for candidate in (compile_policies(without), *(edited(random, made.active.files) for _ in range(3))):
        async with gateway.guard.admit(admin, TryPolicy(tuple(candidate.files.items()))) as permit:
            await gateway.trial.begin(permit)
        begun = gateway.log.size
        await _act(there, random, callers, begun + max(300, RECORDS // 20))
        during = range(begun, gateway.log.size)
        async with gateway.guard.admit(auditor, ReadDifferences("")) as reading:
            made.tried.append(Simulated(candidate, await gateway.history.differences(reading), during))
    async with gateway.guard.admit(admin, TryPolicy(())) as ending:
        await gateway.trial.begin(ending)
