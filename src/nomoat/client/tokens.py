"""The token file of a profile, kept fresh while a program runs.

Rules: replaced atomically, readable by its owner only; renewed when half of a token's life is over,
so that a gateway may be away for the other half. A refusal ends the refreshing: the token that is
there runs out by itself.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from nomoat.client.errors import LogContradicted
from nomoat.client.session import Clock, Session
from nomoat.core.errors import NoMoatError, Refused

SHORTEST_WAIT = 0.2  # seconds; also with tokens of seconds, as in tests
LONGEST_RETRY = 30.0


@dataclass(frozen=True, slots=True)
class TokenFile:
    """A token that was written: when it must be renewed and when it expires (Unix seconds)."""

    renew_at: float
    expires_at: float


def write_token(session: Session, clock: Clock) -> TokenFile:
    """Issue an unbound access token into the profile's token file."""
    now = clock()
    token = session.token(bound=False)
    session.profile.write("hub/token", token.access_token.encode())
    return TokenFile(now + token.expires_in / 2, now + token.expires_in)


class Refresher:
    """A thread that keeps a profile's token file and certificate fresh, for the time of a `with`.

    `warn` is told, once for each new cause, why that does not work.
    """

    def __init__(self, session: Session, clock: Clock, warn: Callable[[NoMoatError], None]) -> None:
        self._session = session
        self._clock = clock
        self._warn = warn
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="token-refresh", daemon=True)
        self._written = write_token(session, clock)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self.join(5.0)

    def join(self, timeout: float) -> bool:
        """Wait until the refreshing has ended, at most `timeout` seconds; return whether it has."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        told, retry = "", SHORTEST_WAIT
        wait = self._until_renewal()
        while not self._over.wait(wait):
            try:
                self._written = write_token(self._session, self._clock)
            except NoMoatError as error:
                if str(error) != told:
                    told = str(error)
                    self._warn(error)
                if isinstance(error, (Refused, LogContradicted)):
                    return
                wait, retry = retry, min(retry * 2, LONGEST_RETRY)
            else:
                told, retry, wait = "", SHORTEST_WAIT, self._until_renewal()

    def _until_renewal(self) -> float:
        """Seconds until the token or the certificate is half through its life, whichever comes first."""
        return max(min(self._written.renew_at, self._session.renewal_due) - self._clock(), SHORTEST_WAIT)
