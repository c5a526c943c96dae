"""What Cedar is told of a caller, a target and the circumstances.

Rules: built from typed values alone, so that nothing a client wrote can become an entity, an
attribute or an extension call: names, labels and facts end up as JSON strings in places where the
schema wants strings. Every string, every collection and the whole are capped, because Cedar's cost
grows with them. What does not fit raises `Unrepresentable`, and `decide` refuses.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Final, TypeAlias

import orjson

from nomoat.core.decision import Context
from nomoat.core.names import Classification
from nomoat.core.operation import Target
from nomoat.core.principal import Binding, Principal, PrincipalKind
from nomoat.policy import cedar
from nomoat.policy.cedar import GROUP, PERSON, WORKLOAD, Uid

MAX_STRING: Final = 2_048  # characters; a file's id is a repository's id, a commit and 512 bytes of path
MAX_GROUPS: Final = 256
MAX_LABELS: Final = 256
MAX_FACTS: Final = 16
MAX_TOTAL: Final = 65_536  # characters of all strings of a caller and a target together
MAX_INTEGER: Final = 2**63 - 1  # Cedar's Long

HANDLES: Final = 1_024  # about 11 KiB each: the schema's actions are in every one

PRINCIPAL_TYPES: Final = {PrincipalKind.PERSON: PERSON, PrincipalKind.WORKLOAD: WORKLOAD}
CONTAINED: Final = frozenset({"NoMoat::File", "NoMoat::View", "NoMoat::Document"})
"""The types that lie in one of another type (the schema says which); the others lie in none."""

_REPOSITORY_KINDS: Final = {"NoMoat::Dataset": "dataset", "NoMoat::Model": "model"}
_RESERVED: Final = frozenset(
    {"classification", "labels", "owner_group", "owner_person", "repository_kind", "__entity", "__extn", "__expr"}
)

Caller: TypeAlias = tuple[PrincipalKind, str, frozenset[str], Classification, str]
"""What policies can see of a principal: kind, name, groups, clearance, segment."""

Facts: TypeAlias = tuple[tuple[str, str | int | bool], ...]
Traits: TypeAlias = tuple[Uid, tuple[Uid, ...], Classification, frozenset[str], str, str, Facts, tuple[type, ...]]
"""What policies can see of a target: entity, entities above it, labels and so on. The last part is
the types of the facts, which tells True from 1: they are equal."""


class Unrepresentable(ValueError):
    """The caller, target or context has a shape or a size that policies cannot be asked about."""


def caller(who: Principal) -> Caller:
    """The part of a principal that decisions depend on; hashable. Raises `Unrepresentable`."""
    # Types first: "person" == PrincipalKind.PERSON and True == 1, so a cache could not tell them apart.
    if type(who.kind) is not PrincipalKind:
        raise Unrepresentable("unknown kind of principal")
    if type(who.clearance) is not Classification:
        raise Unrepresentable("the clearance is not a classification")
    return (who.kind, who.name, who.groups, who.clearance, who.segment)


def traits(target: Target, known: Callable[[Uid], Uid]) -> Traits:
    """The part of a target that decisions depend on; hashable. Raises `Unrepresentable`.

    `known` maps an entity to the one that stands for it (`PolicyIndex.known`).
    """
    if type(target.classification) is not Classification:
        raise Unrepresentable("the classification is not a classification")
    return (
        known(_uid(target.kind, target.id)),
        tuple([known(_uid(kind, name)) for kind, name in target.parents]),
        target.classification,
        target.labels,
        target.owner_group,
        target.owner_person,
        target.facts,
        tuple([type(value) for _, value in target.facts]),
    )


def _uid(kind: str, name: str) -> Uid:
    # Checked before the index may put another id in its place.
    if type(name) is not str or not 0 < len(name) <= MAX_STRING:
        raise Unrepresentable(f"an id that is not text of 1 to {MAX_STRING} characters")
    return f"NoMoat::{kind}", name


@lru_cache(maxsize=HANDLES)
def entities(who: Caller, on: Traits) -> cedar.Entities:
    """The parsed entities of one caller and one target.

    Raises `Unrepresentable`, or `ValueError` when the schema does not take them.
    """
    budget = _Budget(MAX_TOTAL)
    return cedar.parse_entities([_principal_entity(who, budget), _target_entity(on, budget)])


class _Budget:
    """Counts the characters that go into one evaluation."""

    __slots__ = ("_left",)

    def __init__(self, characters: int) -> None:
        self._left = characters

    def text(self, value: object, what: str) -> str:
        """`value`, if it is a string within the limits."""
        if not isinstance(value, str):
            raise Unrepresentable(f"{what} is not text")
        if len(value) > MAX_STRING:
            raise Unrepresentable(f"{what} has more than {MAX_STRING} characters")
        self._left -= len(value)
        if self._left < 0:
            raise Unrepresentable(f"caller and target have more than {MAX_TOTAL} characters together")
        return str(value)

    def texts(self, values: frozenset[str], most: int, what: str) -> list[str]:
        """`values`, if it is a set of at most `most` such strings; sorted."""
        if type(values) is not frozenset:
            raise Unrepresentable(f"{what} are not a set")
        if len(values) > most:
            raise Unrepresentable(f"more than {most} {what}")
        return sorted(self.text(value, what) for value in values)


def _principal_entity(who: Caller, budget: _Budget) -> dict[str, object]:
    kind, name, groups, clearance, segment = who
    if not name:
        raise Unrepresentable("a principal without a name")
    return {
        "uid": _entity((PRINCIPAL_TYPES[kind], name), budget),
        "attrs": {
            "subject": f"{kind.value}:{name}",
            "clearance": clearance.value,
            "segment": budget.text(segment, "the segment"),
        },
        "parents": [{"type": GROUP, "id": group} for group in budget.texts(groups, MAX_GROUPS, "groups")],
    }


def _target_entity(on: Traits, budget: _Budget) -> dict[str, object]:
    uid, above, classification, labels, owner_group, owner_person, facts, _ = on
    _check_parents(uid[0], above)
    attributes: dict[str, object] = {
        "classification": classification.value,
        "labels": budget.texts(labels, MAX_LABELS, "labels"),
        "repository_kind": _REPOSITORY_KINDS.get(above[0][0] if above else uid[0], ""),
    }
    if owner_group:
        attributes["owner_group"] = _entity((GROUP, owner_group), budget)
    if owner_person:
        attributes["owner_person"] = _entity((PERSON, owner_person), budget)
    if len(facts) > MAX_FACTS:
        raise Unrepresentable(f"more than {MAX_FACTS} facts")
    for name, value in facts:
        # A fact may add what the schema declares for its kind, or repeat what is known; never replace it.
        if name in _RESERVED or name in attributes:
            if attributes.get(name) != value:
                raise Unrepresentable(f"a fact contradicts the target's {name:.40}")
            continue
        attributes[budget.text(name, "a fact's name")] = _fact(value, budget)
    return {
        "uid": _entity(uid, budget),
        "attrs": attributes,
        "parents": [_entity(parent, budget) for parent in above],
    }


def _check_parents(type: str, above: tuple[Uid, ...]) -> None:
    """A contained thing must say in what: the schema lets it be silent, and it would escape forbids with `in`."""
    if len(above) != (1 if type in CONTAINED else 0):
        raise Unrepresentable(f"a {type:.80} that lies in {len(above)} others")


def _entity(uid: Uid, budget: _Budget) -> dict[str, str]:
    return {"type": budget.text(uid[0], "a type"), "id": budget.text(uid[1], "an id")}


def _fact(value: object, budget: _Budget) -> str | int | bool:
    """A fact's value; floats and nulls have no meaning in Cedar and would leave no decision."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return _integer(value, "a fact")
    return budget.text(value, "a fact")


def _integer(value: object, what: str) -> int:
    if type(value) is not int or not -MAX_INTEGER <= value <= MAX_INTEGER:
        raise Unrepresentable(f"{what} is not a whole number of 64 bits")
    return value


def circumstances(context: Context) -> dict[str, str | int]:
    """The attributes of the context that policies can read, by name. Raises `Unrepresentable`."""
    if type(context.binding) is not Binding or type(context.obtained) is not Binding:
        raise Unrepresentable("unknown binding of the credential")
    if type(context.session) is not str or len(context.session) > MAX_STRING:
        raise Unrepresentable(f"a session that is not text of at most {MAX_STRING} characters")
    return {
        "at": _integer(context.at, "the time"),
        "binding": context.binding._value_,  # `.value` is a function of Python's
        "obtained": context.obtained._value_,
        "auth_age": _integer(context.auth_age, "the age of the authentication"),
        "source": _address(context.source),
        "session": context.session,
    }


def context_json(names: Sequence[str], values: Sequence[str | int]) -> str:
    """Some of the circumstances as the context that Cedar takes."""
    given: dict[str, object] = dict(zip(names, values, strict=True))
    if "source" in given:
        given["source"] = {"__extn": {"fn": "ip", "arg": given["source"]}}
    return orjson.dumps(given).decode()


@lru_cache(maxsize=1_024)
def _address(source: str) -> str:
    """The peer's address as Cedar writes it: no zone, and IPv4 where it came mapped into IPv6."""
    try:
        address = ip_address("" if type(source) is not str else source)  # it would take a number, too
    except ValueError:
        raise Unrepresentable("the source is not an IP address") from None
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or IPv6Address(int(address))
    return str(address)
