"""A trust domain in a temporary directory with a clock that the test sets: real keys, real database."""

import asyncio
import functools
import inspect
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from nomoat.core.connection import (
    Bearer,
    Capability,
    Connection,
    Credential,
    DeviceAssertion,
    OneTimeCode,
    Presented,
)
from nomoat.core.directory import Directory, Person, Workload
from nomoat.core.errors import Unauthenticated
from nomoat.core.names import Classification
from nomoat.core.principal import Principal, PrincipalKind
from nomoat.identity import CertificateAuthority, Identity, Issued, TrustDomain, create_key
from nomoat.stores.state import State
from tests.identity.forgery import assertion

NOW = 1_800_000_000.0
ADA = "ada@acme.example"
DECLARED = Directory(
    generation=1,
    people={
        ADA: Person(ADA, frozenset({"data-scientists"}), Classification.CONFIDENTIAL),
        "bob": Person("bob"),
    },
    workloads={"train": Workload("train", "training", frozenset({"trainers"}), Classification.INTERNAL)},
)


def signing_request(key: ec.EllipticCurvePrivateKey) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def der(pem: str) -> bytes:
    return x509.load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER)


@dataclass
class Actor:
    """Somebody with a key and what was last issued to them."""

    key: ec.EllipticCurvePrivateKey
    issued: Issued

    @property
    def request(self) -> bytes:
        return signing_request(self.key)

    @property
    def connection(self) -> Connection:
        return Connection("192.0.2.1", der(self.issued.certificate))


@dataclass
class World:
    """One gateway's identity room; set `now` and `directory` to move the world on."""

    state: State
    authority: CertificateAuthority
    token_key: bytes
    now: float = NOW
    directory: Directory = DECLARED
    identity: Identity = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    @classmethod
    def create(cls, directory: Path, name: str = "acme.example") -> "World":
        domain = TrustDomain(name)
        authority = CertificateAuthority.from_keys(domain, *CertificateAuthority.create(domain, NOW))
        return cls(State.create(directory / f"{name}.db", os.urandom(32)), authority, create_key())

    def restart(self) -> None:
        """Begin again with what the database remembers, as a new process would."""
        self.identity = Identity(
            authority=self.authority,
            token_key=self.token_key,
            state=self.state,
            directory=lambda: self.directory,
            clock=lambda: self.now,
        )

    def authenticate(
        self, credential: Credential | None, certificate: bytes | None = None, method: str = "GET"
    ) -> Principal:
        connection = Connection("192.0.2.7", certificate)
        return self.identity.authenticator.authenticate(Presented(connection, credential, "test", method))

    def refusal(self, credential: Credential | None, certificate: bytes | None = None) -> Unauthenticated:
        """Authenticate, expecting to fail; return the refusal."""
        with pytest.raises(Unauthenticated) as refused:
            self.authenticate(credential, certificate)
        return refused.value

    def certified(self, actor: Actor) -> Principal:
        """Return `actor` authenticated by certificate."""
        return self.authenticate(None, actor.connection.certificate)

    async def code(self, name: str = ADA) -> OneTimeCode:
        kind = PrincipalKind.PERSON if name in self.directory.people else PrincipalKind.WORKLOAD
        return OneTimeCode((await self.identity.enroll(kind, name))[0])

    async def redeem(self, code: OneTimeCode, key: ec.EllipticCurvePrivateKey | None = None) -> Actor:
        key = key or ec.generate_private_key(ec.SECP256R1())
        who = self.authenticate(code)
        redeem = self.identity.register_device if who.kind is PrincipalKind.PERSON else self.identity.join_workload
        return Actor(key, await redeem(who, signing_request(key)))

    async def join(self, name: str = ADA) -> Actor:
        """Let a person's device or a workload in."""
        return await self.redeem(await self.code(name))

    def token(self, actor: Actor, *, bound: bool = False) -> Bearer:
        return Bearer(self.identity.issue_token(self.certified(actor), bound=bound).text)

    def assertion(self, actor: Actor, **changes: object) -> DeviceAssertion:
        return DeviceAssertion(
            assertion(actor.key, actor.issued.device, self.authority.trust_domain.id, self.now, **changes)
        )

    async def renew(self, actor: Actor, credential: Credential | None = None, *, restart: bool = False) -> Actor:
        who = self.certified(actor) if credential is None else self.authenticate(credential)
        return Actor(actor.key, await self.identity.renew(who, actor.request, restart=restart))


def scenario(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an asynchronous test with a fresh `World` as its first argument."""

    @functools.wraps(test)
    def run(tmp_path: Path, **arguments: object) -> None:
        world = World.create(tmp_path)

        async def play() -> None:
            await test(world, **arguments)
            await world.identity.sessions.settle()

        try:
            asyncio.run(play())
        finally:
            world.state.close()

    _, *others = inspect.signature(test).parameters.values()
    temporary = inspect.Parameter("tmp_path", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    vars(run).pop("__wrapped__")
    vars(run)["__signature__"] = inspect.Signature([temporary, *others])
    return run


__all__ = ["ADA", "NOW", "Actor", "Capability", "World", "der", "scenario", "signing_request"]
