"""The log as evidence: searching a million records, proving one, verifying all, and what the index costs the log."""

import asyncio
import contextlib
import json
import random
import ssl
import statistics
import tempfile
import time
import urllib.request
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import uvloop
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bench.live import ADMIN, free_port, join, running
from bench.measure import Figure, percentile
from nomoat.audit.evidence import Evidence
from nomoat.audit.query import parse_query
from nomoat.audit.reports import CHUNK
from nomoat.audit.verification import verify_directory
from nomoat.core.principal import PrincipalKind
from nomoat.core.record import Json, Record, RecordKind
from nomoat.server.assembly import Gateway, open_gateway
from nomoat.server.columning import keep_columns
from nomoat.server.configuration import Configuration
from nomoat.server.indexing import keep_indexed
from nomoat.server.initialize import initialize
from nomoat.server.serve import settle_collector

RECORDS = 1_000_000
IN_FLIGHT = 256
EACH = 300
ROUNDS = 3
PEOPLE = [f"person{number}@acme.example" for number in range(200)]
THINGS = [f"acme/set{number % 40}:data/part-{number:05}.parquet" for number in range(2000)]


def measure() -> list[Figure]:
    """Everything on one log; about two and a half minutes."""
    with tempfile.TemporaryDirectory() as name:
        return uvloop.run(_measure(Path(name)))


async def _measure(directory: Path) -> list[Figure]:
    settle_collector()  # as `nomoat serve` does
    configuration = Configuration("acme.example", "127.0.0.1", free_port(), ("127.0.0.1",), directory / "kek")
    made = await initialize(directory / "gateway", configuration, ADMIN, time.time)
    async with open_gateway(directory / "gateway", configuration, time.time) as gateway:
        auditor = await _auditor(gateway, made.code, directory / "auditor.pem")
        figures = await _appending(gateway, directory / "gateway")
        async with _indexed(gateway, directory / "gateway"), _in_columns(gateway, directory / "gateway"):
            while gateway.log.size < RECORDS:
                await _append(gateway)
            await _caught_up(gateway)
        figures += await _finding(gateway, directory / "gateway")
        key, size = gateway.log.verifier_key, gateway.log.size
    figures.append(_reporting(directory / "gateway", auditor, size))
    begun = time.process_time()
    report = verify_directory(directory / "gateway" / "log", key)
    spent = (time.process_time() - begun) * 1e6 / size
    assert report.consistent, report.first_bad
    remark = f"{size:,} records, {report.checkpoints:,} checkpoints"
    return [*figures, Figure("verification of 1M records, one core", spent, "s", "at most", 15, remark)]


async def _auditor(gateway: Gateway, code: str, path: Path) -> ssl.SSLContext:
    """A device of the first administrator, who may read the log."""
    key = ec.generate_private_key(ec.SECP256R1())
    return _presenting(path, await join(gateway, code, PrincipalKind.PERSON, key), key)


def _presenting(path: Path, certificate: bytes, key: ec.EllipticCurvePrivateKey) -> ssl.SSLContext:
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(secret + ssl.DER_cert_to_PEM_cert(certificate).encode())
    context = ssl._create_unverified_context()  # noqa: S323, SLF001 - loopback, ours
    context.load_cert_chain(path)
    return context


def _records() -> list[Record]:
    """Accesses as a pipeline makes them: a few people and things have most of them."""
    chance, found = random.Random(7), list[Record]()  # noqa: S311
    for _ in range(20_000):
        name = PEOPLE[min(int(chance.expovariate(1 / 40)), len(PEOPLE) - 1)]
        thing = THINGS[min(int(chance.expovariate(1 / 400)), len(THINGS) - 1)]
        on: Json = {"kind": "File", "name": thing, "classification": "internal", "labels": ["metrics"]}
        who: Json = {"kind": "person", "name": name, "session": f"s-{chance.randrange(500)}", "binding": "mtls"}
        content: dict[str, Json] = {"who": who, "what": "ReadFile", "on": on, "policies": ["readers-read"]}
        found.append(Record(RecordKind.OPENING, f"person:{name}", "ReadFile", thing, "deny", content))
    return found


ACCESSES = _records()
REPORTS = (
    ("who,repository", ""),
    ("who", "on acme/set3"),
    ("thing", f"by {PEOPLE[3]}"),
    ("hour,decision", "label metrics"),
)


async def _append(gateway: Gateway) -> float:
    """Append a round of records; return how many a second."""

    async def work(start: int) -> None:
        for number in range(EACH):
            await gateway.log.append(ACCESSES[(start * EACH + number) % len(ACCESSES)])

    begun = time.perf_counter()
    await asyncio.gather(*(work(start) for start in range(IN_FLIGHT)))
    return IN_FLIGHT * EACH / (time.perf_counter() - begun)


@asynccontextmanager
async def _indexed(gateway: Gateway, directory: Path) -> AsyncGenerator[None]:
    keeping = asyncio.create_task(keep_indexed(gateway, directory))
    try:
        await _caught_up(gateway)
        yield
    finally:
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping


async def _caught_up(gateway: Gateway) -> None:
    async with asyncio.timeout(300):
        while gateway.index.size < gateway.log.size:  # noqa: ASYNC110 - another process keeps it
            await asyncio.sleep(0.05)


@asynccontextmanager
async def _in_columns(gateway: Gateway, directory: Path) -> AsyncGenerator[None]:
    """Have columns made as the log grows, to its end."""
    keeping = asyncio.create_task(keep_columns(gateway, directory))
    try:
        yield
        async with asyncio.timeout(300):
            while await asyncio.to_thread(lambda: gateway.reports.behind) >= CHUNK:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)
    finally:
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping


def _reporting(directory: Path, context: ssl.SSLContext, size: int) -> Figure:
    """Aggregates as an auditor has them, of a live gateway over TLS."""
    times = list[float]()
    with running("-m", "nomoat.cli", "serve", str(directory)) as server:
        for by, query in REPORTS * 3:
            body = json.dumps({"by": by, "query": query, "limit": 50}).encode()
            request = urllib.request.Request(f"{server.url}/v1/log/report", body, {"Content-Type": "application/json"})
            begun = time.perf_counter()
            with urllib.request.urlopen(request, context=context) as answer:
                told = json.load(answer)
            times.append(time.perf_counter() - begun)
            assert told["counted"] > size, told
    remark = f"p50 {statistics.median(times):.2f} s, of {size:,} records, over TLS"
    return Figure("an aggregate over 1M records, p95", percentile(times, 0.95), "s", "at most", 1, remark)


async def _appending(gateway: Gateway, directory: Path) -> list[Figure]:
    await _append(gateway)  # every subject gets its key
    alone, beside, lags = list[float](), list[float](), list[float]()
    for _ in range(ROUNDS):
        alone.append(await _append(gateway))
        async with _indexed(gateway, directory):
            watching = asyncio.create_task(_watch(gateway, lags))
            beside.append(await _append(gateway))
            watching.cancel()
    ratio = statistics.median(with_it / without for with_it, without in zip(beside, alone, strict=True))
    rates = f"{statistics.median(beside):,.0f} beside {statistics.median(alone):,.0f} records/s"
    return [
        Figure("append rate with the index ÷ without", ratio, "×", "at least", 0.85, rates),
        Figure("index lag at full append rate, p99", percentile(lags, 0.99), "s", "at most", 1, f"{len(lags)} looks"),
    ]


async def _watch(gateway: Gateway, lags: list[float]) -> None:
    """Note how long ago the log was as long as the index is."""
    history = list[tuple[float, int]]()
    while True:
        now = time.perf_counter()
        history.append((now, gateway.log.size))
        indexed = await asyncio.to_thread(lambda: gateway.index.size)
        reached = [at for at, size in history if size <= indexed]
        lags.append(now - reached[-1] if reached else now - history[0][0])
        await asyncio.sleep(0.03)


async def _finding(gateway: Gateway, directory: Path) -> list[Figure]:
    size = gateway.log.size

    def search(text: str) -> float:
        query = parse_query(text, time.time())
        return _ms(lambda: gateway.index.search(query, after=-1, limit=50, size=size))

    people = [search(f"by {name}") for name in PEOPLE[::5]]
    things = [search(f'on "{name}"') for name in THINGS[::50]]
    both = [search(f"by {name} on acme/set3 refused") for name in PEOPLE[::10]]
    evidence = Evidence(gateway.log, directory / "log", _NoKeys(), gateway.index)
    chance, proofs = random.Random(3), list[float]()  # noqa: S311
    for _ in range(300):
        begun = time.perf_counter()
        await evidence.receipt(chance.randrange(size), disclose=False)
        proofs.append((time.perf_counter() - begun) * 1000)
    remark = f"p50 {{:.1f}} ms, of {size:,} records"
    return [
        Figure(name, percentile(times, 0.95), "ms", "at most", most, remark.format(statistics.median(times)))
        for name, times, most in (
            ("search of one person's records, p95", people, 50),
            ("search of one thing's records, p95", things, 50),
            ("search of one person on one dataset, p95", both, 50),
            ("a proof (receipt), p95", proofs, 5),
        )
    ]


class _NoKeys:
    """Receipts without their content need none."""

    def find(self, pseudonym: str) -> bytes | None:
        del pseudonym
        return None

    def erased(self, pseudonym: str) -> int | None:
        del pseudonym
        return None

    async def create(self, pseudonym: str) -> bytes:
        raise NotImplementedError(pseudonym)


def _ms(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return (time.perf_counter() - begun) * 1000


if __name__ == "__main__":
    for each in measure():
        print(f"{each.name:45} {each.value:10.2f} {each.unit:10} {each.direction} {each.target:g}  {each.remark}")
