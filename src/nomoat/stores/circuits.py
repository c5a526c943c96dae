"""Circuits to servers: one that does not answer is left alone for a while, and then asked once (Nygard, Release It!, chapter 5).

Rules: `TRIES` failures in a row open a circuit; each further one doubles the pause, up to `LONGEST_S`. While it is open
nothing is sent. After the pause one request goes through, and what becomes of it decides for the others.
"""

import random
from collections.abc import Callable
from typing import Final, final

from nomoat.core.inference import Health

TRIES: Final = 5
SHORTEST_S: Final = 1.0
LONGEST_S: Final = 60.0
JITTER: Final = 0.2  # of a pause: gateways do not come back all at once


@final
class Circuit:
    """The circuit to one server; `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures = 0
        self._rejects = False
        self._open_until = 0.0
        self._failed_at: float | None = None
        self._answered_at: float | None = None
        self._why = ""

    def wait(self) -> float:
        """For how many seconds the server is not to be asked; 0.0: it may be, and whoever hears so is to ask it."""
        if self._failures < TRIES:
            return 0.0
        left = self._open_until - self._clock()
        if left > 0:
            return left
        self._open_until = self._clock() + self._pause()  # for all others, until this one is answered
        return 0.0

    def succeeded(self) -> None:
        """The server answered."""
        self._failures = 0
        self._rejects = False
        self._answered_at = self._clock()

    def rejected(self, why: str) -> None:
        """It answered, and did not take the gateway's credential: it answers nobody until it is given another one."""
        self.succeeded()
        self.noted(why)
        self._rejects = True

    def noted(self, why: str) -> None:
        """It did something wrong, of which it cannot be told whether the next request would meet with it."""
        self._failed_at, self._why = self._clock(), why

    def failed(self, why: str = "") -> None:
        """It did not answer."""
        self.noted(why)
        self._failures += 1
        if self._failures >= TRIES:
            self._open_until = self._clock() + self._pause()

    def health(self) -> Health:
        """What is known of the server, of nothing but what it was asked."""
        now = self._clock()
        failed = None if self._failed_at is None else now - self._failed_at
        answered = None if self._answered_at is None else now - self._answered_at
        left = max(0.0, self._open_until - now) if self._failures >= TRIES else 0.0
        return Health(self._failures, left, answered, failed, self._why, self._rejects)

    def _pause(self) -> float:
        pause = min(LONGEST_S, SHORTEST_S * 2.0 ** min(self._failures - TRIES, 10))
        return pause * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - spreads, and hides nothing
