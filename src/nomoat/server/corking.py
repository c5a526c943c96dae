"""Corking: what is written in one turn of the event loop leaves as one TLS record.

The HTTP server writes the head of an answer and its body one after the other. Each write by itself
would be a TLS record, a system call and a wake-up of the client: for a small answer more than half of
what sending it costs.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, Final, final

LARGEST_JOINED: Final = 16 * 1024  # bytes: what fits into one TLS record (RFC 8446, section 5.1)


@final
class CorkedTransport(asyncio.Transport):
    """A transport whose small writes wait for the next one, or for the end of the loop's turn.

    Order is kept; what is large, or does not fit in with what waits, goes out at once. `close` sends
    what waits, `abort` drops it. Everything else is the transport's that it wraps.
    """

    __slots__ = ("_loop", "_scheduled", "_transport", "_waiting")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._waiting = b""
        self._scheduled = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send `data`, after what waits."""
        if len(self._waiting) + len(data) <= LARGEST_JOINED:
            self._waiting += data
            if not self._scheduled:
                self._scheduled = True
                self._loop.call_soon(self._turn_over)
        elif self._waiting:
            waiting, self._waiting = self._waiting, b""
            self._transport.writelines((waiting, data))
        else:
            self._transport.write(data)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Send several pieces as one."""
        self.write(b"".join(list_of_data))

    def flush(self) -> None:
        """Send what waits."""
        if self._waiting:
            waiting, self._waiting = self._waiting, b""
            self._transport.write(waiting)

    def _turn_over(self) -> None:
        self._scheduled = False
        self.flush()

    # -- As the transport that it wraps -------------------------------------------------------------

    def close(self) -> None:
        """Send what waits, then close."""
        self.flush()
        self._transport.close()

    def abort(self) -> None:
        """Close at once, and forget what waits."""
        self._waiting = b""
        self._transport.abort()

    def is_closing(self) -> bool:
        """Whether it is closing or closed."""
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What is known of the connection."""
        return self._transport.get_extra_info(name, default)

    def pause_reading(self) -> None:
        """Receive nothing for now."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Receive again."""
        self._transport.resume_reading()

    def get_write_buffer_size(self) -> int:
        """How many bytes are not sent yet."""
        return len(self._waiting) + self._transport.get_write_buffer_size()
