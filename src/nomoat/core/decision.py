"""Decision: Allow or Deny, never a bool; and the context that was read for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from nomoat.core.principal import Binding

CONFINED: Final = "confined credential"
"""The detail of a refusal by what the credential itself is confined to: no policy was asked."""


class Context(NamedTuple):
    """The circumstances of a request that policies may read. Nothing in it was written by a client.

    `at` is Unix seconds, `auth_age` seconds since the caller last proved a code or device key.
    """

    at: int
    binding: Binding
    obtained: Binding
    auth_age: int
    source: str
    session: str


@dataclass(frozen=True, slots=True)
class Withhold:
    """Say nothing of what these parts stand for (files, mostly); `parts` are places in `Resolved.parts`.

    `policies` are the ids of the forbids that applied, for each part in the order of the places; none: nothing permitted it.
    """

    parts: frozenset[int]
    policies: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Confine:
    """Answer from what is of these classes alone, as if there were nothing else; `classes` are numbers of `Resolved.classes`."""

    classes: frozenset[int]


Obligation: TypeAlias = Withhold | Confine
"""What a resource has to do with what it gives out; it takes an obligation that it does not know for a refusal."""


def withheld_parts(obligations: Sequence[Obligation]) -> frozenset[int]:
    """The parts that are to be withheld."""
    withheld = frozenset[int]()
    for obligation in obligations:
        match obligation:
            case Withhold(parts, _):
                withheld |= parts
            case Confine():  # of a collection, which has no parts
                pass
    return withheld


@dataclass(frozen=True, slots=True)
class Allow:
    """Permitted by `policies` (sorted ids) of the set with digest `snapshot`, under `obligations`."""

    policies: tuple[str, ...]
    snapshot: str
    obligations: tuple[Obligation, ...] = ()


@dataclass(frozen=True, slots=True)
class Deny:
    """Not permitted. `reason` may be shown to a caller who may know that the thing exists.

    `policies` are the ids of the forbids that applied (none: nothing permitted it), `detail` is for
    the log only. `max_age`, if only the age of the authentication is in the way: up to how many seconds
    it would not be. `place` is that of the target that is refused, of an operation on several.
    """

    policies: tuple[str, ...]
    snapshot: str
    reason: str
    detail: str = ""
    max_age: int | None = None
    place: int = 0


Decision = Allow | Deny
