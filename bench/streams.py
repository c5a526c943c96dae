"""Streams that last: how soon 200 of them end with their session, what deciding 1,000 again costs, what who does not read takes."""

import asyncio
import json
import resource
import ssl
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from bench.live import ADMIN, Process, bearer, free_port, join, presented, running
from bench.measure import Figure, percentile
from nomoat.client.login import log_in
from nomoat.client.profiles import Profile
from nomoat.client.session import Session
from nomoat.core.operation import ApplyDirectory
from nomoat.core.principal import PrincipalKind
from nomoat.server.admission import Limits
from nomoat.server.assembly import open_gateway
from nomoat.server.configuration import Configuration
from nomoat.server.initialize import initialize

CUT = 200
ROUNDS = 5
LASTING = 1000
LOOK_S = 20.0
DEAF = 50
AT_ONCE = 50  # handshakes
DECLARED = """
[[group]]
name = "model-users"
[[upstream]]
name = "models"
url = "{url}/v1"
private = true
clearance = "confidential"
[[endpoint]]
name = "lasting"
classification = "internal"
served = [{{ upstream = "models", model = "lasting" }}]
[[endpoint]]
name = "endless"
classification = "internal"
served = [{{ upstream = "models", model = "endless" }}]
"""
CALLER = '[[workload]]\nname = "caller-{number}"\nsegment = "s"\ngroups = ["model-users"]\nclearance = "internal"\n'


def measure() -> list[Figure]:
    """Delays in milliseconds, CPU as a share of one core, memory by the kernel's word."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # for the servers as well, which inherit it
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        directory = Path(name)
        models = stack.enter_context(running("-m", "bench.models", str(free_port())))
        code, tokens = asyncio.run(_prepared(directory / "gateway", models.url))
        gateway = stack.enter_context(running("-m", "nomoat.cli", "serve", str(directory / "gateway")))
        admin = Profile.named("admin", {"NOMOAT_HOME": str(directory / "home")})
        log_in(admin, gateway.url, code)
        *callers, last = tokens
        delays = [
            delay
            for number, token in enumerate(callers)
            for delay in asyncio.run(_cut(gateway, token, admin, f"caller-{number}"))
        ]
        share, none = asyncio.run(_lasting(gateway, last))
        each = asyncio.run(_unread(gateway, last))
    p50, p90, p99 = (percentile(delays, part) * 1e3 for part in (0.5, 0.9, 0.99))
    told = f"p50 {p50:.0f}, p90 {p90:.0f}, most {max(delays) * 1e3:.0f} ms; {ROUNDS} times {CUT}"
    return [
        Figure(f"from a revocation to the last byte of {CUT} streams, p99", p99, "ms", "at most", 100, told),
        Figure(
            *(f"CPU of {LASTING} silent streams, decided again each 5 s", share * 100, "%", "at most", 5),
            f"of one core; without any {none * 100:.2f} %",
        ),
        Figure(f"memory for each of {DEAF} who do not read an endless stream", each / 2**20, "MiB", "at most", 4),
    ]


async def _prepared(directory: Path, models: str) -> tuple[str, list[str]]:
    """A data directory; a code for its administrator, and a token of each caller."""
    configuration = Configuration(
        *("acme.example", "127.0.0.1", free_port(), ("127.0.0.1",), directory.with_suffix(".kek")),
        limits=Limits(connections=2 * LASTING, connections_per_source=2 * LASTING),
    )
    made = await initialize(directory, configuration, ADMIN, time.time)
    tokens: list[str] = []
    async with open_gateway(directory, configuration, time.time) as gateway:
        admin = await join(gateway, made.code, PrincipalKind.PERSON)
        document = DECLARED.format(url=models) + "".join(CALLER.format(number=number) for number in range(ROUNDS + 1))
        async with gateway.guard.admit(presented(None, admin), ApplyDirectory(document, dry_run=False)) as permit:
            await gateway.declarations.apply(permit)
        for number in range(ROUNDS + 1):
            code, _ = await gateway.identity.enroll(PrincipalKind.WORKLOAD, f"caller-{number}")
            tokens.append((await bearer(gateway, await join(gateway, code, PrincipalKind.WORKLOAD))).token)
        code, _ = await gateway.identity.enroll(PrincipalKind.PERSON, ADMIN)
    return code, tokens


@asynccontextmanager
async def _streams(gateway: Process, token: str, count: int, model: str) -> AsyncIterator[list[asyncio.StreamReader]]:
    """So many streams that have begun."""
    parts = urlsplit(gateway.url)
    body = json.dumps(
        {"model": model, "messages": [{"role": "user", "content": "x"}], "stream": True}, separators=(",", ":")
    )
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {token}\r\n"
    request = f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    context = ssl._create_unverified_context()  # noqa: S323, SLF001 - loopback, ours
    turn = asyncio.Semaphore(AT_ONCE)
    writers: list[asyncio.StreamWriter] = []

    async def begin() -> asyncio.StreamReader:
        async with turn:
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port, ssl=context, limit=4096)
            writers.append(writer)
            writer.write(request)
            said = await reader.readuntil(b"\r\n\r\n")
            if b" 200 OK" not in said:
                raise RuntimeError(f"no stream: {said!r}")
            await reader.readuntil(b"data:")
            return reader

    try:
        yield list(await asyncio.gather(*(begin() for _ in range(count))))
    finally:
        for writer in writers:
            writer.transport.abort()


async def _cut(gateway: Process, token: str, admin: Profile, caller: str) -> list[float]:
    """Seconds from sending the revocation of a caller to the last byte of each of its streams."""

    async def end_of(reader: asyncio.StreamReader) -> float:
        said = b""
        while not said.endswith(b"0\r\n\r\n") and (part := await reader.read(65536)):
            said += part
        if b"revoked" not in said:
            raise RuntimeError(f"a stream ended without a word: {said!r}")
        return time.monotonic()

    async with _streams(gateway, token, CUT, "lasting") as readers:
        ends = [asyncio.create_task(end_of(reader)) for reader in readers]
        with Session(admin, time.time) as session:
            session.gateway.status()  # the connection is there
            await asyncio.sleep(0.5)
            begun = time.monotonic()
            await asyncio.to_thread(session.gateway.revoke, "workload", caller)
        return [end - begun for end in await asyncio.gather(*ends)]


async def _lasting(gateway: Process, token: str) -> tuple[float, float]:
    """The share of a core that silent streams take, and that the gateway takes without any."""

    async def share() -> float:
        before, begun = gateway.cpu(), time.monotonic()
        await asyncio.sleep(LOOK_S)
        return (gateway.cpu() - before) / (time.monotonic() - begun)

    await asyncio.sleep(1)
    none = await share()
    async with _streams(gateway, token, LASTING, "lasting"):
        await asyncio.sleep(1)
        return await share(), none


async def _unread(gateway: Process, token: str) -> float:
    """Bytes that the gateway's memory grows by for each client that does not read."""
    async with _streams(gateway, token, DEAF, "lasting"):
        before = gateway.memory("VmRSS")
    await asyncio.sleep(1)
    async with _streams(gateway, token, DEAF, "endless"):
        await asyncio.sleep(10)
        return max(0, gateway.memory("VmRSS") - before) / DEAF
