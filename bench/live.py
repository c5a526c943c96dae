"""A gateway to be measured: prepared in this process, then served by one of its own."""

import asyncio
import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

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
[[dataset]]
name = "acme/bench"
classification = "confidential"
"""


def presented(credential: Bearer | Capability | OneTimeCode | None, certificate: bytes | None = None) -> Presented:
    """What a local caller presents."""
    return Presented(Connection("127.0.0.1", certificate), credential, "bench", "GET")


def signing_request() -> bytes:
    """A certificate signing request for a new key."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


async def join(gateway: Gateway, code: str, kind: PrincipalKind) -> bytes:
    """Redeem a code; returns the certificate (DER)."""
    request = signing_request()
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
    """A data directory with one workload that may read and write one repository."""

    directory: Path
    token: str


async def prepare(directory: Path, port: int, *, large: int) -> Prepared:
    """Make a data directory with a filled repository."""
    configuration = Configuration("acme.example", "127.0.0.1", port, ("127.0.0.1",), directory.with_suffix(".kek"))
    made = await initialize(directory, configuration, ADMIN, time.time)
    async with open_gateway(directory, configuration, time.time) as gateway:
        admin = await join(gateway, made.code, PrincipalKind.PERSON)
        async with gateway.guard.admit(presented(None, admin), ApplyDirectory(DECLARED, dry_run=False)) as permit:
            await gateway.declarations.apply(permit)
        code, _ = await gateway.identity.enroll(PrincipalKind.WORKLOAD, "ingest")
        token = await bearer(gateway, await join(gateway, code, PrincipalKind.WORKLOAD))
        await ingest(gateway, token, large=large)
    return Prepared(directory, token.token)


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


@contextmanager
def running(*command: str) -> Iterator[Process]:
    """Run a server of ours that prints its URL once it listens; end it by its id."""
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True)
    try:
        url = ""
        for line in process.stdout or ():
            if found := re.search(r"https://\S+", line):
                url = found[0].rstrip(".,")
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
