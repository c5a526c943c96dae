"""Wiring: which resource answers which Operation, by which route, and what a change must reach.

Rules: an Operation without a resolver and a path without a route are refused. No policy is decided here.
"""

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

from nomoat.audit.evidence import Evidence
from nomoat.audit.log import Log
from nomoat.audit.reports import Reports
from nomoat.core.errors import NoMoatError
from nomoat.core.operation import (
    ApplyDirectory,
    ApplyPolicy,
    DiffVersions,
    Enroll,
    EraseContent,
    ExplainRecord,
    ExportLog,
    FindUnused,
    IssueToken,
    JoinWorkload,
    ListRepositories,
    ListVersions,
    LowerLabel,
    Operation,
    ProveOwnRecord,
    ProveRecord,
    ReadDifferences,
    ReadEntries,
    ReadLineage,
    ReadLog,
    ReadManifest,
    ReadPolicy,
    RegisterDevice,
    RenewCertificate,
    ReportLog,
    Revoke,
    ShredVersion,
    SimulatePolicy,
    TryPolicy,
    ValidateCard,
    Whoami,
)
from nomoat.guard import Guard
from nomoat.guard.guard import Resolver
from nomoat.identity import Identity
from nomoat.protocols.admin import Administration
from nomoat.protocols.admin.craft import PolicyCraft
from nomoat.protocols.admin.datasets import DatasetVersionEndpoints
from nomoat.protocols.admin.evidence import EvidenceEndpoints
from nomoat.protocols.admin.keys import KeyEndpoints
from nomoat.protocols.admin.lineage import LineageEndpoints
from nomoat.protocols.admin.log import LogEndpoint
from nomoat.protocols.admin.metrics import MetricEndpoints
from nomoat.protocols.admin.versions import VersionEndpoints
from nomoat.protocols.http.routes import Route
from nomoat.protocols.hub.browsing import BrowsingEndpoints
from nomoat.protocols.hub.commits import ContentBudget
from nomoat.protocols.hub.references import DatasetReferences, ManagementEndpoints, ModelReferences
from nomoat.protocols.hub.routes import DatasetEndpoints, HubEndpoints, ModelEndpoints
from nomoat.protocols.inference.contents import ContentsEndpoint
from nomoat.protocols.inference.quotas import QuotaEndpoints
from nomoat.protocols.inference.registrations import RegistrationEndpoints
from nomoat.protocols.inference.routes import InferenceEndpoint
from nomoat.protocols.inference.sources import SourceEndpoints
from nomoat.protocols.query import QueryEndpoint
from nomoat.protocols.retrieval import AnsweringEndpoint, DocumentEndpoints, SearchEndpoint
from nomoat.protocols.workload import IdentityEndpoints
from nomoat.resources.cards import Cards
from nomoat.resources.directory import Declarations
from nomoat.resources.erasure import Erasure
from nomoat.resources.history import History
from nomoat.resources.identities import Identities
from nomoat.resources.inference import Inference
from nomoat.resources.keys import Keys
from nomoat.resources.log import LogReading
from nomoat.resources.metrics.metrics import Metrics
from nomoat.resources.policies import Policies
from nomoat.resources.policy_reading import PolicyReading
from nomoat.resources.receipts import OwnReceipts
from nomoat.resources.repositories import Browsing, Catalog, Reading, References, Resolution, Writing
from nomoat.resources.repositories.comparing import Comparing
from nomoat.resources.repositories.lifecycle import Lifecycle
from nomoat.resources.repositories.lineage import Tracing
from nomoat.resources.repositories.shredding import Shredder
from nomoat.resources.repositories.views import Views
from nomoat.resources.retrieval import Retrieval
from nomoat.resources.trial import Trial
from nomoat.stores.budgets import Budgets
from nomoat.stores.rewrapping import Rewrapping
from nomoat.stores.uncommitted import Uncommitted
from nomoat.stores.unscanned import Unscanned

_log = logging.getLogger("nomoat")


@dataclass(frozen=True, slots=True)
class Resources:
    """The parts of a gateway that requests reach, each behind the guard."""

    declarations: Declarations
    policies: Policies
    history: History
    trial: Trial
    policy_reading: PolicyReading
    identity: Identity
    identities: Identities
    catalog: Catalog
    lifecycle: Lifecycle
    tracing: Tracing
    comparing: Comparing
    budgets: Budgets
    metrics: Metrics
    shredder: Shredder
    keys: Keys
    rewrapping: Rewrapping
    browsing: Browsing
    reading: Reading
    views: Views
    retrieval: Retrieval
    inference: Inference
    writing: Writing
    references: References
    uncommitted: Uncommitted
    unscanned: Unscanned
    log: LogReading
    evidence: Evidence
    own: OwnReceipts
    erasure: Erasure
    reports: Reports


def resolvers_of(parts: Resources) -> dict[type[Operation], Resolver[Any]]:
    """Who says what the names of an operation mean; an operation that is missing here is refused."""
    resolvers: dict[type[Operation], Resolver[Any]] = {
        ApplyDirectory: parts.declarations.resolve,
        ApplyPolicy: parts.policies.resolve,
        Enroll: parts.identities.resolve_enroll,
        Revoke: parts.identities.resolve_revoke,
        ReadLog: parts.log.resolve,
        ReadEntries: parts.log.resolve,
        ProveRecord: parts.log.resolve,
        ProveOwnRecord: parts.own.resolve,
        ExplainRecord: parts.history.resolve_record,
        SimulatePolicy: parts.history.resolve_simulation,
        ReadDifferences: parts.history.resolve_differences,
        FindUnused: parts.history.resolve_unused,
        TryPolicy: parts.trial.resolve,
        ReadPolicy: parts.policy_reading.resolve,
        ReportLog: parts.log.resolve,
        ExportLog: parts.log.resolve,
        EraseContent: parts.erasure.resolve,
        **parts.lifecycle.resolvers,
        **parts.tracing.resolvers,
        **parts.comparing.resolvers,
        **parts.views.resolvers,
        **parts.retrieval.resolvers,
        **parts.inference.resolvers,
        **parts.metrics.resolvers,
        ShredVersion: parts.shredder.resolve,
        **parts.keys.resolvers,
        ListRepositories: parts.browsing.resolve,
        **Resolution(
            lambda: parts.declarations.current, parts.catalog, lambda: parts.policies.current.index.files
        ).resolvers,
    }
    for operation in (RegisterDevice, JoinWorkload, RenewCertificate, IssueToken, Whoami, ValidateCard):
        resolvers[operation] = parts.identities.resolve_self
    return resolvers


def glances_of(parts: Resources) -> dict[type[Operation], Resolver[Any]]:
    """What can be said of an operation at a glance, where a full look at what it names costs much."""
    return {
        ApplyDirectory: parts.declarations.glance,
        ApplyPolicy: parts.policies.glance,
        ListVersions: parts.lifecycle.glance,
        ReadLineage: parts.tracing.glance,
        LowerLabel: parts.tracing.glance_lower,
        ReadManifest: parts.comparing.glance,
        DiffVersions: parts.comparing.glance,
    }


def connect(parts: Resources, guard: Guard) -> None:
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
    parts.lifecycle.listen(guard.leases.end_version)
    parts.shredder.listen(guard.leases.end_version)
    parts.unscanned.listen(guard.leases.end_version)
    for changed in (
        parts.lifecycle,
        parts.shredder,
        parts.unscanned,
    ):  # answers of a model are about no version of their own
        changed.listen(lambda _commit, _why: guard.reexamine())
    parts.identity.sessions.listen(lambda sessions: guard.end_sessions(sessions, "the session was revoked"))


def routes_of(parts: Resources, guard: Guard, log: Log) -> tuple[Route, ...]:
    """Every route that is served; what is not here is refused."""
    root, budget = parts.identity.authority.certificate.encode(), ContentBudget()
    return (
        *Administration(guard, parts.declarations, parts.policies, parts.identities).routes(),
        *LogEndpoint(guard, parts.log, parts.erasure).routes(),
        *EvidenceEndpoints(guard, parts.log, parts.own, parts.evidence.checkpoint, parts.evidence.tile).routes(),
        *LineageEndpoints(guard, parts.tracing).routes(),
        *DatasetVersionEndpoints(guard, parts.comparing).routes(),
        *MetricEndpoints(guard, parts.metrics).routes(),
        *VersionEndpoints(guard, parts.lifecycle, parts.shredder).routes(),
        *KeyEndpoints(guard, parts.keys).routes(),
        *PolicyCraft(guard, parts.policy_reading, parts.history, parts.trial).routes(),
        *IdentityEndpoints(guard, parts.identities, root, log.checkpoint, log.consistency).routes(),
        *HubEndpoints(guard, parts.writing, Cards(), parts.identities.whoami).routes(),
        *BrowsingEndpoints(guard, parts.browsing).routes(),
        *DatasetEndpoints(guard, parts.reading, parts.writing, budget).routes(),
        *ModelEndpoints(guard, parts.reading, parts.writing, budget).routes(),
        *QueryEndpoint(guard, parts.views).routes(),
        *SearchEndpoint(guard, parts.retrieval, parts.inference).routes(),
        *AnsweringEndpoint(guard, parts.retrieval, parts.inference).routes(),
        *DocumentEndpoints(guard, parts.retrieval, parts.inference).routes(),
        *InferenceEndpoint(guard, parts.inference).routes(),
        *RegistrationEndpoints(guard, parts.inference.registering).routes(),
        *QuotaEndpoints(guard, parts.inference.quotas).routes(),
        *ContentsEndpoint(guard, parts.inference.contents).routes(),
        *SourceEndpoints(guard, parts.inference.sources).routes(),
        *DatasetReferences(guard, parts.reading, parts.references).routes(),
        *ModelReferences(guard, parts.reading, parts.references).routes(),
        *ManagementEndpoints(guard, parts.reading, parts.references).routes(),
    )
