"""Watching the gateway: what `ReadStatus` is told, gathered where all parts meet."""

import shutil
from collections.abc import Callable, Mapping

from nomoat import __version__
from nomoat.audit.checkpoint import parse_checkpoint
from nomoat.audit.log import Log
from nomoat.audit.segments import WITNESSED_FILE
from nomoat.core.errors import Malformed, Unavailable
from nomoat.core.inference import Health
from nomoat.guard import Guard
from nomoat.resources.status import Seen
from nomoat.server.admission import Admission
from nomoat.server.configuration import Configuration
from nomoat.stores.state import State


def watch(
    configuration: Configuration,
    log: Log,
    state: State,
    guard: Guard,
    admission: Admission,
    upstreams: Callable[[], Mapping[str, Health]],
    clock: Callable[[], float],
) -> Callable[[], Seen]:
    """Return what tells how the gateway of these parts is; it raises `Unavailable` for a disk that cannot be asked."""
    begun = clock()

    def look() -> Seen:
        try:
            free, reserve = shutil.disk_usage(log.directory).free, log.held
        except OSError as error:
            raise Unavailable("data directory", f"it cannot be looked at: {error.strerror}") from error
        counted = log.counted
        return Seen(
            version=__version__,
            trust_domain=configuration.trust_domain,
            enforcer=configuration.enforcer,
            uptime=max(0.0, clock() - begun),
            log_mode=log.mode.value,
            log_records=log.size,
            log_reserve=reserve,
            witnessed_records=_witnessed(log) if configuration.witness else None,
            state_generation=state.generation,
            disk_free=free,
            in_flight=len(guard.leases),
            connections=admission.open,
            most_connections=admission.limits.connections,
            counts={
                "opened": counted.opened,
                "closed": counted.closed,
                "refused": counted.refused,
                "strangers": guard.strangers.total,
                "challenges": guard.strangers.challenges,
            },
            refused_connections=dict(admission.refused),
            accesses=guard.durations,
            syncs=log.syncs,
            upstreams=upstreams(),
        )

    return look


def _witnessed(log: Log) -> int:
    try:
        return parse_checkpoint((log.directory / WITNESSED_FILE).read_bytes()).size
    except (OSError, Malformed):
        return 0
