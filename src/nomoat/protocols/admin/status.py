"""ReadStatus → JSON for `nomoat status`, and the text that Prometheus reads.

Rules: there is no second listener for metrics and none that believes an address: who scrapes proves
who they are like everybody else, and is recorded. No name is a label, and no label has more values
than this file and the words of `Strangers` have.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from nomoat.core.durations import BOUNDS, Durations
from nomoat.core.inference import Health
from nomoat.core.operation import ReadStatus
from nomoat.guard import Guard
from nomoat.protocols.http.exchange import Exchange
from nomoat.protocols.http.routes import Route
from nomoat.resources.status import Seen, Status

STATES = ("unknown", "answering", "rejecting", "failing", "left alone")
COUNTED = {
    "opened": "Accesses that were allowed and recorded.",
    "closed": "Outcomes of accesses that were recorded.",
    "refused": "Requests that were refused and recorded one by one.",
    "strangers": "Refusals of strangers that were counted, not recorded one by one.",
    "challenges": "DPoP proofs that lacked the nonce and nothing else, and were asked for it (RFC 9449, section 8).",
}


@final
class StatusEndpoint:
    """The enforcement point for who watches the gateway."""

    def __init__(self, guard: Guard, status: Status) -> None:
        self._guard = guard
        self._status = status

    async def _read(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        async with self._guard.admit(exchange.presented, ReadStatus()) as permit:
            await exchange.answer_json(200, as_json(self._status.read(permit)))

    async def _scrape(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        async with self._guard.admit(exchange.presented, ReadStatus()) as permit:
            text = as_metrics(self._status.read(permit))
            await exchange.answer(200, text, content_type=CONTENT_TYPE_PLAIN_0_0_4)

    def routes(self) -> list[Route]:
        """The routes of this protocol."""
        return [
            Route("GET", "/v1/status", "admin", ReadStatus, self._read),
            Route("GET", "/v1/metrics", "admin", ReadStatus, self._scrape),
        ]


def as_json(seen: Seen) -> dict[str, object]:
    """Return what `nomoat status` prints; a name ends with its unit."""
    return {
        "version": seen.version,
        "trust_domain": seen.trust_domain,
        "enforcer": seen.enforcer,
        "uptime_seconds": round(seen.uptime, 1),
        "log_takes": seen.log_mode,
        "log_records": seen.log_records,
        "witnessed_records": seen.witnessed_records,
        "state_generation": seen.state_generation,
        "disk_free_bytes": seen.disk_free,
        "log_reserve_bytes": seen.log_reserve,
        "accesses_in_flight": seen.in_flight,
        "connections": seen.connections,
        "connections_at_most": seen.most_connections,
        **seen.counts,
        "refused_connections": dict(seen.refused_connections),
        "upstreams": {name: _health(each) for name, each in seen.upstreams.items()},
    }


def _health(seen: Health) -> dict[str, object]:
    return {
        "state": seen.state,
        "failures_in_a_row": seen.failures,
        "asked_again_in_seconds": round(seen.left_alone, 1),
        "answered_seconds_ago": None if seen.answered is None else round(seen.answered, 1),
        "failed_seconds_ago": None if seen.failed is None else round(seen.failed, 1),
        "last_failure": seen.why,
    }


class _Collector(Collector):
    def __init__(self, seen: Seen) -> None:
        self._seen = seen

    def collect(self) -> Iterator[Metric]:
        seen = self._seen
        build = GaugeMetricFamily("nomoat_build_info", "Which NoMoat this is.", labels=["version"])
        build.add_metric([seen.version], 1)
        yield build
        for name, what, value in (
            ("uptime_seconds", "Seconds since it started.", seen.uptime),
            ("log_records", "Durable records of the log.", seen.log_records),
            ("log_degraded", "1 when the log does not take everything.", int(seen.log_mode != "everything")),
            ("log_reserve_bytes", "Space held for revocations when the disk is full.", seen.log_reserve),
            ("state_generation", "How many writes the state has seen.", seen.state_generation),
            ("disk_free_bytes", "Free space below the data directory.", seen.disk_free),
            ("accesses_in_flight", "Accesses between their authentication and their outcome.", seen.in_flight),
            ("connections", "Open connections, handshakes included.", seen.connections),
            ("connections_limit", "How many connections may be open.", seen.most_connections),
        ):
            yield GaugeMetricFamily(f"nomoat_{name}", what, value)
        if seen.witnessed_records is not None:
            yield GaugeMetricFamily("nomoat_witnessed_records", "Records witnessed.", seen.witnessed_records)
        for name, number in seen.counts.items():
            yield CounterMetricFamily(f"nomoat_{name}", COUNTED[name], number)
        refused = CounterMetricFamily("nomoat_connections_refused", "Connections refused.", labels=["reason"])
        for reason, number in sorted(seen.refused_connections.items()):
            refused.add_metric([reason], number)
        yield refused
        upstreams = GaugeMetricFamily("nomoat_upstreams", "Servers of models, by how they are.", labels=["state"])
        states = Counter(health.state for health in seen.upstreams.values())
        for state in STATES:
            upstreams.add_metric([state], states[state])
        yield upstreams
        yield _histogram("nomoat_access_seconds", "Time from the permit to the outcome.", seen.accesses)
        yield _histogram("nomoat_log_sync_seconds", "Time until a batch of records is durable.", seen.syncs)


def as_metrics(seen: Seen) -> bytes:
    """Return the same in Prometheus's text format (version 0.0.4)."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(seen))
    return generate_latest(registry)


def _histogram(name: str, what: str, durations: Durations) -> HistogramMetricFamily:
    buckets, below = list[tuple[str, float]](), 0
    for bound, number in zip((*map(str, BOUNDS), "+Inf"), durations.counts, strict=True):
        below += number
        buckets.append((bound, below))
    return HistogramMetricFamily(name, what, buckets=buckets, sum_value=durations.total)
