"""Who may open a connection: a bounded number, so many from one source, so many handshakes a second.

Rules: decided before anything is spent on a connection but its socket. What is refused is closed at
once and counted with its reason and source; a connection counts from its acceptance to its end, its
handshake included, so that idle and half-open ones cannot take more memory than the bound allows.
A handshake that fails or takes too long is counted with OpenSSL's reason and the peer's address.
"""

import asyncio
import logging
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, final

HANDSHAKE_TIMEOUT_S: Final = 10.0
SHUTDOWN_TIMEOUT_S: Final = 5.0  # for a client that left in the middle; its buffers are held that long
AT_ONCE: Final = 64  # connections taken from the kernel in one turn of the loop
PAUSE_S: Final = 1.0  # after the process ran out of descriptors or memory

_log = logging.getLogger("nomoat")


@dataclass(frozen=True, slots=True)
class Limits:
    """How many connections may be open, how many of one source, and how many handshakes begin in a second."""

    connections: int = 1024
    connections_per_source: int = 512
    handshakes_per_s: int = 500


@final
class Admission:
    """Counts connections and says which one is too many. `count` is told of each refusal: source, reason."""

    def __init__(
        self, limits: Limits, count: Callable[[str, str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.limits = limits
        self.refused: Counter[str] = Counter()
        self._count = count
        self._clock = clock
        self._sources: Counter[str] = Counter()
        self._open = 0
        # A bucket that holds two seconds' worth: a burst of clients that come back at once is no attack.
        self._left = 2.0 * limits.handshakes_per_s
        self._filled = clock()

    @property
    def open(self) -> int:
        """How many connections there are, handshakes under way included."""
        return self._open

    def admit(self, source: str) -> bool:
        """Take one more connection into the count, or refuse it."""
        now = self._clock()
        most = 2.0 * self.limits.handshakes_per_s
        self._left = min(most, self._left + (now - self._filled) * self.limits.handshakes_per_s)
        self._filled = now
        if self._open >= self.limits.connections:
            return self._refuse(source, "too-many-connections")
        if self._sources[source] >= self.limits.connections_per_source:
            return self._refuse(source, "too-many-connections-of-one-source")
        if self._left < 1:
            return self._refuse(source, "too-many-handshakes")
        self._left -= 1
        self._open += 1
        self._sources[source] += 1
        return True

    def leave(self, source: str) -> None:
        """Take a connection out of the count."""
        self._open -= 1
        self._sources[source] -= 1
        if not self._sources[source]:
            del self._sources[source]

    def failed(self, source: str, reason: str) -> None:
        """Count a handshake that failed."""
        self.refused["handshake-failed"] += 1
        self._count(source, reason)

    def _refuse(self, source: str, reason: str) -> bool:
        self.refused[reason] += 1
        self._count(source, reason)
        if not self._sources[source]:
            del self._sources[source]
        return False


@final
class Acceptor:
    """Accepts connections of one listening socket; stands where uvicorn expects an `asyncio.Server`."""

    def __init__(
        self,
        listener: socket.socket,
        context: ssl.SSLContext,
        admission: Admission,
        make_protocol: Callable[[], asyncio.Protocol],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._context = context
        self._admission = admission
        self._make_protocol = make_protocol
        self._shaking: set[asyncio.Task[None]] = set()
        self._resuming: asyncio.TimerHandle | None = None
        self._closed = False
        self._loop.add_reader(listener.fileno(), self._accept)

    def close(self) -> None:
        """Accept no more, and end the handshakes under way."""
        if self._closed:
            return
        self._closed = True
        self._pause()
        if self._resuming is not None:
            self._resuming.cancel()
        for task in self._shaking:
            task.cancel()

    async def wait_closed(self) -> None:
        """Return when no handshake is under way."""
        if self._shaking:
            await asyncio.wait(self._shaking)

    def _pause(self) -> None:
        self._loop.remove_reader(self._listener.fileno())

    def _resume(self) -> None:
        if not self._closed:
            self._loop.add_reader(self._listener.fileno(), self._accept)

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                accepted, address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # no descriptor or memory left: it would be called again at once
                _log.warning("connections cannot be accepted for a moment: %s", error.strerror)
                self._admission.refused["no-descriptors"] += 1
                self._pause()
                self._resuming = self._loop.call_later(PAUSE_S, self._resume)
                return
            source = str(address[0])
            if not self._admission.admit(source):
                accepted.close()
                continue
            accepted.setblocking(False)
            task = self._loop.create_task(self._shake(accepted, source))
            self._shaking.add(task)
            task.add_done_callback(self._shaking.discard)

    async def _shake(self, accepted: socket.socket, source: str) -> None:
        """Do the handshake; from its end on the connection itself says when it is over."""
        try:
            await self._loop.connect_accepted_socket(
                self._make_protocol,
                accepted,
                ssl=self._context,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S,
                ssl_shutdown_timeout=SHUTDOWN_TIMEOUT_S,
            )
        except asyncio.CancelledError:
            accepted.close()
            self._admission.leave(source)
            raise
        except (OSError, TimeoutError) as error:
            accepted.close()
            self._admission.leave(source)
            self._admission.failed(source, _reason(error))


def _reason(error: Exception) -> str:
    """Word a failed handshake: OpenSSL's reason, which is one of its list."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower()
    if isinstance(error, ConnectionAbortedError):  # what the loop makes of its timeout
        return "handshake-too-slow"
    return "handshake-abandoned"
