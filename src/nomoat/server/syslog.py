"""A receiver of syslog messages over TLS (RFC 5425) or TCP (RFC 6587).

Rules: syslog has no acknowledgement, and what was written into a socket may never have been read. So
each batch has a connection of its own, which ends in order: everything is sent, our side is closed,
and the batch counts as delivered when the receiver closes its side. A system that closes with bytes
unread resets the connection instead (RFC 9293, section 3.6.1 and RFC 2525, section 2.17), and
then the batch comes again. A receiver that read and lost is beyond this protocol.
"""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from typing import Final, final

from nomoat.audit.delivery import Undelivered
from nomoat.audit.events import ReadableRecord
from nomoat.audit.payloads import syslog

TIMEOUT_S: Final = 30.0


@final
class SyslogReceiver:
    """A syslog server. `context` verifies it (None: plain TCP); `timeout` is for each step, in seconds."""

    def __init__(
        self, address: tuple[str, int], origin: str, context: ssl.SSLContext | None, timeout: float = TIMEOUT_S
    ) -> None:
        self._address = address
        self._origin = origin
        self._context = context
        self._timeout = timeout

    def encode(self, events: Sequence[ReadableRecord]) -> bytes:
        """Return the frames of these events."""
        return syslog(events, self._origin)

    async def deliver(self, payload: bytes) -> str:
        """Send it over a connection of its own, to that connection's orderly end."""
        try:
            await asyncio.to_thread(self._send, payload)
        except ssl.SSLCertVerificationError as error:
            raise Undelivered(f"its certificate does not verify ({error.verify_message})") from None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
            raise Undelivered(f"it cannot be reached, or went away ({reason})") from None
        return ""

    def _send(self, payload: bytes) -> None:
        with socket.create_connection(self._address, self._timeout) as plain:
            if self._context is None:
                plain.sendall(payload)
                plain.shutdown(socket.SHUT_WR)
                _read_to_the_end(plain)
                return
            with self._context.wrap_socket(plain, server_hostname=self._address[0]) as channel:
                channel.sendall(payload)
                # Sends close_notify and waits for the other one (RFC 5425, section 4.4). Many receivers close
                # the connection instead of answering it: that is an end in order as well, a reset is none.
                try:
                    channel.unwrap().close()
                except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
                    return


def _read_to_the_end(plain: socket.socket) -> None:
    """Return when the other side closed; whatever it says before is nothing that syslog knows."""
    while plain.recv(4096):
        pass
