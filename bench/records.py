"""Durable records a second at 256 in flight: the log alone, and the whole path in process."""

import asyncio
import secrets
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import uvloop

from bench.live import ADMIN, DECLARED, REPOSITORY, bearer, ingest, join, presented
from bench.measure import Figure
from nomoat.audit.log import Log
from nomoat.core.connection import Bearer
from nomoat.core.operation import ApplyDirectory, DescribeFile
from nomoat.core.principal import PrincipalKind
from nomoat.core.record import Json, Record, RecordKind
from nomoat.server.assembly import Gateway, open_gateway
from nomoat.server.configuration import Configuration
from nomoat.server.initialize import initialize
from nomoat.server.serve import settle_collector

IN_FLIGHT = 256
ROUNDS = 5
LOG_RECORDS = 200
ACCESSES = 60


class MemoryKeys:
    """Subject keys for a log that is thrown away."""

    def __init__(self) -> None:
        self._keys: dict[str, bytes] = {}

    def find(self, pseudonym: str) -> bytes | None:
        """The key, if there is one."""
        return self._keys.get(pseudonym)

    async def create(self, pseudonym: str) -> bytes:
        """Make a key."""
        return self._keys.setdefault(pseudonym, secrets.token_bytes(32))

    def erased(self, pseudonym: str) -> int | None:
        """Nobody was."""
        del pseudonym
        return None


def measure() -> list[Figure]:
    """The rates, and what one access costs in a tight loop."""
    with tempfile.TemporaryDirectory() as name:
        return uvloop.run(_measure(Path(name)))


async def _measure(directory: Path) -> list[Figure]:
    settle_collector()  # as `nomoat serve` does
    figures = [Figure("log alone, 256 in flight", await _log_rate(directory), "records/s", "at least", 60_000)]
    configuration = Configuration("acme.example", "127.0.0.1", 0, ("127.0.0.1",), directory / "kek")
    made = await initialize(directory / "gateway", configuration, ADMIN, time.time)
    async with open_gateway(directory / "gateway", configuration, time.time) as gateway:
        admin = await join(gateway, made.code, PrincipalKind.PERSON)
        async with gateway.guard.admit(presented(None, admin), ApplyDirectory(DECLARED, dry_run=False)) as permit:
            await gateway.declarations.apply(permit)
        code, _ = await gateway.identity.enroll(PrincipalKind.WORKLOAD, "ingest")
        token = await bearer(gateway, await join(gateway, code, PrincipalKind.WORKLOAD))
        await ingest(gateway, token, large=0)
        rate, cpu = await _guard_rate(gateway, token.token)
    figures.append(Figure("the path in process, 256 in flight", rate, "records/s", "at least", 20_000))
    figures.append(Figure("the path in a tight loop, CPU an access", cpu, "µs", "at most", 75))
    return figures


async def _log_rate(directory: Path) -> float:
    log = await Log.open(
        directory / "log",
        signing_key=secrets.token_bytes(32),
        origin="bench/log",
        pseudonym_key=secrets.token_bytes(32),
        subject_keys=MemoryKeys(),
        clock=time.time,
    )
    who: Mapping[str, Json] = {
        "kind": "workload",
        "name": "train",
        "id": "spiffe://acme.example/train",
        "session": "s-7h2k",
    }
    content: Mapping[str, Json] = {
        "who": who,
        "what": "ReadFile",
        "on": {"kind": "File", "name": "acme/digits:data/train.parquet"},
    }
    record = Record(RecordKind.OPENING, "workload:train", "ReadFile", "acme/digits", "deny", content)

    async def work() -> None:
        for _ in range(LOG_RECORDS):
            await log.append(record)

    rates: list[float] = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))
        rates.append(IN_FLIGHT * LOG_RECORDS / (time.perf_counter() - begun))
    await log.close()
    return statistics.median(rates)


async def _guard_rate(gateway: Gateway, token: str) -> tuple[float, float]:
    """Durable records a second, and CPU microseconds an access; each access is two records."""
    who, operation = presented(Bearer(token)), DescribeFile(REPOSITORY, "main", "metrics.json")

    async def work() -> None:
        for _ in range(ACCESSES):
            async with gateway.guard.admit(who, operation) as permit:
                gateway.reading.describe_file(permit)

    rates, costs = [], []
    for _ in range(ROUNDS):
        size, begun, cpu = gateway.log.size, time.perf_counter(), time.process_time()
        await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))
        costs.append((time.process_time() - cpu) / (IN_FLIGHT * ACCESSES) * 1e6)
        rates.append((gateway.log.size - size) / (time.perf_counter() - begun))
    return statistics.median(rates), statistics.median(costs)
