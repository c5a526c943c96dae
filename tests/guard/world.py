"""A whole gateway in this process, with real keys, log and database, a clock that the test sets, and a
disk whose syncs the test can hold back: what changes while a decision is being recorded is the test's."""

import asyncio
import atexit
import functools
import inspect
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from nomoat.core.connection import Bearer, Connection, Credential, OneTimeCode, Presented
from nomoat.core.operation import ApplyDirectory, ApplyPolicy, IssueToken, JoinWorkload, RegisterDevice, Revoke
from nomoat.core.principal import PrincipalKind
from nomoat.server.assembly import Gateway, open_gateway
from nomoat.server.configuration import Configuration
from nomoat.server.initialize import initialize
from nomoat.server.postgres import PostgresSettings
from nomoat.server.querying import Queries, QueryProcess
from nomoat.server.scanning import Scanner, ScannerProcess
from nomoat.stores.segments import Files

ADMIN = "admin@acme.example"
Test = Callable[..., Awaitable[None]]
SCANNER = ScannerProcess()  # starting one takes longer than most tests
QUERIES = QueryProcess()
atexit.register(SCANNER.end)
atexit.register(QUERIES.end)


@dataclass
class Clock:
    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class HeldDisk(Files):
    """The real file system, whose syncs wait while the test holds them."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self._open.set()
        self.waiting = threading.Event()
        self.broken = False

    def hold(self) -> None:
        self.waiting.clear()
        self._open.clear()

    def release(self) -> None:
        self._open.set()

    def sync(self, descriptor: int) -> None:
        if not self._open.is_set():
            self.waiting.set()
            assert self._open.wait(30)
        if self.broken:
            raise OSError(5, "the disk is broken")
        super().sync(descriptor)

    async def reached(self) -> None:
        """Return when a sync is waiting."""
        assert await asyncio.to_thread(self.waiting.wait, 30)


def signing_request(key: ec.EllipticCurvePrivateKey) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


@dataclass
class Actor:
    """Somebody who joined: a key, a certificate, a session."""

    subject: str
    session: str
    device: str
    certificate: bytes
    source: str = "127.0.0.1"

    def present(self, credential: Credential | None = None, *, bound: bool = True) -> Presented:
        connection = Connection(self.source, self.certificate if bound else None)
        return Presented(connection, credential, "test", "POST")


@dataclass
class World:
    """The gateway and who acts on it."""

    gateway: Gateway
    clock: Clock
    disk: HeldDisk
    directory: Path
    admin: Actor = field(init=False)

    async def joined(self, kind: PrincipalKind, name: str, code: str = "") -> Actor:
        text = code or (await self.gateway.identity.enroll(kind, name))[0]
        request = signing_request(ec.generate_private_key(ec.SECP256R1()))
        presented = Presented(Connection("127.0.0.1"), OneTimeCode(text), "test", "POST")
        person = kind is PrincipalKind.PERSON
        operation = RegisterDevice(request) if person else JoinWorkload(request)
        async with self.gateway.guard.admit(presented, operation) as permit:
            identity = self.gateway.identity
            join = identity.register_device if person else identity.join_workload
            issued = await join(permit.principal, request)
        certificate = x509.load_pem_x509_certificate(issued.certificate.encode()).public_bytes(Encoding.DER)
        return Actor(issued.subject, issued.session, issued.device, certificate)

    async def bearer(self, actor: Actor, *, bound: bool = False) -> Bearer:
        async with self.gateway.guard.admit(actor.present(), IssueToken(bound)) as permit:
            return Bearer(self.gateway.identity.issue_token(permit.principal, bound=bound).text)

    async def declare(self, document: str, by: Actor | None = None) -> None:
        operation = ApplyDirectory(document, dry_run=False)
        async with self.gateway.guard.admit((by or self.admin).present(), operation) as permit:
            await self.gateway.declarations.apply(permit)

    async def apply_policies(self, files: dict[str, str]) -> None:
        operation = ApplyPolicy(tuple(files.items()), dry_run=False)
        async with self.gateway.guard.admit(self.admin.present(), operation) as permit:
            await self.gateway.policies.apply(permit)

    async def revoke(self, kind: str, name: str) -> None:
        async with self.gateway.guard.admit(self.admin.present(), Revoke(kind, name)):
            await self.gateway.identity.revoke(kind, name)


@asynccontextmanager
async def world(tmp_path: Path, postgres: PostgresSettings | None = None) -> AsyncGenerator[World]:
    directory, clock, disk = tmp_path / "gateway", Clock(), HeldDisk()
    configuration = Configuration(
        *("acme.example", "127.0.0.1", 0, ("localhost",), tmp_path / "kek"), reexamine_s=1, postgres=postgres
    )
    made = await initialize(directory, configuration, ADMIN, clock)
    queries = Queries(QUERIES)
    opening = open_gateway(directory, configuration, clock, disk, scan=Scanner(SCANNER).scan, engine=queries)
    async with opening as gateway:
        there = World(gateway, clock, disk, directory)
        there.admin = await there.joined(PrincipalKind.PERSON, ADMIN, made.code)
        try:
            yield there
        finally:
            queries.close()
            disk.broken = False
            disk.release()


def runs_in(place: Callable[[Path], AbstractAsyncContextManager[object]]) -> Callable[[Test], Callable[..., None]]:
    """A decorator that runs a coroutine test with a fresh `place` as its first argument."""

    def decorate(test: Test) -> Callable[..., None]:
        @functools.wraps(test)
        def run(tmp_path: Path, **arguments: object) -> None:
            async def inside() -> None:
                async with place(tmp_path) as there:
                    await test(there, **arguments)

            asyncio.run(inside())

        parameters = [p for name, p in inspect.signature(test).parameters.items() if name != "there"]
        path = inspect.Parameter("tmp_path", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        run.__signature__ = inspect.Signature([path, *parameters])  # type: ignore[attr-defined]  # pytest reads it
        return run

    return decorate


in_world = runs_in(world)
