"""Reading the syntax trees of policies: which attributes they read, and what they compare them with.

Rules: pure, and without recursion, because how deep a policy is nested is its author's choice. What is
found here only ever suggests (a variation to try, a line to look at); Cedar alone decides.
"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from nomoat.policy.cedar import GROUP, Est, Policy, Uid

VARIABLES: Final = ("principal", "resource", "context")
_PAIRS: Final = frozenset({"==", "!=", "<", "<=", ">", ">=", "contains", "containsAll", "containsAny", "in"})


class Attribute(NamedTuple):
    """`principal.clearance`: a variable of the request and the name of its attribute."""

    variable: str
    name: str

    def __str__(self) -> str:
        return f"{self.variable}.{self.name}"


class Comparison(NamedTuple):
    """An attribute and one value that a policy compares it with; `operator` is Cedar's."""

    attribute: Attribute
    operator: str
    value: str | int | bool


def nodes(root: Est) -> Iterator[Est]:
    """Every part of a policy."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, Mapping):
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


def attribute(node: Est) -> Attribute | None:
    """The attribute that a node reads, or asks for with `has`, directly of a variable."""
    match node:
        case {".": {"left": {"Var": str(variable)}, "attr": str(name)}} | {
            "has": {"left": {"Var": str(variable)}, "attr": str(name)}
        }:
            return Attribute(variable, name) if variable in VARIABLES else None
        case _:
            return None


def reads(policy: Policy) -> frozenset[Attribute]:
    """The attributes that the conditions of a policy read."""
    return frozenset(found for node in nodes(policy["conditions"]) if (found := attribute(node)) is not None)


def comparisons(policy: Policy) -> Iterator[Comparison]:
    """What the conditions of a policy compare attributes with, literals of sets one by one."""
    for node in nodes(policy["conditions"]):
        if not isinstance(node, Mapping):
            continue
        for operator, operands in node.items():
            if operator not in _PAIRS or not isinstance(operands, Mapping):
                continue
            left, right = operands.get("left"), operands.get("right")
            for one, other in ((left, right), (right, left)):
                for read in [found for part in nodes(one) if (found := attribute(part)) is not None]:
                    for value in literals(other):
                        yield Comparison(read, operator, value)


def literals(root: Est) -> Iterator[str | int | bool]:
    """The literals of Cedar's basic types in a part of a policy."""
    for node in nodes(root):
        match node:
            case {"Value": str() | bool() | int() as value}:
                yield value
            case _:
                pass


def entities(root: Est) -> Iterator[Uid]:
    """The entities that a part of a policy names."""
    for node in nodes(root):
        match node:
            case {"type": str(kind), "id": str(name)}:
                yield kind, name
            case _:
                pass


def groups(policy: Policy) -> frozenset[str]:
    """The groups that a policy names, in its scope or its conditions."""
    return frozenset(name for kind, name in entities(policy) if kind == GROUP)
