"""Question: everything that a decision depends on besides the policies, so that it can be asked again.

Rules: what a record says of a decision is read back here exactly, or not at all: a record that does
not hold everything that was read is `Unanswerable`, never completed by guessing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast, final

from nomoat.core.decision import CONFINED, Context
from nomoat.core.names import Classification
from nomoat.core.operation import Target
from nomoat.core.principal import Binding, PrincipalKind
from nomoat.policy.entities import Caller, circumstances

_LEVELS: Final = {level.name.lower(): level for level in Classification}
Fields = Mapping[str, object]


@final
@dataclass(frozen=True, slots=True)
class Question:
    """Who asks, what for, on what, and under which circumstances (`entities.circumstances`).

    `sampled`: there were more targets than a record names; `targets` has one at least of each sort, so an
    answer is exact unless a policy names one of them by its id.
    """

    who: Caller
    action: str
    targets: tuple[Target, ...]
    given: Mapping[str, str | int]
    discovery: Target | None = None
    sampled: bool = False


class Unanswerable(ValueError):
    """A record does not hold what was asked; the message says what is missing."""


def is_decision(record: Fields) -> bool:
    """Whether policies decided what a readable record says (not a confined credential, not a missing name)."""
    return "snapshot" in record and record.get("detail") != CONFINED


def question_of(record: Fields) -> Question:
    """What was asked, from a readable record of a decision. Raises `Unanswerable`."""
    if not is_decision(record):
        raise Unanswerable("no policy was asked for this record")
    try:
        who, on = _fields(record["who"]), _fields(record["on"])
        everything = _fields(record.get("all", {}))
        targets = tuple(_targets(everything)) if everything else (_target(on),)
        if not targets:
            raise ValueError("its targets were too many sorts to record")
        within = record.get("within")
        return Question(
            who=_caller(who),
            action=str(record["what"]),
            targets=targets,
            given=_circumstances(_fields(record["context"]), str(who["session"])),
            discovery=_target(_fields(within)) if within else None,
            sampled=bool(everything.get("sampled")),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Unanswerable(f"the record does not say everything that was read ({error})") from None


def _caller(who: Fields) -> Caller:
    groups = frozenset(_texts(who["groups"]))
    return PrincipalKind(str(who["kind"])), str(who["name"]), groups, _level(who["clearance"]), str(who["segment"])


def _circumstances(context: Fields, session: str) -> Mapping[str, str | int]:
    return circumstances(
        Context(
            at=_whole(context["at"]),
            binding=Binding(str(context["binding"])),
            obtained=Binding(str(context["obtained"])),
            auth_age=_whole(context["auth_age"]),
            source=str(context["source"]),
            session=session,
        )
    )


def _targets(everything: Fields) -> list[Target]:
    found: list[Target] = []
    for each in cast("list[object]", everything["sorts"]):
        sort = _fields(each)
        found += [_target({**sort, "id": name}) for name in _texts(sort["ids"])]
    return found


def _target(on: Fields) -> Target:
    """A target as policies saw it. What it lies in is said, also when that is nothing: else it was not recorded."""
    kind, _, owner = str(on.get("owner", "")).partition(":")
    facts = tuple(sorted(_fields(on.get("facts", {})).items()))
    return Target(
        kind=str(on["kind"]),
        id=str(on["id"]),
        name=str(on.get("name", on["id"])),
        version=str(on.get("version", "")),
        classification=_level(on["classification"]),
        labels=frozenset(_texts(on["labels"])),
        owner_group=owner if kind == "group" else "",
        owner_person=owner if kind == "person" else "",
        parents=tuple((kind, name) for kind, name in (_texts(parent) for parent in cast("list[object]", on["in"]))),
        facts=cast("tuple[tuple[str, str | int | bool], ...]", facts),
    )


def _fields(value: object) -> Fields:
    if not isinstance(value, Mapping):
        raise TypeError("no object")
    return cast("Fields", value)


def _texts(value: object) -> list[str]:
    if not isinstance(value, (list, tuple)):
        raise TypeError("no list")
    return [str(item) for item in cast("list[object]", value)]


def _level(value: object) -> Classification:
    return _LEVELS[str(value)]


def _whole(value: object) -> int:
    if type(value) is not int:
        raise TypeError("no whole number")
    return value
