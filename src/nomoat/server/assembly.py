"""Assembly: a data directory becomes a wired gateway. The one place where concrete classes meet."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from nomoat.audit.log import Log
from nomoat.core.errors import NoMoatError, Unavailable
from nomoat.core.operation import (
    ApplyDirectory,
    ApplyPolicy,
    Enroll,
    IssueToken,
    JoinWorkload,
    Operation,
    ReadLog,
    ReadStatus,
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
from nomoat.protocols.admin.status import StatusEndpoint
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
from nomoat.resources.status import Status
from nomoat.server.admission import Admission
from nomoat.server.configuration import Configuration
from nomoat.server.watching import watch
from nomoat.stores.keys import KeyEncryptionKey, KeyStore
from nomoat.stores.objects import Objects
from nomoat.stores.segments import Files
from nomoat.stores.state import State
from nomoat.stores.subject_keys import StoredSubjectKeys
from nomoat.stores.uncommitted import Uncommitted

_log = logging.getLogger("nomoat")

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
    declarations: Declarations
    policies: Policies
    reading: Reading
    writing: Writing
    uncommitted: Uncommitted
    keys: KeyStore
    admission: Admission
    clock: Clock


AcceptOlder: TypeAlias = Callable[[Gateway, State], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Stores:
    keys: KeyStore
    state: State
    objects: Objects
    subject_keys: StoredSubjectKeys


@dataclass(frozen=True, slots=True)
class _Resources:
    declarations: Declarations
    policies: Policies
    identity: Identity
    identities: Identities
    catalog: Catalog
    reading: Reading
    writing: Writing
    log: LogReading


@asynccontextmanager
async def open_gateway(
    directory: Path,
    configuration: Configuration,
    clock: Clock,
    files: Files | None = None,
    *,
    accept_older: AcceptOlder | None = None,
) -> AsyncGenerator[Gateway]:
    """Wire the gateway of a data directory whose lock the caller holds, and close it on the way out.

    `files` are the log's calls on the file system (None: the real ones). `accept_older` is called before
    anything else happens, and makes a state acceptable that is older than its log says.

    Raises `Unavailable` or `Corrupt` when a part cannot be opened, `Unavailable` also for such a state
    when nobody accepts it.
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
            state=None if accept_older else state.generation,
            files=files,
        )
        try:
            state.follow(log.learn)
            gateway = _wire(configuration, stores, log, clock)
            if accept_older is not None:
                await accept_older(gateway, state)
            await log.learn(state.generation)
            await log.append(system_record("Start", {"trust_domain": configuration.trust_domain}))
            await gateway.uncommitted.remove_strays()
            await gateway.identity.retain()  # a crash may have come between a declaration and its effect here
            async with _kept_up(gateway, state):
                yield gateway
        finally:
            await log.close()
    finally:
        state.close()


@asynccontextmanager
async def _kept_up(gateway: Gateway, state: State) -> AsyncGenerator[None]:
    """Do beside what is served what has to be done from time to time, and conclude at the end."""
    beside = [
        asyncio.create_task(gateway.guard.strangers.run()),
        asyncio.create_task(gateway.uncommitted.run(_tell_of_a_failed_sweep)),
    ]
    try:
        yield
    finally:
        for task in beside:
            task.cancel()
        for task in beside:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await _conclude(gateway, state)
        await asyncio.to_thread(gateway.guard.let_go)


async def _conclude(gateway: Gateway, state: State) -> None:
    """Store and record what a running gateway may still have in memory."""
    await gateway.guard.strangers.flush()
    with contextlib.suppress(Unavailable):  # its author was told; it is in force until here
        await gateway.identity.sessions.settle()
    with contextlib.suppress(Unavailable):  # the writes that the log was not told of one by one
        await gateway.log.learn(state.generation)
    gateway.log.post(system_record("Stop", {}))


def _wire(configuration: Configuration, stores: _Stores, log: Log, clock: Clock) -> Gateway:
    parts = _resources(configuration, stores, log, clock)
    resolvers = _resolvers(parts)
    guard = _guard_class(configuration)(
        authenticator=parts.identity.authenticator,
        resolvers=resolvers,
        glances={ApplyDirectory: parts.declarations.glance, ApplyPolicy: parts.policies.glance},
        policies=lambda: parts.policies.current,
        epoch=lambda: (
            parts.identity.sessions.generation,
            parts.declarations.current.generation,
            parts.policies.current.digest,
            parts.catalog.generation,
        ),
        log=log,
        clock=clock,
    )
    _connect(parts, guard)
    admission = Admission(configuration.limits, guard.strangers.count)
    status = Status(watch(configuration, log, stores.state, guard, admission, clock))
    resolvers[ReadStatus] = status.resolve
    routes = (*_routes(parts, guard, log), *StatusEndpoint(guard, status).routes())
    return Gateway(
        configuration=configuration,
        application=Application(guard, routes, {"hub": error_headers}),
        routes=routes,
        resolvers=resolvers,
        guard=guard,
        log=log,
        identity=parts.identity,
        declarations=parts.declarations,
        policies=parts.policies,
        reading=parts.reading,
        writing=parts.writing,
        uncommitted=Uncommitted(stores.state, stores.objects, clock, partial(_note_removal, log)),
        keys=stores.keys,
        admission=admission,
        clock=clock,
    )


def _guard_class(configuration: Configuration) -> Callable[..., Guard]:
    """The guard, or the one that tells OpenTelemetry of its steps: then, and only then, is that loaded."""
    if not configuration.traces:
        return Guard
    from nomoat.guard.tracing import TracedGuard  # noqa: PLC0415
    from nomoat.server.tracing import open_tracer  # noqa: PLC0415

    return partial(TracedGuard, open_tracer(configuration.traces))


def _resources(configuration: Configuration, stores: _Stores, log: Log, clock: Clock) -> _Resources:
    root = stores.keys.load("authority-certificate").decode("ascii")
    trust_domain = TrustDomain(configuration.trust_domain)
    declarations, catalog = Declarations(stores.state, clock), Catalog(stores.state)
    identity = Identity(
        authority=CertificateAuthority.from_keys(trust_domain, stores.keys.load("authority"), root),
        token_key=stores.keys.load("tokens"),
        state=stores.state,
        directory=lambda: declarations.current,
        clock=clock,
        token_life=configuration.token_lifetime_s,
    )
    return _Resources(
        declarations=declarations,
        policies=Policies(stores.state, clock),
        identity=identity,
        identities=Identities(identity, Anchor(str(log.verifier_key), log.checkpoint), clock),
        catalog=catalog,
        reading=Reading(stores.objects),
        writing=Writing(catalog, stores.objects, identity.capabilities, clock),
        log=LogReading(log),
    )


def _resolvers(parts: _Resources) -> dict[type[Operation], Resolver[Any]]:
    """Who says what the names of an operation mean; an operation that is missing here is refused."""
    resolvers: dict[type[Operation], Resolver[Any]] = {
        ApplyDirectory: parts.declarations.resolve,
        ApplyPolicy: parts.policies.resolve,
        Enroll: parts.identities.resolve_enroll,
        Revoke: parts.identities.resolve_revoke,
        ReadLog: parts.log.resolve,
        **Resolution(lambda: parts.declarations.current, parts.catalog).resolvers,
    }
    for operation in (RegisterDevice, JoinWorkload, RenewCertificate, IssueToken, Whoami):
        resolvers[operation] = parts.identities.resolve_self
    return resolvers


def _connect(parts: _Resources, guard: Guard) -> None:
    """Let every change reach the accesses in flight, before the change is answered."""
    ending: set[asyncio.Task[object]] = set()

    def ended(task: asyncio.Task[object]) -> None:
        ending.discard(task)
        if not task.cancelled() and isinstance(task.exception(), NoMoatError):
            _log.warning("the sessions of who is no longer declared are ended, but not yet stored as ended")

    def end_the_undeclared() -> None:
        task: asyncio.Task[object] = asyncio.ensure_future(parts.identity.retain())
        ending.add(task)
        task.add_done_callback(ended)

    parts.declarations.listen(guard.reexamine)
    parts.declarations.listen(end_the_undeclared)
    parts.policies.listen(guard.reexamine)
    parts.identity.sessions.listen(lambda sessions: guard.end_sessions(sessions, "the session was revoked"))


def _routes(parts: _Resources, guard: Guard, log: Log) -> tuple[Route, ...]:
    root, budget = parts.identity.authority.certificate.encode(), ContentBudget()
    return (
        *Administration(guard, parts.declarations, parts.policies, parts.identities).routes(),
        *LogEndpoint(guard, parts.log).routes(),
        *IdentityEndpoints(guard, parts.identities, root, log.checkpoint, log.consistency).routes(),
        *HubEndpoints(guard, parts.writing, parts.identities.whoami).routes(),
        *DatasetEndpoints(guard, parts.reading, parts.writing, budget).routes(),
        *ModelEndpoints(guard, parts.reading, parts.writing, budget).routes(),
    )


async def _note_removal(log: Log, why: str, contents: int, length: int) -> None:
    await log.append(system_record("RemoveContents", {"why": why, "contents": contents, "bytes": length}))


def _tell_of_a_failed_sweep(error: NoMoatError) -> None:
    _log.warning("contents that nobody committed are not removed at the moment: %s", error)


def system_record(what: str, content: Mapping[str, Json]) -> Record:
    """The record of something that the gateway itself did."""
    body: dict[str, Json] = {"who": {"kind": "system"}, "what": what, **content}
    return Record(kind=RecordKind.SYSTEM, subject="system", what=what, on="", decision="", content=body, priority=True)
