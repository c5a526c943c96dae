"""ListMetrics, ReadMetric and ReopenBudget ↔ JSON, for `nomoat metrics`, `metric` and `reopen-budget`."""

from collections.abc import Mapping
from typing import Final, final

from nomoat.core.errors import Malformed
from nomoat.core.metrics import MILLION, Metric
from nomoat.core.names import RepositoryKind, RepositoryName, parse_repository_name, parse_revision, parse_subject_name
from nomoat.core.operation import ListMetrics, ReadMetric, ReopenBudget
from nomoat.core.principal import Principal
from nomoat.guard import Guard
from nomoat.protocols.http.exchange import Exchange
from nomoat.protocols.http.fields import require_only, text
from nomoat.protocols.http.routes import Route
from nomoat.resources.directory.metrics import described_metric
from nomoat.resources.metrics.answers import Cell
from nomoat.resources.metrics.metrics import Left, Metrics, Told

LONGEST_REASON: Final = 2_000  # characters


@final
class MetricEndpoints:
    """The enforcement point for metrics."""

    def __init__(self, guard: Guard, metrics: Metrics) -> None:
        self._guard = guard
        self._metrics = metrics

    async def _list(self, exchange: Exchange, values: Mapping[str, str]) -> None:
        async with self._guard.admit(exchange.presented, ListMetrics(_dataset(values))) as permit:
            listing = self._metrics.list_metrics(permit)
            told = {
                "metrics": [_metric(metric) for metric in listing.metrics],
                "budget": listing.budget.total / MILLION,
                "person_budget": listing.budget.person / MILLION,
                "left": _left(listing.left),
            }
            await exchange.answer_json(200, told)

    async def _read(self, exchange: Exchange, values: Mapping[str, str]) -> None:
        async def parse(_: Principal) -> ReadMetric:
            body = await exchange.json()
            require_only(body, "revision")
            return ReadMetric(
                _dataset(values), parse_subject_name(values["metric"]), parse_revision(text(body, "revision", "main"))
            )

        async with self._guard.admit(exchange.presented, parse) as permit:
            await exchange.answer_json(200, _told(await self._metrics.read(permit)))

    async def _reopen(self, exchange: Exchange, values: Mapping[str, str]) -> None:
        async def parse(_: Principal) -> ReopenBudget:
            body = await exchange.json()
            require_only(body, "reason")
            reason = text(body, "reason", longest=LONGEST_REASON)
            if not reason:
                raise Malformed("a budget is opened for a reason")
            return ReopenBudget(_dataset(values), reason)

        async with self._guard.admit(exchange.presented, parse) as permit:
            await exchange.answer_json(200, {"left": _left(await self._metrics.reopen(permit))})

    def routes(self) -> list[Route]:
        """The routes of this protocol."""
        metrics = "/v1/metrics/{namespace}/{name}"
        return [
            Route("GET", metrics, "admin", ListMetrics, self._list),
            Route("POST", f"{metrics}/{{metric}}", "admin", ReadMetric, self._read),
            Route("POST", "/v1/budget/{namespace}/{name}/reopen", "admin", ReopenBudget, self._reopen),
        ]


def _dataset(values: Mapping[str, str]) -> RepositoryName:
    return parse_repository_name(RepositoryKind.DATASET, f"{values['namespace']}/{values['name']}")


def _metric(metric: Metric) -> dict[str, object]:
    """A metric as it was declared, without the files that it is about: who asks may not know their names."""
    return {name: value for name, value in described_metric(metric).items() if name != "files"}


def _left(left: Left) -> dict[str, object]:
    return {"dataset": left.total / MILLION, "person": left.person / MILLION, "closed": left.closed}


def _told(told: Told) -> dict[str, object]:
    answer = told.answer
    return {
        "metric": told.metric.name,
        "kind": answer.kind,
        "commit": told.commit,
        "epsilon": answer.epsilon / MILLION,
        "charged": told.charged / MILLION,
        "minimum": told.metric.minimum,
        "unit": f"{told.metric.rows} rows of one {told.metric.person}" if told.metric.person else "one row",
        "noise": {"count": answer.scale, "value": answer.value_scale},
        "groups": [_cell(cell) for cell in answer.cells],
        "left": _left(told.left),
    }


def _cell(cell: Cell) -> dict[str, object]:
    named: dict[str, object] = {"group": cell.group}
    if cell.low is not None:
        named |= {"low": cell.low, "high": cell.high}
    if cell.value is None:
        return {**named, "withheld": True}
    return {**named, "count": cell.count, "value": cell.value, "accuracy": cell.accuracy}
