"""Assembly: a data directory becomes a wired gateway. The one place where concrete classes meet."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nomoat.audit.log import Log
from nomoat.core.operation import (
    ApplyDirectory,
    ApplyPolicy,
    Enroll,
    IssueToken,
    JoinWorkload,
    Operation,
    ReadLog,
    RegisterDevice,
    RenewCertificate,
    Revoke,
    Whoami,
)
from nomoat.core.record import Json, Record, RecordKind
from nomoat.guard import Guard
from nomoat.guard.guard import Resolver
from nomoat.identity import CertificateAuthority, Identity, TrustDomain
from nomoat.protocols.admin import Administration
from nomoat.protocols.admin.log import LogEndpoint
from nomoat.protocols.http.application import Application
from nomoat.protocols.http.routes import Route
from nomoat.protocols.hub.commits import ContentBudget
from nomoat.protocols.hub.errors import error_headers
from nomoat.protocols.hub.routes import DatasetEndpoints, HubEndpoints, ModelEndpoints
from nomoat.protocols.workload import IdentityEndpoints
from nomoat.resources.directory import Declarations
from nomoat.resources.identities import Anchor, Identities
from nomoat.resources.log import LogReading
from nomoat.resources.policies import Policies
from nomoat.resources.repositories import Catalog, Reading, Resolution, Writing
from nomoat.server.configuration import Configuration
from nomoat.stores.keys import KeyEncryptionKey, KeyStore
from nomoat.stores.objects import Objects
from nomoat.stores.segments import Files
from nomoat.stores.state import State
from nomoat.stores.subject_keys import StoredSubjectKeys

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Gateway:
    """A wired gateway: what the HTTP server serves, and the parts that its tests and console look at."""

    configuration: Configuration
    application: Application
    routes: tuple[Route, ...]
    resolvers: Mapping[type[Operation], Resolver[Any]]
    guard: Guard
    log: Log
    identity: Identity
    authority: CertificateAuthority
    declarations: Declarations
    policies: Policies
    reading: Reading
    writing: Writing
    keys: KeyStore
    clock: Clock


@dataclass(frozen=True, slots=True)
class _Stores:
    keys: KeyStore
    state: State
    objects: Objects
    subject_keys: StoredSubjectKeys


@asynccontextmanager
async def open_gateway(
    directory: Path, configuration: Configuration, clock: Clock, files: Files | None = None
) -> AsyncGenerator[Gateway]:
    """Wire the gateway of a data directory whose lock the caller holds, and close it on the way out.

    `files` are the log's calls on the file system (None: the real ones).

    Raises `Unavailable` or `Corrupt` when a part cannot be opened.
    """
    kek = KeyEncryptionKey.load(configuration.kek)
    state = State.open(directory / "state.db", kek.derive("state"))
    try:
        stores = _Stores(
            KeyStore(directory / "keys", kek),
            state,
            Objects(directory / "objects", kek),
            StoredSubjectKeys(state, kek),
        )
        log = await Log.open(
            directory / "log",
            signing_key=stores.keys.load("log"),
            origin=f"{configuration.trust_domain}/log",
            pseudonym_key=stores.keys.load("pseudonyms"),
            subject_keys=stores.subject_keys,
            clock=clock,
            enforcer=configuration.enforcer,
            files=files,
        )
        try:
            gateway = _wire(configuration, stores, log, clock)
            await log.append(system_record("Start", {"trust_domain": configuration.trust_domain}))
            flushing = asyncio.create_task(gateway.guard.strangers.run())
            try:
                yield gateway
            finally:
                flushing.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await flushing
                await gateway.guard.strangers.flush()
                log.post(system_record("Stop", {}))
        finally:
            await log.close()
    finally:
        state.close()


def _wire(configuration: Configuration, stores: _Stores, log: Log, clock: Clock) -> Gateway:
    state, keys = stores.state, stores.keys
    trust_domain = TrustDomain(configuration.trust_domain)
    root = keys.load("authority-certificate").decode("ascii")
    authority = CertificateAuthority.from_keys(trust_domain, keys.load("authority"), root)

    declarations = Declarations(state, clock)
    policies = Policies(state, clock)
    identity = Identity(
        authority=authority,
        token_key=keys.load("tokens"),
        state=state,
        directory=lambda: declarations.current,
        clock=clock,
        token_life=configuration.token_lifetime_s,
    )
    catalog = Catalog(state)
    reading, writing = Reading(stores.objects), Writing(catalog, stores.objects, identity.capabilities, clock)
    identities = Identities(identity, Anchor(str(log.verifier_key), log.checkpoint), clock)
    log_reading = LogReading(log)
    resolvers: dict[type[Operation], Resolver[Any]] = {
        ApplyDirectory: declarations.resolve,
        ApplyPolicy: policies.resolve,
        Enroll: identities.resolve_enroll,
        Revoke: identities.resolve_revoke,
        ReadLog: log_reading.resolve,
    }
    resolvers.update(Resolution(lambda: declarations.current, catalog).resolvers)
    for operation in (RegisterDevice, JoinWorkload, RenewCertificate, IssueToken, Whoami):
        resolvers[operation] = identities.resolve_self

    guard = Guard(
        authenticator=identity.authenticator,
        resolvers=resolvers,
        policies=lambda: policies.current,
        epoch=lambda: (
            identity.sessions.generation,
            declarations.current.generation,
            policies.current.digest,
            catalog.generation,
        ),
        log=log,
        clock=clock,
    )
    ending: set[asyncio.Task[object]] = set()

    def end_the_undeclared() -> None:
        task: asyncio.Task[object] = asyncio.ensure_future(identity.retain())
        ending.add(task)
        task.add_done_callback(ending.discard)

    declarations.listen(guard.reexamine)
    declarations.listen(end_the_undeclared)
    policies.listen(guard.reexamine)
    identity.sessions.listen(lambda ended: guard.end_sessions(ended, "the session was revoked"))
    budget = ContentBudget()
    routes = (
        *Administration(guard, declarations, policies, identities).routes(),
        *LogEndpoint(guard, log_reading).routes(),
        *IdentityEndpoints(guard, identities, root.encode(), log.checkpoint).routes(),
        *HubEndpoints(guard, writing, identities.whoami).routes(),
        *DatasetEndpoints(guard, reading, writing, budget).routes(),
        *ModelEndpoints(guard, reading, writing, budget).routes(),
    )
    return Gateway(
        configuration=configuration,
        application=Application(guard, routes, {"hub": error_headers}),
        routes=routes,
        resolvers=resolvers,
        guard=guard,
        log=log,
        identity=identity,
        authority=authority,
        declarations=declarations,
        policies=policies,
        reading=reading,
        writing=writing,
        keys=keys,
        clock=clock,
    )


def system_record(what: str, content: Mapping[str, Json]) -> Record:
    """The record of something that the gateway itself did."""
    body: dict[str, Json] = {"who": {"kind": "system"}, "what": what, **content}
    return Record(kind=RecordKind.SYSTEM, subject="system", what=what, on="", decision="", content=body, priority=True)
