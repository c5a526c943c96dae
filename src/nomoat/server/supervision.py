"""What a supervisor such as systemd is told: ready, alive, stopping (sd_notify(3)).

Rules: says it where `NOTIFY_SOCKET` says, and nothing where that is not set. It is alive as long as
its event loop turns: a full disk or a silent witness is not mended by a restart.
"""

import asyncio
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, final

_MOST_US: Final = 3600 * 1_000_000


@final
class Supervisor:
    """The supervisor that this process was started by, if it was."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        # "@" is the first byte of an address in the abstract namespace (unix(7)).
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        given = environment.get("WATCHDOG_USEC", "")
        usable = given.isascii() and given.isdigit() and 0 < int(given) <= _MOST_US
        self._interval = int(given) / 2_000_000 if usable else 0.0

    def ready(self) -> None:
        """Say that it serves."""
        self._tell("READY=1")

    def stopping(self) -> None:
        """Say that it ends."""
        self._tell("STOPPING=1")

    async def keep_alive(self) -> None:
        """Say twice in the watchdog's time that the loop turns, until cancelled; nothing without one."""
        while self._interval:
            self._tell("WATCHDOG=1")
            await asyncio.sleep(self._interval)

    def _tell(self, state: str) -> None:
        if self._address:
            with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.sendto(state.encode(), self._address)
