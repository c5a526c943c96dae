"""The scope of a policy: which principals, actions and resources it is about, before any `when`.

Rules: a scope depends on nothing but types, ids and what lies above an entity, and it cannot err. A
constraint of a form that is not known here is None, and is left for Cedar to evaluate.
"""

from typing import Final, NamedTuple, TypeAlias

from nomoat.policy.cedar import Est, Policy, Uid

CONSTRAINTS: Final = ("principal", "action", "resource")

Holds: TypeAlias = bool | None
"""Whether a constraint certainly holds, certainly does not, or (None) is left to Cedar."""


class Constraint(NamedTuple):
    """What a scope asks of one entity: a type, to be one entity, to be or lie in one of several."""

    kind: str | None = None
    exact: Uid | None = None
    within: frozenset[Uid] | None = None

    def holds(self, uid: Uid, above: frozenset[Uid]) -> bool:
        """Whether it holds for an entity and all that is above it (`in` includes the entity itself)."""
        kind, exact, within = self
        return (
            (kind is None or kind == uid[0])
            and (exact is None or exact == uid)
            and (within is None or uid in within or not within.isdisjoint(above))
        )


class Scope(NamedTuple):
    """The constraints of one policy, in the order of `CONSTRAINTS`."""

    principal: Constraint | None
    action: Constraint | None
    resource: Constraint | None


def scope(policy: Policy) -> Scope:
    """The scope of a policy in Cedar's JSON form."""
    return Scope(*(constraint(policy[name]) for name in CONSTRAINTS))


def constraint(part: Est) -> Constraint | None:
    """One constraint of a scope in Cedar's JSON form; None if it is of no known form."""
    known: Constraint | None = None
    match part:
        case {"op": "All", **rest} if not rest:
            known = Constraint()
        case {"op": "==", "entity": {"type": str(kind), "id": str(name)}, **rest} if not rest:
            known = Constraint(exact=(kind, name))
        case {"op": "in", "entity": entity, **rest} if not rest:
            known = _within(entity)
        case {"op": "in", "entities": [*entities], **rest} if not rest:
            known = _within(*entities)
        case {"op": "is", "entity_type": str(kind), "in": {"entity": entity}, **rest} if not rest:
            inside = _within(entity)
            known = inside and inside._replace(kind=kind)
        case {"op": "is", "entity_type": str(kind), **rest} if not rest:
            known = Constraint(kind=kind)
        case _:
            pass
    return known


def _within(*entities: Est) -> Constraint | None:
    uids: set[Uid] = set()
    for entity in entities:
        match entity:
            case {"type": str(kind), "id": str(name), **rest} if not rest:
                uids.add((kind, name))
            case _:
                return None
    return Constraint(within=frozenset(uids))
