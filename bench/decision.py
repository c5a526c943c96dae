"""A decision with 1,000 policies of which 50 can apply, uncached: targets differ from call to call."""

from itertools import cycle

from bench.measure import Figure, median_us
from nomoat.core._seal import SEAL
from nomoat.core.decision import Allow, Context
from nomoat.core.names import Classification
from nomoat.core.operation import Target
from nomoat.core.principal import Binding, Principal, PrincipalKind
from nomoat.policy.engine import compile_policies, decide, evaluate

POLICIES = 1000
APPLYING = 50
TARGETS = 500


def policies() -> str:
    """50 policies that may apply to the caller, and 950 for other groups and actions."""
    texts: list[str] = []
    for number in range(POLICIES):
        if number < APPLYING:
            scope = 'principal in NoMoat::Group::"g0", action == NoMoat::Action::"ReadFile", resource'
        elif number % 2:
            scope = f'principal in NoMoat::Group::"g{number}", action == NoMoat::Action::"ReadFile", resource'
        else:
            scope = f'principal in NoMoat::Group::"g{number}", action == NoMoat::Action::"WriteFile", resource'
        texts.append(f'@id("p{number}") permit ({scope}) when {{ resource.labels.contains("label{number}") }};')
    return "\n".join(texts)


def principal() -> Principal:
    """A person in one group."""
    return Principal(
        kind=PrincipalKind.PERSON,
        name="ada",
        identifier="spiffe://acme.example/person/ada/device/d-1",
        groups=frozenset({"g0"}),
        clearance=Classification.CONFIDENTIAL,
        segment="",
        session="s-1",
        device="d-1",
        binding=Binding.MTLS,
        obtained=Binding.MTLS,
        authenticated_at=0,
        expires_at=1 << 40,
        seal=SEAL,
    )


def targets() -> list[Target]:
    """Files with one label each, all in one dataset."""
    return [
        Target(
            "File",
            f"dataset:acme/d:{number}",
            f"acme/d@1:{number}",
            "1",
            Classification.INTERNAL,
            frozenset({f"label{number % APPLYING}"}),
            parents=(("Dataset", "acme/d"),),
            facts=(("repository_kind", "dataset"),),
        )
        for number in range(TARGETS)
    ]


def measure() -> list[Figure]:
    """The decision's time in microseconds."""
    snapshot, who = compile_policies({"bench.cedar": policies()}), principal()
    files, moments = cycle(targets()), cycle(range(1_800_000_000, 1_800_010_000))

    def once() -> None:
        at = next(moments)
        evaluate.cache_clear()  # every decision is evaluated by Cedar
        context = Context(at, Binding.MTLS, Binding.MTLS, 5, "127.0.0.1", "s-1")
        decision = decide(snapshot, who, "ReadFile", (next(files),), context)
        if not isinstance(decision, Allow):
            raise TypeError(decision)

    once()
    return [Figure("decision, 1,000 policies, 50 apply", median_us(once, each=1000), "µs", "at most", 100)]
