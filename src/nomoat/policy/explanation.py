"""Explaining a decision: what was read for it, and the least that would have had to differ.

Rules: nothing is guessed. The syntax trees of the policies suggest variations of what was asked; Cedar
decides each of them, and only what it decides otherwise is told. Smaller sets of changes come before
larger ones, so what is found is the smallest there is among the variations that were tried; whether all
up to a size were, is said.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final, NamedTuple

from nomoat.core.decision import Allow
from nomoat.core.operation import Target
from nomoat.policy.engine import decide_again
from nomoat.policy.entities import PRINCIPAL_TYPES, traits
from nomoat.policy.question import Question
from nomoat.policy.snapshot import PolicySnapshot
from nomoat.policy.syntax import Attribute, reads
from nomoat.policy.variations import GRADED, Variation, variations

MOST_CHANGES: Final = 4  # at once
MOST_EVALUATIONS: Final = 6_000  # about half a second
MOST_WAYS: Final = 12


class Way(NamedTuple):
    """Changes that together turn the decision, and the policies that then decide."""

    changes: tuple[Variation, ...]
    policies: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Differences:
    """The smallest sets of changes that turn a decision; `complete` up to how many changes all were tried."""

    ways: tuple[Way, ...]
    complete: int


class Considered(NamedTuple):
    """A policy whose scope holds for what was asked: its id and effect, and whether it applied."""

    id: str
    effect: str
    applies: bool


def differences(snapshot: PolicySnapshot, question: Question) -> Differences:
    """Find the smallest sets of changes under which these policies decide otherwise."""
    was = isinstance(decide_again(snapshot, question), Allow)
    candidates = variations(snapshot, question)
    tried = 0
    for size in range(1, min(MOST_CHANGES, len(candidates)) + 1):
        ways: list[Way] = []
        for chosen in combinations(candidates, size):
            if len({each.slot for each in chosen}) < size:
                continue
            if tried >= MOST_EVALUATIONS:
                return Differences(tuple(_nearest(ways)[:MOST_WAYS]), size - 1)
            tried += 1
            decision = decide_again(snapshot, varied(question, chosen))
            # Whatever cannot be evaluated is refused, too; nobody is told to bring about such a thing.
            if isinstance(decision, Allow) is not was and (isinstance(decision, Allow) or not decision.detail):
                ways.append(Way(chosen, decision.policies))
        ways = _nearest(ways)
        if ways:
            return Differences(tuple(ways[:MOST_WAYS]), size)
    return Differences((), min(MOST_CHANGES, len(candidates)))


def _nearest(ways: Sequence[Way]) -> list[Way]:
    """Of ways that differ only in how far a level or a number moves, the first: the nearest."""
    first: dict[tuple[str, ...], Way] = {}
    for way in ways:
        first.setdefault(tuple(each.slot if each.slot in GRADED else each.said for each in way.changes), way)
    return list(first.values())


def varied(question: Question, changes: Sequence[Variation]) -> Question:
    """What would be asked with these changes."""
    for change in changes:
        question = change.apply(question)
    return question


def considered(snapshot: PolicySnapshot, question: Question) -> tuple[Considered, ...]:
    """The policies whose scope holds, and whether each applied to (one of) the targets."""
    applied: dict[str, bool] = {}
    for name in _applicable(snapshot, question):
        alone = snapshot.restricted([name])
        asked = decide_again(alone, question)
        applied[name] = isinstance(asked, Allow) or name in asked.policies
    return tuple(Considered(name, str(snapshot.policies[name]["effect"]), holds) for name, holds in applied.items())


def what_was_read(snapshot: PolicySnapshot, question: Question) -> tuple[Attribute, ...]:
    """The attributes that the policies whose scope holds may have read."""
    names = _applicable(snapshot, question)
    return tuple(sorted({read for name in names for read in reads(snapshot.policies[name])}))


def readings(snapshot: PolicySnapshot, question: Question) -> tuple[tuple[str, str], ...]:
    """What was read, by name, with its values as a person would write them; of many targets, each value once."""
    told = {"caller's groups": ", ".join(sorted(question.who[2])) or "none"}
    for read in what_was_read(snapshot, question):
        if read.variable == "resource":
            values = {_value(read, question, target) for target in question.targets}
        else:
            values = {_value(read, question, question.targets[0])}
        told[str(read)] = "; ".join(sorted(values))
    return tuple(told.items())


def _value(read: Attribute, question: Question, target: Target) -> str:
    kind, name, _, clearance, segment = question.who
    values: dict[str, object] = {
        "principal.subject": f"{kind.value}:{name}",
        "principal.clearance": clearance.name.lower(),
        "principal.segment": segment,
        "resource.classification": target.classification.name.lower(),
        "resource.labels": ", ".join(sorted(target.labels)),
        "resource.owner_group": target.owner_group,
        "resource.owner_person": target.owner_person,
        "resource.repository_kind": (target.parents[0][0] if target.parents else target.kind).lower(),
        **{f"resource.{fact}": value for fact, value in target.facts},
        **{f"context.{circumstance}": value for circumstance, value in question.given.items()},
    }
    value = values.get(str(read), "")
    return str(value).lower() if isinstance(value, bool) else str(value) or "none"


def _applicable(snapshot: PolicySnapshot, question: Question) -> list[str]:
    def each() -> Iterator[str]:
        uid = (PRINCIPAL_TYPES[question.who[0]], question.who[1])
        for target in question.targets:
            on = traits(target, snapshot.index.known)
            yield from snapshot.index.slice(question.action, uid, question.who[2], on[0], on[1]).ids

    return sorted(set(each()))
