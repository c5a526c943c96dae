"""Assembly: a data directory becomes a wired gateway. The one place where concrete classes meet."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from nomoat.audit.cosigning import Cosigner
from nomoat.audit.index import Index
from nomoat.audit.log import Log
from nomoat.audit.reports import Reports
from nomoat.core.errors import Unavailable
from nomoat.core.inference import Dialect
from nomoat.core.operation import Operation, ReadStatus
from nomoat.core.record import system_record
from nomoat.guard import Guard
from nomoat.guard.continuous import keep_deciding
from nomoat.guard.guard import Resolver
from nomoat.identity import Identity
from nomoat.protocols.admin.status import StatusEndpoint
from nomoat.protocols.http.application import Application
from nomoat.protocols.http.routes import Route
from nomoat.protocols.hub.errors import error_headers
from nomoat.protocols.inference.errors import error_body
from nomoat.resources.directory import Declarations
from nomoat.resources.history import History
from nomoat.resources.inference import Inference
from nomoat.resources.keys import Keys
from nomoat.resources.metrics.metrics import Metrics
from nomoat.resources.policies import Policies
from nomoat.resources.receipts import OwnReceipts
from nomoat.resources.repositories import Browsing, Reading, References, Writing
from nomoat.resources.repositories.comparing import Comparing
from nomoat.resources.repositories.examining import Scan
from nomoat.resources.repositories.lifecycle import Lifecycle
from nomoat.resources.repositories.lineage import Tracing
from nomoat.resources.repositories.shredding import Shredder
from nomoat.resources.repositories.views import Engine, Views
from nomoat.resources.retrieval import Retrieval, Uploads
from nomoat.resources.status import Status
from nomoat.resources.trial import Trial
from nomoat.server.admission import Admission
from nomoat.server.apart import Apart
from nomoat.server.configuration import Configuration
from nomoat.server.keeping import open_keyring
from nomoat.server.names import log_origin
from nomoat.server.notes import tell_of_failed
from nomoat.server.resources import Clock, Provable, provable_of, resources_of
from nomoat.server.storage import Stores, require_log, stores_of
from nomoat.server.watching import watch
from nomoat.server.wiring import Resources, connect, glances_of, resolvers_of, routes_of
from nomoat.stores.budgets import Budgets
from nomoat.stores.keys import KeyStore
from nomoat.stores.rewrapping import Rewrapping
from nomoat.stores.segments import Files
from nomoat.stores.state import State
from nomoat.stores.subject_keys import StoredSubjectKeys
from nomoat.stores.uncommitted import Uncommitted
from nomoat.stores.unscanned import Unscanned


@dataclass(frozen=True, slots=True)
class Gateway:
    """A wired gateway: what the HTTP server serves, and the parts that its tests and console look at."""

    configuration: Configuration
    application: Application
    routes: tuple[Route, ...]
    resolvers: Mapping[type[Operation], Resolver[Any]]
    guard: Guard
    log: Log
    cosigner: Cosigner
    index: Index
    identity: Identity
    declarations: Declarations
    policies: Policies
    history: History
    own: OwnReceipts
    trial: Trial
    lifecycle: Lifecycle
    tracing: Tracing
    comparing: Comparing
    budgets: Budgets
    metrics: Metrics
    shredder: Shredder
    key_rotation: Keys
    rewrapping: Rewrapping
    browsing: Browsing
    reading: Reading
    views: Views
    retrieval: Retrieval
    uploads: Uploads
    inference: Inference
    writing: Writing
    references: References
    uncommitted: Uncommitted
    unscanned: Unscanned
    reports: Reports
    keys: KeyStore
    subject_keys: StoredSubjectKeys
    admission: Admission
    clock: Clock


AcceptOlder: TypeAlias = Callable[[Gateway, State], Awaitable[None]]


@asynccontextmanager
async def open_gateway(
    directory: Path,
    configuration: Configuration,
    clock: Clock,
    files: Files | None = None,
    *,
    accept_older: AcceptOlder | None = None,
    scan: Scan | None = None,
    engine: Engine | None = None,
) -> AsyncGenerator[Gateway]:
    """Wire the gateway of a data directory whose lock the caller holds, and close it on the way out.

    `files` are the log's calls on the file system (None: the real ones). `accept_older` is called before
    anything else happens, and makes a state acceptable that is older than its log says. `scan` looks at what is
    published, `engine` runs queries over views (None: a process of this gateway's, started when there is something to do).

    Raises `Unavailable` or `Corrupt` when a part cannot be opened, `Unavailable` also for such a state
    when nobody accepts it.
    """
    keyring = open_keyring(configuration)
    kek = keyring.load()
    state, apart = State.open(directory / "state.db", kek.derive("state")), Apart(scan, engine)
    try:
        stores = stores_of(directory, keyring, kek, state, apart)
        require_log(directory / "log", stores.subject_keys)
        log = await Log.open(
            directory / "log",
            signing_key=stores.keys.load("log"),
            origin=log_origin(configuration),
            pseudonym_key=stores.keys.load("pseudonyms"),
            subject_keys=stores.subject_keys,
            clock=clock,
            enforcer=configuration.enforcer,
            state=None if accept_older else state.generation,
            files=files,
        )
        try:
            state.follow(log.learn)
            gateway = _wire(configuration, stores, log, provable_of(configuration, stores, log), clock, apart)
            if accept_older is not None:
                await accept_older(gateway, state)
            await log.learn(state.generation)
            await log.append(system_record("Start", {"trust_domain": configuration.trust_domain}))
            await state.empty_journal()  # a destroyed key may lie in it
            await gateway.uncommitted.remove_strays()
            await gateway.identity.retain()  # a crash may have come between a declaration and its effect here
            async with _kept_up(gateway, state):
                yield gateway
        finally:
            await log.close()
    finally:
        await apart.end()
        state.close()


@asynccontextmanager
async def _kept_up(gateway: Gateway, state: State) -> AsyncGenerator[None]:
    """Do beside what is served what has to be done from time to time, and conclude at the end."""
    beside = [
        asyncio.create_task(gateway.guard.strangers.run()),
        asyncio.create_task(keep_deciding(gateway.guard, gateway.configuration.reexamine_s, gateway.clock)),
        asyncio.create_task(gateway.uncommitted.run(tell_of_failed("contents that nobody committed are not removed"))),
        asyncio.create_task(gateway.unscanned.run(tell_of_failed("contents that nobody looked at are not scanned"))),
        asyncio.create_task(gateway.rewrapping.run(tell_of_failed("keys are not wrapped anew"))),
    ]
    try:
        yield
    finally:
        for task in beside:
            task.cancel()
        ended = await asyncio.gather(*beside, return_exceptions=True)
        await gateway.inference.close()
        await _conclude(gateway, state)
        await asyncio.to_thread(gateway.guard.let_go)
        gateway.index.close()
        gateway.retrieval.close()
        # Told only now: the log is concluded whatever became of them.
        for error in ended:
            if error is not None and not isinstance(error, asyncio.CancelledError):
                raise error


async def _conclude(gateway: Gateway, state: State) -> None:
    """Store and record what a running gateway may still have in memory."""
    await gateway.guard.strangers.flush()
    with contextlib.suppress(Unavailable):  # its author was told; it is in force until here
        await gateway.identity.sessions.settle()
    with contextlib.suppress(Unavailable):  # the writes that the log was not told of one by one
        await gateway.log.learn(state.generation)
    gateway.log.post(system_record("Stop", {}))


def _wire(
    configuration: Configuration, stores: Stores, log: Log, provable: Provable, clock: Clock, apart: Apart
) -> Gateway:
    parts = resources_of(configuration, stores, log, provable, clock, apart)
    resolvers = resolvers_of(parts)
    guard = _guard(configuration, parts, resolvers, log, clock)
    connect(parts, guard)
    parts.shredder.listen(lambda commit, _: apart.engine.forget(commit))
    admission = Admission(configuration.limits, guard.strangers.count)
    status = Status(watch(configuration, log, stores.state, guard, admission, parts.inference.health, clock))
    resolvers[ReadStatus] = status.resolve
    routes = (*routes_of(parts, guard, log), *StatusEndpoint(guard, status).routes())
    return Gateway(
        configuration=configuration,
        application=Application(
            *(guard, routes, lambda: parts.identity.proofs.nonces.current(clock())),
            {"hub": error_headers},
            {dialect.value: partial(error_body, dialect) for dialect in Dialect},
        ),
        routes=routes,
        resolvers=resolvers,
        guard=guard,
        log=log,
        cosigner=provable.cosigner,
        index=provable.index,
        identity=parts.identity,
        declarations=parts.declarations,
        policies=parts.policies,
        history=parts.history,
        own=parts.own,
        trial=parts.trial,
        lifecycle=parts.lifecycle,
        tracing=parts.tracing,
        comparing=parts.comparing,
        budgets=parts.budgets,
        metrics=parts.metrics,
        shredder=parts.shredder,
        key_rotation=parts.keys,
        rewrapping=parts.rewrapping,
        browsing=parts.browsing,
        reading=parts.reading,
        views=parts.views,
        retrieval=parts.retrieval,
        uploads=parts.uploads,
        inference=parts.inference,
        writing=parts.writing,
        references=parts.references,
        uncommitted=parts.uncommitted,
        unscanned=parts.unscanned,
        reports=parts.reports,
        keys=stores.keys,
        subject_keys=stores.subject_keys,
        admission=admission,
        clock=clock,
    )


def _guard(
    configuration: Configuration,
    parts: Resources,
    resolvers: Mapping[type[Operation], Resolver[Any]],
    log: Log,
    clock: Clock,
) -> Guard:
    # The epoch is asked for three times in each request: what it is of is looked up once.
    sessions, declarations, policies = parts.identity.sessions, parts.declarations, parts.policies
    catalog, lineage, retrieval = parts.catalog, parts.catalog.lineage, parts.retrieval
    return _guard_class(configuration)(
        authenticator=parts.identity.authenticator,
        resolvers=resolvers,
        glances=glances_of(parts),
        policies=lambda: parts.policies.current,
        candidate=lambda: parts.trial.candidate,
        epoch=lambda: (
            sessions.generation,
            declarations.current.generation,
            policies.current.digest,
            catalog.generation,
            lineage.generation,
            retrieval.generation,
        ),
        log=log,
        clock=clock,
    )


def _guard_class(configuration: Configuration) -> Callable[..., Guard]:
    """The guard, or the one that tells OpenTelemetry of its steps: then, and only then, is that loaded."""
    if not configuration.traces:
        return Guard
    from nomoat.guard.tracing import TracedGuard  # noqa: PLC0415
    from nomoat.server.tracing import open_tracer  # noqa: PLC0415

    return partial(TracedGuard, open_tracer(configuration.traces))
