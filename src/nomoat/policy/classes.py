"""Access classes: which sorts of things policies can tell apart, and which of them a caller may have.

Rules: the class of a thing is what policies that may be about an action read of it: the attributes that they name, the labels
that they ask for one by one, its id where one of them names it. The same engine decides a class as decides the thing. A
condition that uses the resource otherwise than by its attributes, or its labels otherwise than one by one, is taken to read all
of them: a class may be too fine, never too coarse. INVARIANT (same answer): of two things with one class, any caller may have
both or neither, in any circumstances.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from nomoat.core.decision import Allow, Context
from nomoat.core.names import Classification
from nomoat.core.operation import AccessClasses, Target
from nomoat.core.principal import Principal
from nomoat.policy.cedar import Est, Policy
from nomoat.policy.engine import UNFIT, weigh
from nomoat.policy.entities import Caller, caller, circumstances
from nomoat.policy.index import context_reads
from nomoat.policy.snapshot import PolicySnapshot
from nomoat.policy.syntax import Attribute, attribute, literals, nodes

KEPT: Final = 512  # answers, each of one caller, table and policies
KEPT_CALLERS: Final = 64  # whose single decisions are kept besides, in the same circumstances
KEPT_CLASSES: Final = 4096
ANY_OTHER: Final = "other"
"""The id of what stands for things that no policy names; where some policy names that, another one does."""
_LABELS: Final = "labels"
_COMPARED: Final = frozenset({"==", "!=", "in", "is"})
_ASKED: Final = frozenset({"contains", "containsAny", "containsAll"})
_RESOURCE: Final[Est] = {"Var": "resource"}
_RESOURCES_LABELS: Final = Attribute("resource", _LABELS)


class Footprint(NamedTuple):
    """What policies read of the things that an action is on.

    `attributes` are names (`classification`, `labels`, `owner_group`, …), None for all of them; `labels` those that are asked
    for one by one, None for any; `ids` those that some policy names, and `other` one that none does.
    """

    attributes: frozenset[str] | None
    labels: frozenset[str] | None
    ids: frozenset[str]
    other: str = ANY_OTHER

    def reads(self, attribute: str) -> bool:
        """Whether an attribute is read."""
        return self.attributes is None or attribute in self.attributes

    def join(self, other: "Footprint") -> "Footprint":
        """What is read by either."""
        return Footprint(
            None if self.attributes is None or other.attributes is None else self.attributes | other.attributes,
            None if self.labels is None or other.labels is None else self.labels | other.labels,
            self.ids | other.ids,
            _unnamed(self.ids | other.ids),
        )


@lru_cache(maxsize=64)
def footprint(snapshot: PolicySnapshot, action: str, kind: str) -> Footprint:
    """What policies that may be about an action read of resources of a kind (`Document`)."""
    attributes: frozenset[str] | None = frozenset()
    labels: frozenset[str] | None = frozenset()
    for policy in snapshot.index.about(action):
        read, asked = _attributes(policy), _labels(policy)
        attributes = None if attributes is None or read is None else attributes | read
        labels = None if labels is None or asked is None else labels | asked
    ids = snapshot.index.named(f"NoMoat::{kind}")
    return Footprint(attributes, labels, ids, _unnamed(ids))


def _unnamed(ids: frozenset[str]) -> str:
    """An id that is none of these."""
    tried = (ANY_OTHER, *(f"{ANY_OTHER}-{number}" for number in range(len(ids))))
    return next(each for each in tried if each not in ids)


def class_of(target: Target, read: Footprint) -> Target:
    """The target that stands for all that policies with this footprint cannot tell from `target`."""
    asked = target.labels if read.labels is None else target.labels & read.labels
    return target._replace(
        id=target.id if target.id in read.ids else read.other,
        name="",
        version="",
        classification=target.classification if read.reads("classification") else Classification.PUBLIC,
        labels=asked if read.reads(_LABELS) else frozenset(),
        owner_group=target.owner_group if read.reads("owner_group") else "",
        owner_person=target.owner_person if read.reads("owner_person") else "",
        facts=tuple([(name, value if read.reads(name) else type(value)()) for name, value in target.facts]),
    )


def permitted(
    snapshot: PolicySnapshot, who: Principal, action: str, classes: AccessClasses, context: Context
) -> frozenset[int]:
    """The numbers of the classes that a caller may have. What cannot be decided is not among them."""
    try:
        given = circumstances(context)
        read = tuple([(name, given[name]) for name in _circumstances(snapshot, action)])
        return _permitted(snapshot, caller(who), action, classes, read)
    except UNFIT:
        return frozenset()


@lru_cache(maxsize=KEPT)
def _permitted(
    snapshot: PolicySnapshot,
    who: Caller,
    action: str,
    classes: AccessClasses,
    read: tuple[tuple[str, str | int], ...],
) -> frozenset[int]:
    """INVARIANT (exact): the arguments are all that the answer depends on; policies and tables stand for themselves alone."""
    given: Mapping[str, str | int] = dict(read)
    decided = _decided(snapshot, who, action, read)
    if len(decided) > KEPT_CLASSES:
        decided.clear()
    found: list[int] = []
    for number, target in enumerate(classes.targets):
        allowed = decided.get(target)
        if allowed is None:
            allowed = decided[target] = _allows(snapshot, who, action, target, given)
        if allowed:
            found.append(number)
    return frozenset(found)


@lru_cache(maxsize=KEPT_CALLERS)
def _decided(
    snapshot: PolicySnapshot, who: Caller, action: str, read: tuple[tuple[str, str | int], ...]
) -> dict[Target, bool]:
    """What was decided of classes already: of a table with another class more, that one is left."""
    del snapshot, who, action, read
    return {}


def _allows(snapshot: PolicySnapshot, who: Caller, action: str, target: Target, given: Mapping[str, str | int]) -> bool:
    try:
        return isinstance(weigh(snapshot, who, action, (target,), given), Allow)
    except UNFIT:
        return False


@lru_cache(maxsize=64)
def _circumstances(snapshot: PolicySnapshot, action: str) -> tuple[str, ...]:
    """What policies that may be about an action read of the context."""
    read = frozenset(name for policy in snapshot.index.about(action) for name in context_reads(policy["conditions"]))
    return tuple(sorted(read))


def _attributes(policy: Policy) -> frozenset[str] | None:
    """The attributes of the resource that a policy may read; None for all."""
    read: set[str] = set()
    uses = known = 0
    for node in nodes(policy["conditions"]):
        if node == _RESOURCE:
            uses += 1
        elif (found := attribute(node)) is not None and found.variable == "resource":
            known += 1
            read.add(found.name)
        else:
            known += sum(side == _RESOURCE for sides in _sides(node, _COMPARED) for side in sides)
    return frozenset(read) if uses == known else None


def _labels(policy: Policy) -> frozenset[str] | None:
    """The labels that a policy asks for one by one; None where it uses them otherwise, too."""
    asked: set[str] = set()
    uses = known = 0
    for node in nodes(policy["conditions"]):
        uses += attribute(node) == _RESOURCES_LABELS
        for left, right in _sides(node, _ASKED):
            if attribute(left) == _RESOURCES_LABELS and _is_literal(right):
                known += 1
                asked.update(value for value in literals(right) if isinstance(value, str))
    return frozenset(asked) if uses == known else None


def _sides(node: Est, operators: frozenset[str]) -> Iterator[tuple[Est, Est]]:
    """What is left and right of each of these operators in a node; None where there is no such side."""
    if isinstance(node, Mapping):
        for operator, operands in node.items():
            if operator in operators and isinstance(operands, Mapping):
                yield operands.get("left"), operands.get("right")


def _is_literal(node: Est) -> bool:
    match node:
        case {"Value": str()}:
            return True
        case {"Set": [*entries]}:
            return all(_is_literal(entry) for entry in entries)
        case _:
            return False
