"""Continuous authorization: what is in flight is decided again at an interval, and ends when its credential does.

Rules: one round for all accesses, and no task or timer for each. An access that cannot be decided again is cut. Changes of
sessions, policies and directory do not wait for a round: who makes them calls the guard.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from nomoat.core.permit import Lease
from nomoat.guard.guard import Guard

TICK_S: Final = 0.25  # how late an expiry may be noticed, and an interval may end
AT_ONCE: Final = 8  # decisions in one turn of the loop
EXPIRED: Final = "the credential of this access has expired; show a newer one"

_log = logging.getLogger("nomoat")


async def keep_deciding(guard: Guard, interval: float, clock: Callable[[], float]) -> None:
    """Decide every access in flight again each `interval` seconds, and cut those whose credential expired; never returns."""
    loop = asyncio.get_running_loop()
    since: dict[Lease, float] = {}
    while True:
        soonest = end_expired(guard, clock())
        now = loop.time()
        # An access is seen up to a tick after it began.
        since = {lease: since.get(lease, now - TICK_S) for lease, _, _ in guard.leases.in_flight()}
        await decide_again(guard, since, now, interval)
        await asyncio.sleep(max(0.0, min(TICK_S, soonest - clock())))


def end_expired(guard: Guard, now: float) -> float:
    """Cut every access whose credential or session is over at `now`; return when the next one of those that go on will be."""
    soonest = now + TICK_S
    for lease in guard.leases.all():
        expires_at = lease.principal.expires_at
        if expires_at <= now:
            lease.revoke(EXPIRED)
        elif expires_at < soonest:
            soonest = expires_at
    return soonest


async def decide_again(guard: Guard, since: dict[Lease, float], now: float, interval: float) -> None:
    """Decide again what was decided `interval` seconds ago or earlier; `since` says when, and is kept."""
    due = [each for each in guard.leases.in_flight() if now - since.get(each[0], now) >= interval]
    for number, (lease, presented, operation) in enumerate(due, 1):
        since[lease] = now
        try:
            if guard.leases.describes(lease):  # some end while others are decided
                guard.review(lease, presented, operation)
        except Exception:  # noqa: BLE001 - whatever it is, the access does not go on undecided
            _log.exception("an access in flight could not be decided again, and was cut")
            lease.revoke("the access could not be decided again")
        if number % AT_ONCE == 0:
            await asyncio.sleep(0)
