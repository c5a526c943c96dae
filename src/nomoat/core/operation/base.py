"""Operations: one frozen class for each verb, and what a name resolved to.

Rules: an Operation says what the caller wants in the caller's words; `Resolved` says what that is
right now, by immutable ids. Every class here has an action of the same name in the Cedar schema.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Generic, NamedTuple, final

from typing_extensions import TypeVar

from nomoat.core.names import Classification

OPERATIONS: dict[str, type["Operation"]] = {}


@dataclass(frozen=True, slots=True)
class Operation:
    """Base of every verb. `action` is its name in policies and records.

    `priority` operations (revocation, administration) may use the space that the log reserves for
    a full disk. `part` is the action that each part of the answer is decided as (`Resolved.parts`),
    `discover` the one that says who may know that the thing exists (`Resolved.discovery`).
    """

    action: ClassVar[str] = ""
    priority: ClassVar[bool] = False
    part: ClassVar[str] = "DescribeFile"
    discover: ClassVar[str] = "Discover"

    def __init_subclass__(cls, **arguments: object) -> None:
        # dataclass(slots=True) makes a second class of the same name; the later one is the one in use.
        cls.action = cls.__name__
        OPERATIONS[cls.__name__] = cls

    @property
    def requested(self) -> str:
        """What was asked for, as a person would write it; for records of what never resolved."""
        return ""

    @property
    def asked(self) -> Mapping[str, str]:
        """What else of the caller's own words the record of the decision keeps, sealed as all its content is."""
        return {}


class Target(NamedTuple):
    """One thing that a decision is about.

    `kind` is the Cedar entity type (`Dataset`, `Model`, `File`, `View`, `Directory`, `PolicySet`, `Log`,
    `Gateway`, `Identity`), `id` the entity's id, `name` what a person calls it, `version` the commit or
    content digest, `parents` (type, id) pairs above it. `facts` are further attributes that the
    schema declares for this kind.
    """

    kind: str
    id: str
    name: str
    version: str = ""
    classification: Classification = Classification.PUBLIC
    labels: frozenset[str] = frozenset()
    owner_group: str = ""
    owner_person: str = ""
    parents: tuple[tuple[str, str], ...] = ()
    facts: tuple[tuple[str, str | int | bool], ...] = ()


OpT = TypeVar("OpT", bound=Operation)
OpT_co = TypeVar("OpT_co", bound=Operation, covariant=True)


@final
class AccessClasses:
    """The sorts of things in a collection that policies can tell apart, at one instant; `targets` has what stands for each.

    A class stands for whatever agrees with its target in everything that policies read. Two tables are equal only if they
    are one: what was decided for one says nothing about another.
    """

    __slots__ = ("targets",)

    def __init__(self, targets: Sequence[Target]) -> None:
        self.targets = tuple(targets)


class Resolved(NamedTuple, Generic[OpT_co]):
    """An operation and what its names meant at one instant.

    `targets` has at least one target and every one of them must be allowed. `parts` stand for what
    else the answer would tell of, mostly files; each is decided as the operation's `part`, and what is
    denied is withheld (`Withhold`) instead of refusing the whole. `coordinates` is what
    the resource needs to find it again without looking a name up. `discovery` is the thing whose
    existence is itself confidential (the repository), `missing` the words for its absence. `found`: some
    targets are what the caller did not name (a folder's files), or what is where they named (documents),
    and they need not know it. `classes` are those of a collection that is answered from; each is decided as
    the operation's `part`, and the answer confined to what is permitted.
    """

    operation: OpT_co
    targets: tuple[Target, ...]
    coordinates: Mapping[str, object] = MappingProxyType({})
    discovery: Target | None = None
    missing: str = ""
    parts: tuple[Target, ...] = ()
    found: bool = False
    classes: AccessClasses | None = None

    @property
    def target(self) -> Target:
        """The first target: the one that a record shows."""
        return self.targets[0]
