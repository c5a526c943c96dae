"""What is between a caller and the gateway: it carries connections, and can break one. It sees nothing of what it carries."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

PIECE = 1 << 16


@dataclass(eq=False)
class Break:
    """The end of one connection, after `after` bytes in one direction; `happened` once."""

    after: int
    happened: threading.Event = field(default_factory=threading.Event)


class Network:
    """Connections to `url` reach the gateway that it `leads_to`."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._gateway = ("", 0)
        self._breaks: dict[str, Break] = {}
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._listening.getsockname()[1]}"

    def leads_to(self, url: str) -> None:
        host, _, port = url.removeprefix("https://").partition(":")
        self._gateway = host, int(port)

    @contextmanager
    def breaking(self, *, upload: int = 0, download: int = 0) -> Iterator[None]:
        """Break one connection after so many bytes to the gateway, or from it; it must come to that."""
        made = Break(upload or download)
        self._breaks = {"to the gateway" if upload else "to the caller": made}
        yield
        self._breaks = {}
        assert made.happened.is_set()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(self._gateway)
                for source, target, way in ((near, far, "to the gateway"), (far, near, "to the caller")):
                    threading.Thread(target=self._carry, args=(source, target, way), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, way: str) -> None:
        # Bytes count from when the break was asked for: a proxy's connections are older than that.
        carried, counted = 0, None
        with contextlib.suppress(OSError):
            while part := source.recv(PIECE):
                target.sendall(part)
                breaks = self._breaks.get(way)
                carried = carried + len(part) if breaks is counted else len(part)
                counted = breaks
                if breaks and carried > breaks.after and not breaks.happened.is_set():
                    breaks.happened.set()
                    break
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        source.close()  # the other way closes the other end
