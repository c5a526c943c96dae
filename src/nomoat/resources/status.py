"""The gateway itself as a resource: how it is, in counts, sizes and times.

Rules: nothing here names a person, a workload, a repository or a file, and the words that are counted
by are ours, so their number is bounded. Servers of models have the names that they were declared by.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

from nomoat.core.durations import Durations
from nomoat.core.inference import Health
from nomoat.core.operation import ReadStatus, Resolved, Target
from nomoat.core.permit import Permit
from nomoat.core.principal import Principal


@dataclass(frozen=True, slots=True)
class Seen:
    """How a gateway is at one moment. Sizes are in bytes, times in seconds, `counts` since its start."""

    version: str
    trust_domain: str
    enforcer: str
    uptime: float
    log_mode: str
    log_records: int
    log_reserve: int
    witnessed_records: int | None
    state_generation: int
    disk_free: int
    in_flight: int
    connections: int
    most_connections: int
    counts: Mapping[str, int]
    refused_connections: Mapping[str, int]
    accesses: Durations
    syncs: Durations
    upstreams: Mapping[str, Health]


@final
class Status:
    """What may be seen of the gateway; `look` tells how it is now."""

    def __init__(self, look: Callable[[], Seen]) -> None:
        self._look = look

    def resolve(self, principal: Principal, operation: ReadStatus) -> Resolved[ReadStatus]:
        """Resolve the question: its target is this gateway."""
        del principal
        return Resolved(operation, (Target("Gateway", "gateway", "gateway"),))

    def read(self, permit: Permit[ReadStatus]) -> Seen:
        """Return how the gateway is. Raises `Unavailable` when its disk cannot be asked."""
        permit.claim(ReadStatus)
        return self._look()
