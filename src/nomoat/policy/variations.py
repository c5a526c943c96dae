"""Variations of what was asked, for Cedar to decide: one attribute of it different, as a person would say it.

Rules: only attributes that some policy about the action reads, and only values that it compares them
with (or the few that exist). What an action is, and on what kind of thing, is never varied: that would
be another question. A target's attributes vary for every target that decides like the first refused one.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from ipaddress import ip_network
from typing import Final, cast

from nomoat.core.decision import Allow
from nomoat.core.names import Classification
from nomoat.core.operation import Target
from nomoat.core.principal import Binding, PrincipalKind
from nomoat.policy import cedar
from nomoat.policy.cedar import ACTION, Policy
from nomoat.policy.engine import decide_again
from nomoat.policy.entities import MAX_INTEGER, Caller
from nomoat.policy.question import Question
from nomoat.policy.scope import scope
from nomoat.policy.snapshot import PolicySnapshot
from nomoat.policy.syntax import Attribute, comparisons, groups, literals, nodes, reads

LEVELS: Final = tuple(Classification)
GRADED: Final = frozenset({"clearance", "classification", "auth_age", "at"})
"""What varies by degrees; the nearest of its values come first."""
CLEARANCE, SEGMENT = Attribute("principal", "clearance"), Attribute("principal", "segment")
CLASSIFICATION, LABELS = Attribute("resource", "classification"), Attribute("resource", "labels")
WORDS: Final = {
    "binding": "the credential's binding",
    "obtained": "the credential obtained over",
    "auth_age": "the seconds since authentication",
    "at": "the time",
    "source": "the address",
}
Values = dict[Attribute, set[str | int | bool]]
OWNER_GROUP, OWNER_PERSON = Attribute("resource", "owner_group"), Attribute("resource", "owner_person")


@dataclass(frozen=True, slots=True)
class Variation:
    """One thing that is different: `slot` is what, `said` how a person would put it."""

    slot: str
    said: str
    apply: Callable[[Question], Question] = field(repr=False, compare=False)

    def __str__(self) -> str:
        return self.said


def variations(snapshot: PolicySnapshot, question: Question) -> tuple[Variation, ...]:
    """Everything that is tried one by one, and then together."""
    policies = [policy for policy in snapshot.policies.values() if _is_about(policy, question.action)]
    values: Values = {}
    for policy in policies:
        for read in reads(policy):
            values.setdefault(read, set())
        for read, _, value in comparisons(policy):
            values[read].add(value)
    named = frozenset[str]().union(*(groups(policy) for policy in policies))
    turned = _turned(snapshot, question)
    return (
        *_of_principal(question, values, named, turned),
        *_of_resource(question, values, named, turned),
        *_of_context(question, values, policies),
    )


def _is_about(policy: Policy, action: str) -> bool:
    about = scope(policy).action
    above = frozenset((ACTION, name) for name in cedar.groups_of_actions().get(action, ()))
    return about is None or about.holds((ACTION, action), above)


def _turned(snapshot: PolicySnapshot, question: Question) -> frozenset[int]:
    """Which targets a change of a target is about: those that decide as the whole does."""
    if len(question.targets) == 1:
        return frozenset({0})
    was = isinstance(decide_again(snapshot, question), Allow)
    alone = [decide_again(snapshot, replace(question, targets=(target,))) for target in question.targets]
    return frozenset(number for number, each in enumerate(alone) if isinstance(each, Allow) is was)


def _of_principal(
    question: Question, values: Values, named: frozenset[str], turned: frozenset[int]
) -> Iterator[Variation]:
    kind, _, mine, clearance, segment = question.who
    for level in _levels(clearance) if CLEARANCE in values else ():
        said = f"the caller's clearance {level.name.lower()} (it was {clearance.name.lower()})"
        yield Variation("clearance", said, partial(_with_who, 3, level))
    if kind is PrincipalKind.WORKLOAD:
        for value in sorted(str(value) for value in values.get(SEGMENT, ()) if value != segment):
            said = f'the caller in the segment {value} (it was "{segment}")'
            yield Variation("segment", said, partial(_with_who, 4, value))
    owning = {question.targets[number].owner_group for number in turned} - {""}
    for group in sorted(named | owning if OWNER_GROUP in values else named):
        there = group not in mine
        said = f"the caller {'in' if there else 'not in'} the group {group}"
        yield Variation(f"group {group}", said, partial(_with_group, group))


def _levels(now: Classification) -> list[Classification]:
    return sorted((level for level in LEVELS if level != now), key=lambda level: (abs(level - now), level))


def _of_resource(
    question: Question, values: Values, named: frozenset[str], turned: frozenset[int]
) -> Iterator[Variation]:
    first = question.targets[min(turned, default=0)]

    def on(slot: str, said: str, change: Callable[[Target], Target]) -> Variation:
        return Variation(slot, said, partial(_with_targets, turned, change))

    for level in _levels(first.classification) if CLASSIFICATION in values else ():
        said = f"it classified {level.name.lower()} (it was {first.classification.name.lower()})"
        yield on("classification", said, partial(Target._replace, classification=level))
    for label in sorted(str(value) for value in values.get(LABELS, ())):
        there = label not in first.labels
        yield on(f"label {label}", f"the label {label} {'on' if there else 'not on'} it", partial(_labelled, label))
    for group in sorted((question.who[2] | named) - {first.owner_group}) if OWNER_GROUP in values else ():
        yield on(
            "owner",
            f"it owned by the group {group}",
            partial(Target._replace, owner_group=group, owner_person=""),
        )
    kind, name = question.who[:2]
    if OWNER_PERSON in values and kind is PrincipalKind.PERSON and first.owner_person != name:
        yield on("owner", "it owned by the caller", partial(Target._replace, owner_group="", owner_person=name))
    for fact, value in first.facts:
        if isinstance(value, bool) and Attribute("resource", fact) in values:
            yield on(fact, f"{fact} {str(not value).lower()}", partial(_with_fact, fact, not value))


def _of_context(question: Question, values: Values, policies: list[Policy]) -> Iterator[Variation]:
    for read in sorted(values):
        if read.variable != "context" or read.name not in WORDS:
            continue
        was = question.given[read.name]
        for value in _circumstances(read, was, values[read], policies):
            if value != was:
                said = f"{WORDS[read.name]} {value} (it was {was})"
                yield Variation(read.name, said, partial(_with_circumstance, read.name, value))


def _circumstances(
    read: Attribute, was: str | int, compared: set[str | int | bool], policies: list[Policy]
) -> Iterable[str | int]:
    """The values of a circumstance that can make a difference."""
    if read.name in {"binding", "obtained"}:
        return [binding.value for binding in Binding]
    if read.name == "source":
        return sorted(addresses(policies))
    numbers = [value for value in compared if isinstance(value, int)]
    possible = {value + step for value in numbers for step in (-1, 0, 1) if 0 <= value + step <= MAX_INTEGER}
    now = was if isinstance(was, int) else 0
    nearest = sorted(possible, key=lambda value: (abs(value - now), value))
    return [*nearest]


def _with_who(place: int, value: object, asked: Question) -> Question:
    parts: list[object] = [*asked.who]
    parts[place] = value
    return replace(asked, who=cast("Caller", tuple(parts)))


def _with_group(group: str, asked: Question) -> Question:
    kind, name, mine, clearance, segment = asked.who
    return replace(asked, who=(kind, name, mine ^ {group}, clearance, segment))


def _with_targets(turned: frozenset[int], change: Callable[[Target], Target], asked: Question) -> Question:
    changed = [change(each) if number in turned else each for number, each in enumerate(asked.targets)]
    return replace(asked, targets=tuple(changed))


def _labelled(label: str, target: Target) -> Target:
    return target._replace(labels=target.labels ^ {label})


def _with_fact(name: str, value: str | int | bool, target: Target) -> Target:
    return target._replace(facts=tuple((each, value if each == name else was) for each, was in target.facts))


def _with_circumstance(name: str, value: str | int, asked: Question) -> Question:
    return replace(asked, given={**asked.given, name: value})


def addresses(policies: Iterable[Policy]) -> set[str]:
    """An address of each network that policies name."""
    found: set[str] = set()
    for policy in policies:
        for node in nodes(policy["conditions"]):
            match node:
                case {"ip": call}:
                    for value in literals(call):
                        try:
                            found.add(str(ip_network(str(value), strict=False)[0]))
                        except ValueError:
                            continue
                case _:
                    pass
    return found
