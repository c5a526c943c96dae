"""Callers, targets and circumstances for the tests of the policy room, with defaults that permit."""

from nomoat.core._seal import SEAL
from nomoat.core.decision import Allow, Context, Decision, Deny
from nomoat.core.names import Classification
from nomoat.core.operation import Target
from nomoat.core.principal import Binding, Principal, PrincipalKind
from nomoat.policy import PolicySnapshot, compile_policies, decide

PUBLIC, INTERNAL, CONFIDENTIAL, RESTRICTED = Classification

EVERYTHING = '@id("everything") permit (principal, action, resource);'


def person(name: str = "ada", *groups: str, clearance: Classification = PUBLIC) -> Principal:
    return _principal(PrincipalKind.PERSON, name, groups, clearance, "")


def workload(name: str = "train", *groups: str, segment: str = "", clearance: Classification = PUBLIC) -> Principal:
    return _principal(PrincipalKind.WORKLOAD, name, groups, clearance, segment)


def _principal(
    kind: PrincipalKind, name: str, groups: tuple[str, ...], clearance: Classification, segment: str
) -> Principal:
    return Principal(
        kind=kind,
        name=name,
        identifier=f"spiffe://acme.example/{name}",
        groups=frozenset(groups),
        clearance=clearance,
        segment=segment,
        session="s-1",
        device="",
        binding=Binding.MTLS,
        obtained=Binding.MTLS,
        authenticated_at=1_700_000_000,
        expires_at=1_700_003_600,
        seal=SEAL,
    )


def context(
    binding: Binding = Binding.MTLS, *, obtained: Binding | None = None, source: str = "10.0.4.7", auth_age: int = 60
) -> Context:
    return Context(
        at=1_700_000_000,
        binding=binding,
        obtained=obtained or binding,
        auth_age=auth_age,
        source=source,
        session="s-1",
    )


def dataset(name: str = "acme/digits", **traits: object) -> Target:
    return Target("Dataset", name, name)._replace(**traits)  # type: ignore[arg-type]  # a test's shorthand


def model(name: str = "acme/reader", **traits: object) -> Target:
    return Target("Model", name, name)._replace(**traits)  # type: ignore[arg-type]  # a test's shorthand


def file(path: str = "data/train.parquet", *, of: Target | None = None, **traits: object) -> Target:
    """A file of a repository, with the repository's classification and owner unless said otherwise."""
    whole = of or dataset()
    target = Target(
        "File",
        f"{whole.id}:{path}",
        f"{whole.name}:{path}",
        classification=whole.classification,
        owner_group=whole.owner_group,
        owner_person=whole.owner_person,
        parents=((whole.kind, whole.id),),
    )
    return target._replace(**traits)  # type: ignore[arg-type]  # a test's shorthand


def view(name: str = "masked", *, of: Target | None = None, **traits: object) -> Target:
    """A view of a dataset, with the dataset's classification and owner unless said otherwise."""
    return file(name, of=of)._replace(kind="View", **traits)  # type: ignore[arg-type]  # a test's shorthand


def endpoint(name: str = "acme/chat", **traits: object) -> Target:
    return Target("Endpoint", name, name)._replace(**traits)  # type: ignore[arg-type]  # a test's shorthand


def upstream(name: str = "internal", *, cleared: Classification = PUBLIC, stage: str = "", **traits: object) -> Target:
    """A server, and by the classification and labels what would be sent there; `stage` is that of weights from here."""
    stood = (("stage", stage),) if stage else ()
    told = (("external", True), ("redacted", False), ("region", ""), ("retention", False))
    facts = (("cleared", cleared.value), *told, *stood)
    return Target("Upstream", name, name, facts=facts)._replace(**traits)  # type: ignore[arg-type]  # the same


def source(name: str = "acme/engine", *, cleared: str = "engine-team") -> Target:
    """Registered source code, and who may have it."""
    return Target("Source", name, name, owner_group=cleared)


def library(name: str = "handbook", **traits: object) -> Target:
    """An index."""
    return Target("Index", name, name)._replace(**traits)  # type: ignore[arg-type]  # a test's shorthand


def document(
    name: str = "leave.md", *, listed: bool = False, shared: bool = False, owned: bool = False, **traits: object
) -> Target:
    """A document in an index, as it is to a caller."""
    facts = (("listed", listed), ("shared", shared), ("owned", owned))
    of = Target("Document", f"handbook:{name}", name, parents=(("Index", "handbook"),), facts=facts)
    return of._replace(**traits)  # type: ignore[arg-type]  # the same


def identity(subject: str = "person:ada", kind: str = "person") -> Target:
    return Target("Identity", subject, subject, facts=(("subject_kind", kind), ("subject", subject)))


def directory(*, widens_self: bool = False) -> Target:
    return Target("Directory", "directory", "directory", facts=(("widens_self", widens_self),))


LOG = Target("Log", "log", "log")
RECORDS = Target("LogRecord", "records", "record 7", facts=(("subject", ""),))
GATEWAY = Target("Gateway", "gateway", "gateway")
POLICIES = Target("PolicySet", "policies", "policies")


def compiled(*texts: str) -> PolicySnapshot:
    return compile_policies({f"{number}.cedar": text for number, text in enumerate(texts)})


def ask(
    policies: PolicySnapshot | str,
    who: Principal,
    action: str,
    *targets: Target,
    given: Context | None = None,
) -> Decision:
    snapshot = compiled(policies) if isinstance(policies, str) else policies
    return decide(snapshot, who, action, targets, given or context())


def allowed(decision: Decision) -> tuple[str, ...]:
    assert isinstance(decision, Allow), decision
    return decision.policies


def denied(decision: Decision) -> Deny:
    assert isinstance(decision, Deny), decision
    return decision
