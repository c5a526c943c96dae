"""Quotas as their holders see them: what there is, and what is left.

Rules: a caller sees the quotas that count their own requests, but none of an endpoint that they may not invoke; of one that is shared what is left of it, and so how much all
others took together, but not who. Of whom else something is counted is told to those who may see them all.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, final

from nomoat.core.decision import Withhold, withheld_parts
from nomoat.core.directory import Directory
from nomoat.core.operation import Operation, ReadOwnQuotas, ReadQuotas, Resolved, Target
from nomoat.core.permit import Permit
from nomoat.core.principal import Principal
from nomoat.core.quotas import Limit, Meter, Quota
from nomoat.resources.identities import target_of
from nomoat.resources.inference.offers import Offers
from nomoat.resources.inference.targets import endpoint_target
from nomoat.resources.repositories.resolution import Resolver, place_in
from nomoat.stores.quotas import Quotas


class Standing(NamedTuple):
    """A limit of a meter, and how much of it counts now."""

    meter: Meter
    limit: Limit
    used: int


@dataclass(frozen=True, slots=True)
class _Mine:
    """The quotas that count a caller's requests."""

    quotas: Sequence[Quota]


@final
class QuotaReading:
    """What may be seen of quotas."""

    def __init__(self, directory: Callable[[], Directory], quotas: Quotas, offers: Offers) -> None:
        self._directory = directory
        self._offers = offers
        self._quotas = quotas

    @property
    def resolvers(self) -> Mapping[type[Operation], Resolver]:
        """The resolver of each operation."""
        return {ReadOwnQuotas: self.resolve_own, ReadQuotas: self.resolve_all}

    def resolve_own(self, who: Principal, operation: ReadOwnQuotas) -> Resolved[ReadOwnQuotas]:
        """Resolve to the caller, who asks for itself; the parts are the endpoints that such quotas are about."""
        directory = self._directory()
        mine = tuple(each for _, each in sorted(directory.quotas.items()) if each.is_for(who))
        about = sorted({each.endpoint for each in mine if each.endpoint})
        parts = tuple(
            endpoint_target(endpoint, self._offers.memorised(directory, endpoint))
            for endpoint in map(directory.endpoints.__getitem__, about)
        )
        return Resolved(operation, (target_of(who),), {"place": _Mine(mine)}, parts=parts)

    def resolve_all(self, who: Principal, operation: ReadQuotas) -> Resolved[ReadQuotas]:
        """Resolve to the directory, which says what quotas there are."""
        del who
        facts = (("widens_self", False),)
        target = Target("Directory", "directory", "directory", str(self._directory().generation), facts=facts)
        return Resolved(operation, (target,))

    def read_own(self, permit: Permit[ReadOwnQuotas]) -> Sequence[Standing]:
        """Where the caller stands. Raises `Unavailable` when the state fails."""
        resolved = permit.claim(ReadOwnQuotas, Withhold)
        subject, withheld = permit.principal.subject, withheld_parts(permit.allow.obligations)
        unknown = {part.id for number, part in enumerate(resolved.parts) if number in withheld}
        mine = place_in(resolved, _Mine).quotas
        seen = [each for each in mine if each.endpoint not in unknown]
        return self._standing(Meter(each, subject if each.each else "") for each in seen)

    def read_all(self, permit: Permit[ReadQuotas]) -> Sequence[Standing]:
        """Where everybody stands of whom something is counted. Raises `Unavailable` when the state fails."""
        permit.claim(ReadQuotas)
        quotas = self._directory().quotas
        counted = self._quotas.subjects(list(quotas))
        shared = {name: [""] if not each.each else counted[name] for name, each in sorted(quotas.items())}
        return self._standing(
            Meter(quotas[name], subject)
            for name, of in shared.items()
            for subject in of
            if subject or not quotas[name].each
        )

    def _standing(self, meters: Iterable[Meter]) -> Sequence[Standing]:
        return [Standing(meter, limit, used) for meter in meters for limit, used in self._quotas.used(meter)]
