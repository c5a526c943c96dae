"""Refusals of callers whom nobody knows: recorded one by one at first, then counted.

Rules: a flood cannot fill the log (a quota for each source and for all together), and cannot hide
(what was counted is recorded with its number, reasons and time). Nothing a stranger sent is kept.
Whoever comes with a credential that is over is a stranger too, but the record says whose it was.
A proof that is asked for the nonce is no refusal of anybody: RFC 9449 begins with it. It is a number.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, final

from nomoat.audit.log import Log
from nomoat.core.connection import Presented
from nomoat.core.errors import CHALLENGE, Unauthenticated, Unavailable
from nomoat.core.record import Json, Record, RecordKind

WINDOW_S: Final = 10.0
EACH: Final = 5  # records of its own for one source in a window
TOGETHER: Final = 100  # for all sources in a window
SOURCES: Final = 1024  # sources told apart in a window; the rest is counted as one


@dataclass(slots=True)
class _Counted:
    """What was not recorded one by one from one source."""

    first: float
    last: float
    reasons: Counter[str] = field(default_factory=Counter[str])


@final
class Strangers:
    """Records and counts unauthenticated refusals; `run` writes the counts once a window.

    `stored` returns when what a refused credential ended is stored, if it ended something.
    """

    def __init__(self, log: Log, clock: Callable[[], float], stored: Callable[[], Awaitable[None]]) -> None:
        self._log = log
        self._stored = stored
        self._clock = clock
        self._recorded: Counter[str] = Counter()
        self._counted: dict[str, _Counted] = {}
        self.total = 0  # of what was counted, since the start
        self.challenges = 0  # of proofs that lacked the nonce and nothing else, since the start

    async def answer(self, presented: Presented, refusal: Unauthenticated) -> int | None:
        """`refuse` somebody who asked for something served here; a challenge is only counted."""
        if refusal.kind != CHALLENGE:
            return await self.refuse(presented, refusal)
        self.challenges += 1
        refusal.counted = True
        return None

    async def refuse(self, presented: Presented, refusal: Unauthenticated) -> int | None:
        """Record one refusal durably, or count it; returns the record's index or None.

        Raises `Unavailable` when it should have been recorded and could not be.
        """
        if refusal.counted:
            return None
        await self._stored()  # nobody is told of a revocation that a crash could still undo
        source = presented.connection.source
        if self._recorded[source] >= EACH or self._recorded.total() >= TOGETHER:
            self.count(source, refusal.kind)
            refusal.counted = True
            return None
        self._recorded[source] += 1
        return (await self._log.append(_refusal(presented, refusal))).index

    def count(self, source: str, reason: str) -> None:
        """Count what leaves no record of its own, such as a failed TLS handshake."""
        now = self._clock()
        self.total += 1
        if source not in self._counted and len(self._counted) >= SOURCES:
            source = "other sources"
        counted = self._counted.setdefault(source, _Counted(now, now))
        counted.last = now
        counted.reasons[reason] += 1

    async def flush(self) -> None:
        """Write what was counted and begin a new window; what cannot be written stays counted."""
        self._recorded.clear()
        counted, self._counted = self._counted, {}
        for source, what in counted.items():
            content: dict[str, Json] = {
                "context": {"source": source},
                "count": what.reasons.total(),
                "reasons": dict(what.reasons),
                "first": int(what.first),
                "last": int(what.last),
            }
            record = Record(
                kind=RecordKind.COALESCED,
                subject="unauthenticated",
                what="Authenticate",
                on="",
                decision="deny",
                content=content,
            )
            try:
                await self._log.append(record)
            except Unavailable:
                self._restore(source, what)

    def _restore(self, source: str, what: _Counted) -> None:
        again = self._counted.setdefault(source, _Counted(what.first, what.last))
        again.first = min(again.first, what.first)
        again.reasons.update(what.reasons)

    async def run(self) -> None:
        """Flush once a window until cancelled."""
        while True:
            await asyncio.sleep(WINDOW_S)
            await self.flush()


def _refusal(presented: Presented, refusal: Unauthenticated) -> Record:
    """The record of one refusal; under its holder's name where the credential proved whose it was."""
    holder = refusal.holder
    content: dict[str, Json] = {
        "why": (holder and holder.why) or refusal.reason,
        "reason": refusal.kind,
        "detail": refusal.detail,
        "context": {"source": presented.connection.source},
        "request": {"protocol": presented.protocol, "method": presented.method},
    }
    if holder is not None:
        kind, _, name = holder.subject.partition(":")
        content["who"] = {
            "kind": kind,
            "name": name,
            "session": holder.session,
            "device": holder.device,
            "authenticated": False,
        }
        # Both are found by `on`: whose it was, and which session.
        requested = f"session:{holder.session}" if holder.session else ""
        content["on"] = {"kind": "Identity", "name": holder.subject, "requested": requested}
    return Record(
        kind=RecordKind.OPENING,
        subject="unauthenticated" if holder is None else holder.subject,
        what="Authenticate",
        on="" if holder is None else holder.subject,
        decision="deny",
        content=content,
    )
