"""The resources of a gateway, over what a data directory holds: each gets what it needs, and nothing else."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

from nomoat.audit.cosigning import Cosigner
from nomoat.audit.entries import Pseudonyms
from nomoat.audit.evidence import Evidence
from nomoat.audit.index import Index
from nomoat.audit.log import Log
from nomoat.audit.reading import Reader
from nomoat.audit.reports import Reports
from nomoat.core.directory import Directory
from nomoat.identity import CertificateAuthority, Identity, TrustDomain
from nomoat.inspection.naming import worse_by_name
from nomoat.resources.directory import Declarations
from nomoat.resources.erasure import Erasure
from nomoat.resources.history import History, PolicySets
from nomoat.resources.identities import Anchor, Identities
from nomoat.resources.keys import Keys
from nomoat.resources.log import LogReading
from nomoat.resources.metrics.metrics import Metrics
from nomoat.resources.policies import Policies, former, versions
from nomoat.resources.policy_reading import PolicyReading
from nomoat.resources.receipts import OwnReceipts
from nomoat.resources.repositories import Browsing, Catalog, Reading, References, Writing
from nomoat.resources.repositories.comparing import Comparing
from nomoat.resources.repositories.lifecycle import Lifecycle
from nomoat.resources.repositories.lineage import Tracing
from nomoat.resources.repositories.provenance import describer
from nomoat.resources.repositories.shredding import Shredder
from nomoat.resources.repositories.signatures import Signatures
from nomoat.resources.repositories.views import Views
from nomoat.resources.retrieval import Uploads
from nomoat.resources.trial import Trial
from nomoat.server.apart import Apart
from nomoat.server.configuration import Configuration
from nomoat.server.inference import inference_of
from nomoat.server.names import INDEX_FILE
from nomoat.server.notes import note_removal, note_rewrapped, note_scan
from nomoat.server.retrieval import retrieval_of
from nomoat.server.signing import signatory_of
from nomoat.server.storage import Stores
from nomoat.server.wiring import Resources
from nomoat.stores.budgets import Budgets
from nomoat.stores.rewrapping import Rewrapping
from nomoat.stores.rounds import Rounds
from nomoat.stores.shredding import Shredding
from nomoat.stores.uncommitted import Uncommitted
from nomoat.stores.unscanned import Unscanned

FORMER = 16  # sets of policies that were in force and are kept compiled

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Provable:
    """What makes the log evidence for others, and what finds things in it."""

    cosigner: Cosigner
    evidence: Evidence
    index: Index


def provable_of(configuration: Configuration, stores: Stores, log: Log) -> Provable:
    """What makes the log evidence for others, and what finds things in it."""
    directory, keys = stores.directory / "log", stores.subject_keys
    reader = Reader(directory, log.verifier_key, Pseudonyms(stores.keys.load("pseudonyms")), keys)
    index = Index(stores.directory / INDEX_FILE, stores.index_key, directory, reader, keys.newest_erasure)
    witnesses = [witness.verifier_key for witness in configuration.all_witnesses]
    cosigner = Cosigner(log, directory, witnesses, configuration.witness_quorum)
    return Provable(cosigner, Evidence(log, directory, keys, index, lambda: cosigner.newest), index)


def _identity(configuration: Configuration, stores: Stores, declarations: Declarations, clock: Clock) -> Identity:
    root = stores.keys.load("authority-certificate").decode("ascii")
    trust_domain = TrustDomain(configuration.trust_domain)
    return Identity(
        authority=CertificateAuthority.from_keys(trust_domain, stores.keys.load("authority"), root),
        token_key=stores.keys.load("tokens"),
        state=stores.state,
        directory=lambda: declarations.current,
        clock=clock,
        token_life=configuration.token_lifetime_s,
    )


def resources_of(
    configuration: Configuration, stores: Stores, log: Log, provable: Provable, clock: Clock, apart: Apart
) -> Resources:
    """Every part that requests reach, wired to what it stands on."""
    declarations, catalog, budgets = Declarations(stores.state, clock), Catalog(stores.state), Budgets(stores.state)
    declared: Callable[[], Directory] = lambda: declarations.current  # noqa: E731  # said a dozen times below
    identity, sessions = _identity(configuration, stores, declarations, clock), catalog.lineage.sessions
    policies, postgres = Policies(stores.state, clock), configuration.postgres
    trial = Trial(stores.state, lambda: policies.current, clock)
    sets = PolicySets(
        active=lambda: policies.current,
        candidate=lambda: trial.candidate,
        former=lru_cache(maxsize=FORMER)(partial(former, stores.state)),
        versions=partial(versions, stores.state),
    )
    uncommitted = Uncommitted(stores.state, stores.objects, clock, partial(note_removal, log))
    unscanned = Unscanned(
        stores.state, catalog, stores.objects, apart.scan, worse_by_name, partial(note_scan, log), clock
    )
    rewrapping = Rewrapping(stores.state, stores.keys, stores.kek, partial(note_rewrapped, log))
    shredding = Shredding(stores.state, catalog, stores.objects, uncommitted.discard)
    reports = Reports(log, stores.chunks)
    signatures = Signatures(catalog, stores.objects, signatory_of(identity.authority, clock()))
    return Resources(
        declarations=declarations,
        policies=policies,
        history=History(log, sets, clock),
        trial=trial,
        policy_reading=PolicyReading(stores.state, policies, trial),
        identity=identity,
        identities=Identities(identity, Anchor(str(log.verifier_key), log.checkpoint), sessions.label, clock),
        catalog=catalog,
        lifecycle=Lifecycle(declared, catalog, signatures, clock, worse_by_name),
        comparing=_comparing(stores, declared, catalog, policies),
        shredder=Shredder(declared, catalog, shredding, clock),
        keys=Keys(stores.keyring, stores.kek, rewrapping),
        rewrapping=rewrapping,
        budgets=budgets,
        metrics=Metrics(declared, catalog, stores.objects, budgets, apart.tabulate, apart.noise, clock),
        browsing=Browsing(declared, catalog, lambda: policies.current.index.repositories),
        tracing=Tracing(stores.state, declared, catalog, clock),
        reading=Reading(catalog, stores.objects, signatures, clock),
        retrieval=retrieval_of(stores, declared, sets.active, sessions, apart.read_document, clock, postgres),
        uploads=Uploads(declared, clock),
        inference=inference_of(stores, declared, catalog, clock),
        views=Views(declared, catalog, stores.objects, apart.engine, stores.key_of, clock),
        writing=Writing(
            *(catalog, stores.objects, identity.capabilities, clock, apart.scan, worse_by_name),
            signatures.signatory,
            describer(configuration.trust_domain, signatures.signatory.signer.sign),
        ),
        references=References(catalog, uncommitted.discard, clock),
        uncommitted=uncommitted,
        unscanned=unscanned,
        log=LogReading(log, reports, provable.evidence, provable.index, clock),
        evidence=provable.evidence,
        own=OwnReceipts(provable.evidence, sets),
        erasure=Erasure(log, stores.subject_keys, stores.chunks.drop, [reports.clear, stores.contents.forget]),
        reports=reports,
    )


def _comparing(stores: Stores, declared: Callable[[], Directory], catalog: Catalog, policies: Policies) -> Comparing:
    named = lambda: policies.current.index.files  # noqa: E731
    return Comparing(declared, catalog, Rounds(stores.state), stores.profiles, named)
