"""ReadOwnQuotas and ReadQuotas → JSON, for `nomoat quotas`."""

from collections.abc import Mapping, Sequence
from typing import final

from nomoat.core.inference import MILLION
from nomoat.core.operation import ReadOwnQuotas, ReadQuotas
from nomoat.core.quotas import Measure
from nomoat.guard import Guard
from nomoat.protocols.http.exchange import Exchange
from nomoat.protocols.http.routes import Route
from nomoat.resources.inference.quotas import QuotaReading, Standing


@final
class QuotaEndpoints:
    """The enforcement point for seeing quotas."""

    def __init__(self, guard: Guard, quotas: QuotaReading) -> None:
        self._guard = guard
        self._quotas = quotas

    async def _own(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        async with self._guard.admit(exchange.presented, ReadOwnQuotas()) as permit:
            await exchange.answer_json(200, _told(self._quotas.read_own(permit)))

    async def _all(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        async with self._guard.admit(exchange.presented, ReadQuotas()) as permit:
            await exchange.answer_json(200, _told(self._quotas.read_all(permit)))

    def routes(self) -> list[Route]:
        """The routes of this protocol."""
        return [
            Route("GET", "/v1/quotas", "admin", ReadOwnQuotas, self._own),
            Route("GET", "/v1/quotas/all", "admin", ReadQuotas, self._all),
        ]


def _told(standing: Sequence[Standing]) -> Mapping[str, object]:
    return {"quotas": [_row(each) for each in standing]}


def _row(standing: Standing) -> Mapping[str, object]:
    (quota, subject), limit, used = standing
    unit = MILLION if limit.measure is Measure.COST else 1
    left = max(0, limit.most - used)
    return {
        "quota": quota.name,
        "for": subject or (f"{quota.scope}:{quota.who}" if quota.who else quota.scope.value),
        "shared": not quota.each,
        "endpoint": quota.endpoint,
        "measure": limit.measure.name.lower(),
        "period": limit.period.value,
        "limit": limit.most / unit if unit > 1 else limit.most,
        "left": left / unit if unit > 1 else left,
    }
