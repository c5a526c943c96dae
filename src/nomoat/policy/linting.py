"""Linting: what compiles and is still probably not what its author meant, with its position.

Rules: pure. A finding never changes what decides. Every policy that is looked at has passed
`compile_policies`. With a directory at hand, names that nobody declared are found, too.
"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from nomoat.core.directory import Directory
from nomoat.core.names import Classification
from nomoat.core.principal import Binding
from nomoat.policy import cedar
from nomoat.policy.cedar import Policy
from nomoat.policy.compilation import compile_policies
from nomoat.policy.index import CIRCUMSTANCES
from nomoat.policy.scope import scope
from nomoat.policy.snapshot import PolicySnapshot
from nomoat.policy.source import Clause, clauses
from nomoat.policy.syntax import Attribute, comparisons, groups, reads

LEVELS: Final = frozenset(Classification)
_BINDINGS: Final = frozenset(binding.value for binding in Binding)
POSSIBLE: Final[Mapping[Attribute, frozenset[str]]] = {
    Attribute("context", "binding"): _BINDINGS,
    Attribute("context", "obtained"): _BINDINGS,
    Attribute("resource", "repository_kind"): frozenset({"dataset", "model", ""}),
    Attribute("resource", "subject_kind"): frozenset({"person", "workload", "device", "session"}),
}
_LEVELLED: Final = frozenset({Attribute("principal", "clearance"), Attribute("resource", "classification")})


class Finding(NamedTuple):
    """One thing to look at: `FILE:LINE:COLUMN`, the policy's id, the rule's name, and what to do."""

    position: str
    policy: str
    rule: str
    message: str


def lint(files: Mapping[str, str], declared: Directory | None = None) -> tuple[Finding, ...]:
    """Look at policies by file name. Raises as `compile_policies` does for what does not compile."""
    snapshot = compile_policies(files)
    places = dict(_clauses(snapshot))
    found: list[Finding] = []
    for name in snapshot.ids:
        found.extend(_look(name, snapshot.policies[name], places[name], declared))
    found.extend(_repeated(snapshot, places))
    return tuple(sorted(found, key=_place))


def _place(finding: Finding) -> tuple[str, int, int]:
    file, line, column = finding.position.rsplit(":", 2)
    return file, int(line), int(column)


def _clauses(snapshot: PolicySnapshot) -> Iterator[tuple[str, Clause]]:
    """Where each policy lies; a set that compiled has one clause for each policy, in the order of the text."""
    for file, text in snapshot.files.items():
        for clause in clauses(file, text):
            (policy,), _ = cedar.parse_text(clause.text)
            annotations = policy["annotations"]
            if isinstance(annotations, Mapping):
                yield str(annotations["id"]), clause


def _look(name: str, policy: Policy, clause: Clause, declared: Directory | None) -> Iterator[Finding]:
    def finding(rule: str, message: str, quoting: str = "") -> Finding:
        return Finding(clause.position(f"`{quoting}`" if quoting else ""), name, rule, message)

    if policy["effect"] == "permit" and not policy["conditions"]:
        principal, _, resource = scope(policy)
        if principal is not None and not any(principal) and resource is not None and not any(resource):
            yield finding("permits-everyone", "it permits everyone; name a group, a kind or a condition")
    for read in sorted(reads(policy)):
        if read.variable == "context" and read.name not in CIRCUMSTANCES:
            yield finding(
                "never-there",
                f"the context never has {read.name}; it has {', '.join(sorted(CIRCUMSTANCES))}",
                read.name,
            )
    for read, operator, value in comparisons(policy):
        possible = POSSIBLE.get(read)
        if possible is not None and isinstance(value, str) and value not in possible:
            said = ", ".join(f'"{each}"' for each in sorted(possible))
            yield finding("never-equal", f'{read} is never "{value}"; it is one of {said}', f'"{value}"')
        if read in _LEVELLED and type(value) is int and operator != "in" and value not in LEVELS:
            yield finding("never-equal", f"{read} is from 0 (public) to 3 (restricted), never {value}", str(value))
    if declared is not None:
        yield from (finding(*undeclared) for undeclared in _undeclared(policy, declared))


def _undeclared(policy: Policy, declared: Directory) -> Iterator[tuple[str, str, str]]:
    """Names in a policy that the directory does not have: mostly misspelt ones."""
    for group in sorted(groups(policy) - declared.groups):
        yield "undeclared", f"no group {group} is declared", group
    segments = {workload.segment for workload in declared.workloads.values()}
    labels = frozenset[str]().union(*(each.labels for each in declared.repositories.values()))
    labels = labels.union(*(rule.labels for each in declared.repositories.values() for rule in each.files))
    for read, _, value in comparisons(policy):
        if read == ("principal", "segment") and value not in segments and value != "":
            yield "undeclared", f"no workload of segment {value} is declared", f'"{value}"'
        if read == ("resource", "labels") and value not in labels:
            yield "undeclared", f"nothing declared has the label {value}", f'"{value}"'


def _repeated(snapshot: PolicySnapshot, places: Mapping[str, Clause]) -> Iterator[Finding]:
    """Policies that say the same under another id."""
    seen: dict[str, str] = {}
    for name in snapshot.ids:
        said = repr({part: value for part, value in snapshot.policies[name].items() if part != "annotations"})
        if said in seen:
            yield Finding(places[name].position(), name, "repeated", f"it says the same as {seen[said]}")
        seen.setdefault(said, name)
