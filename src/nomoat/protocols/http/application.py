"""The ASGI application: every request finds its route or is refused, and every refusal is recorded."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeAlias, final

from nomoat.core.connection import Connection, Presented
from nomoat.core.errors import Disconnected, Misuse, NoMoatError, NotFound, Refused, Unavailable
from nomoat.guard import Guard
from nomoat.protocols.http.asgi import Receive, Scope, Send
from nomoat.protocols.http.credentials import parse_presented
from nomoat.protocols.http.errors import headers_of, sentence, status_of
from nomoat.protocols.http.exchange import Exchange, Held, parse_segments
from nomoat.protocols.http.routes import Route, RouteTable

ErrorHeaders: TypeAlias = Callable[[NoMoatError, str], Mapping[str, str]]
ErrorBody: TypeAlias = Callable[[NoMoatError], Mapping[str, object]]

CONNECTION: Final = "nomoat.connection"  # where the server puts the Connection into the scope's state
_log = logging.getLogger("nomoat")


@final
class Application:
    """Serves the listed routes through the guard.

    `nonce` returns the nonce that DPoP proofs should hold now. `error_headers` gives a protocol (by its word in the route) headers of its own for errors, which may be others for a client of another name (User-Agent); `error_bodies` gives it a body of its own.
    """

    def __init__(
        self,
        guard: Guard,
        routes: Iterable[Route],
        nonce: Callable[[], str],
        error_headers: Mapping[str, ErrorHeaders] | None = None,
        error_bodies: Mapping[str, ErrorBody] | None = None,
    ) -> None:
        self._guard = guard
        self._table = RouteTable(routes)
        self._held = Held()
        self._nonce = nonce
        self._error_headers = dict(error_headers or {})
        self._error_bodies = dict(error_bodies or {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI); anything but HTTP is refused by the server's configuration."""
        if scope["type"] != "http":
            raise Misuse(f"unexpected ASGI scope {scope['type']}")
        connection: Connection = scope["state"][CONNECTION]
        method: str = scope["method"]
        exchange = Exchange(scope, receive, send, Presented(connection, None, "http", method), self._held, self._nonce)
        protocol = "http"
        try:
            exchange.segments = parse_segments(scope["raw_path"])
            found = self._table.find(method, exchange.segments)
            protocol = found[0].protocol if found else "http"
            exchange.present(
                parse_presented(scope["headers"], connection, protocol=protocol, method=method, path=scope["raw_path"])
            )
            if found is None:
                raise NotFound("there is nothing at this address", kind="route")
            await found[0].handler(exchange, found[1])
        except Disconnected:
            connection.closed = True
        except asyncio.CancelledError:
            connection.cut()
            raise
        except NoMoatError as error:
            await self._fail(exchange, error, protocol)
        except Exception:  # noqa: BLE001 - the outermost boundary: a bug of ours ends here, closed
            _log.exception("a bug of ours; the request was not served")
            await self._fail(exchange, Misuse("unexpected"), protocol)

    async def _fail(self, exchange: Exchange, error: NoMoatError, protocol: str) -> None:
        """Record what has no record yet, then tell the caller; cut what has already begun."""
        if isinstance(error, Refused) and error.record is None and not exchange.started:
            try:
                await self._guard.refuse(exchange.presented, error)
            except Unavailable as unavailable:
                error = unavailable
        if exchange.started:
            exchange.presented.connection.cut()
            return
        own = self._error_headers.get(protocol)
        headers = {**headers_of(error), **(own(error, exchange.agent) if own else {})}
        record = error.record if isinstance(error, Refused) else None
        known = None if isinstance(error, NotFound) else record
        worded = self._error_bodies.get(protocol)
        body = worded(error) if worded else {"error": sentence(error), "record": known}
        try:
            await exchange.answer_json(status_of(error), body, headers=headers)
        except Disconnected:
            exchange.presented.connection.closed = True
