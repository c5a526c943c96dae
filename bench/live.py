"""A gateway to be measured: prepared in this process, then served by one of its own."""

import asyncio
import hashlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from nomoat.core.connection import Bearer, Capability, Connection, OneTimeCode, Presented
from nomoat.core.names import RepositoryKind, RepositoryName
from nomoat.core.operation import (
    ApplyDirectory,
    Change,
    CreateRepository,
    GrantUpload,
    IssueToken,
    JoinWorkload,
    Operation,
    RegisterDevice,
    UploadBlob,
    WriteFile,
)
from nomoat.core.principal import PrincipalKind
from nomoat.server.assembly import Gateway, open_gateway
from nomoat.server.configuration import Configuration
from nomoat.server.initialize import initialize

ADMIN = "admin@acme.example"
REPOSITORY = RepositoryName(RepositoryKind.DATASET, "acme", "bench")
LARGE = 1 << 30
SMALL = b'{"accuracy": 0.97}'
DECLARED = """
[[workload]]
name = "ingest"
segment = "ingestion"
clearance = "confidential"
[[workload]]
name = "bound"
segment = "ingestion"
clearance = "confidential"
[[dataset]]
name = "acme/bench"
classification = "confidential"
"""


def presented(credential: Bearer | Capability | OneTimeCode | None, certificate: bytes | None = None) -> Presented:
    """What a local caller presents."""
    return Presented(Connection("127.0.0.1", certificate), credential, "bench", "GET")


def signing_request(key: ec.EllipticCurvePrivateKey | None = None) -> bytes:
    """A certificate signing request for a key, or a new one."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


async def join(
    gateway: Gateway, code: str, kind: PrincipalKind, key: ec.EllipticCurvePrivateKey | None = None
) -> bytes:
    """Redeem a code; returns the certificate (DER)."""
    request = signing_request(key)
    person = kind is PrincipalKind.PERSON
    operation: Operation = RegisterDevice(request) if person else JoinWorkload(request)
    async with gateway.guard.admit(presented(OneTimeCode(code)), operation) as permit:
        redeem = gateway.identity.register_device if person else gateway.identity.join_workload
        issued = await redeem(permit.principal, request)
    return x509.load_pem_x509_certificate(issued.certificate.encode()).public_bytes(Encoding.DER)


async def bearer(gateway: Gateway, certificate: bytes) -> Bearer:
    """A plain access token for the holder of a certificate."""
    async with gateway.guard.admit(presented(None, certificate), IssueToken(bound=False)) as permit:
        return Bearer(gateway.identity.issue_token(permit.principal, bound=False).text)


async def ingest(gateway: Gateway, token: Bearer, *, large: int) -> None:
    """Fill the repository: one small file and, unless 0, one of `large` zero bytes."""
    who = presented(token)
    async with gateway.guard.admit(who, CreateRepository(REPOSITORY)) as creation:
        await gateway.writing.create_repository(creation)
    changes = [Change("metrics.json", SMALL, hashlib.sha256(SMALL).hexdigest(), len(SMALL))]
    if large:
        digest = _zeros_digest(large)
        async with gateway.guard.admit(who, GrantUpload(REPOSITORY, ((digest, large),))) as granting:
            [granted] = gateway.writing.grant_upload(granting)
        secret = presented(Capability(granted.secret))
        async with gateway.guard.admit(secret, UploadBlob(REPOSITORY, digest, large)) as permit:
            await gateway.writing.upload_blob(permit, _zeros(large))
        changes.append(Change("large.bin", None, digest, large))
    async with gateway.guard.admit(who, WriteFile(REPOSITORY, "main", tuple(changes), "bench")) as permit:
        await gateway.writing.write_file(permit)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A data directory with one workload that may read and write one repository, and a code for its like."""

    directory: Path
    token: str
    code: str


async def prepare(directory: Path, port: int, *, large: int, more: str = "") -> Prepared:
    """Make a data directory with a filled repository, and what `more` declares after it (TOML)."""
    configuration = Configuration("acme.example", "127.0.0.1", port, ("127.0.0.1",), directory.with_suffix(".kek"))
    made = await initialize(directory, configuration, ADMIN, time.time)
    async with open_gateway(directory, configuration, time.time) as gateway:
        admin = await join(gateway, made.code, PrincipalKind.PERSON)
        for declared in (DECLARED, more):
            operation = ApplyDirectory(declared, dry_run=False)
            async with gateway.guard.admit(presented(None, admin), operation) as permit:
                await gateway.declarations.apply(permit)
        code, _ = await gateway.identity.enroll(PrincipalKind.WORKLOAD, "ingest")
        token = await bearer(gateway, await join(gateway, code, PrincipalKind.WORKLOAD))
        await ingest(gateway, token, large=large)
        code, _ = await gateway.identity.enroll(PrincipalKind.WORKLOAD, "bound")
    return Prepared(directory, token.token, code)


@dataclass(frozen=True, slots=True)
class Process:
    """A server's process, and what the kernel says of it."""

    pid: int
    url: str

    def cpu(self) -> float:
        """CPU seconds so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self, kind: str) -> int:
        """`VmRSS` or `VmHWM` in bytes."""
        found = re.search(rf"^{kind}:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text(), re.MULTILINE)
        return int(found[1]) * 1024 if found else 0

    def descriptors(self) -> int:
        """How many it has open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def forget_peak(self) -> None:
        """Reset `VmHWM` (proc(5), clear_refs)."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(*command: str, **environment: str) -> Iterator[Process]:
    """Run a server of ours that prints its URL once it listens; end it by its id."""
    process = subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )
    try:
        url = ""
        for line in process.stdout or ():
            if found := re.search(r"https?://[^\s\"]+", line):
                url = found[0].rstrip(".,;")
                break
        if not url:
            raise RuntimeError(f"{' '.join(command)} did not start")
        yield Process(process.pid, url)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def wrk(
    server: Process, url: str, authorization: str, *, connections: int, seconds: int, script: Path | None = None
) -> tuple[int, float]:
    """(requests that were answered well, CPU microseconds of `server` for each) under load by wrk(1).

    `script` says what is sent, where that is more than a GET.
    """
    header = f"Authorization: {authorization}"
    said = ["-s", str(script)] if script else []
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", *said, "-H", header, url]
    begun = server.cpu()
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    spent = server.cpu() - begun
    found = re.search(r"(\d+) requests in", output)
    if found is None or "Non-2xx" in output:
        raise RuntimeError(output)
    return int(found[1]), spent / int(found[1]) * 1e6


@contextmanager
def connected(url: str) -> Iterator[socket.socket]:
    """Connect to a server of ours, over TLS if its URL says so."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port)) as plain, ExitStack() as stack:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if parts.scheme == "https":
            yield stack.enter_context(ssl._create_unverified_context().wrap_socket(plain))  # noqa: S323, SLF001
        else:
            yield plain


def post(url: str, body: bytes, token: str, content_type: str) -> bytes:
    """Post to a server of ours and return what it answers."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": content_type}
    request = urllib.request.Request(url, data=body, headers=headers)
    with urllib.request.urlopen(request, context=ssl._create_unverified_context()) as answer:  # noqa: S323, SLF001 - loopback, ours
        return bytes(answer.read())


def put(url: str, value: object, token: str) -> None:
    """Put JSON to a server of ours."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, data=json.dumps(value).encode(), headers=headers, method="PUT")
    with urllib.request.urlopen(request, context=ssl._create_unverified_context()) as answer:  # noqa: S323, SLF001 - loopback, ours
        answer.read()


def round_trips(url: str, requests: Iterable[bytes], end: bytes) -> list[float]:
    """Seconds of each request, one after the other on one connection; an answer is over when `end` was read."""
    times: list[float] = []
    with connected(url) as channel:
        for request in requests:
            begun = time.perf_counter()
            channel.sendall(request)
            answer = b""
            while end not in answer:
                received = channel.recv(65536)
                if not received:
                    raise RuntimeError(f"the connection was closed after {answer!r}")
                answer += received
            times.append(time.perf_counter() - begun)
    return times


def _zeros_digest(size: int) -> str:
    state, chunk = hashlib.sha256(), bytes(1 << 20)
    for _ in range(size >> 20):
        state.update(chunk)
    return state.hexdigest()


async def _zeros(size: int) -> AsyncIterator[bytes]:
    chunk = bytes(1 << 16)
    for _ in range(size >> 16):
        yield chunk
        await asyncio.sleep(0)
