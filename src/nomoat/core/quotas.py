"""Quotas of inference as they are declared: how much may be asked of models, by whom, in which time.

Rules: pure. Amounts are whole numbers: requests, tokens, and millionths of whatever a price is counted in. A quota is no
policy: it says how much of what policies permit, never what.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import NamedTuple

from nomoat.core.inference import MILLION
from nomoat.core.principal import Principal, PrincipalKind


class Measure(IntEnum):
    """What is counted; the place in `Amounts`."""

    REQUESTS = 0
    TOKENS = 1
    COST = 2


class Period(StrEnum):
    """How long a window is."""

    MINUTE = "minute"
    DAY = "day"

    __hash__ = str.__hash__


class Scope(StrEnum):
    """Whose requests a quota counts."""

    EVERYONE = "everyone"
    PERSON = "person"
    WORKLOAD = "workload"
    GROUP = "group"


class Amounts(NamedTuple):
    """How much of each measure."""

    requests: int = 0
    tokens: int = 0
    cost: int = 0


class Limit(NamedTuple):
    """The most of a measure in any window of a period."""

    measure: Measure
    period: Period
    most: int


@dataclass(frozen=True, slots=True)
class Quota:
    """A declared quota. `who` is the name of the person, workload or group, '' for everyone.

    `each`: it is as much for each caller; otherwise all whom it is for share it. `endpoint` is the one that it is about,
    '' for all of them. `limits` has one or more, each of another measure or period.
    """

    name: str
    scope: Scope
    who: str
    each: bool
    endpoint: str
    limits: tuple[Limit, ...]

    def counts(self, who: Principal, endpoint: str) -> bool:
        """Whether a request of a caller to an endpoint counts."""
        return self.endpoint in {"", endpoint} and self.is_for(who)

    def is_for(self, who: Principal) -> bool:
        """Whether requests of a caller count, to the endpoints that it is about."""
        match self.scope:
            case Scope.EVERYONE:
                return True
            case Scope.GROUP:
                return self.who in who.groups
            case Scope.PERSON:
                return who.kind is PrincipalKind.PERSON and who.name == self.who
            case Scope.WORKLOAD:
                return who.kind is PrincipalKind.WORKLOAD and who.name == self.who


class Meter(NamedTuple):
    """A quota, and the caller of whom it counts ('' for all whom it is for together)."""

    quota: Quota
    subject: str


def meters_of(quotas: Iterable[Quota], who: Principal, endpoint: str) -> Sequence[Meter]:
    """The meters that a request of a caller to an endpoint counts on."""
    return tuple(Meter(each, who.subject if each.each else "") for each in quotas if each.counts(who, endpoint))


def written(measure: Measure, amount: int) -> str:
    """An amount of a measure as people write it."""
    return f"{amount / MILLION:,.6f}".rstrip("0").rstrip(".") if measure is Measure.COST else f"{amount:,}"


def worded(limit: Limit) -> str:
    """A limit as people say it: `60 requests a minute`."""
    amount = written(limit.measure, limit.most)
    counted = f"a cost of {amount}" if limit.measure is Measure.COST else f"{amount} {limit.measure.name.lower()}"
    return f"{counted} a {limit.period}"
