"""The ASGI application: a local request in, the same request with a proof out, the answer back as it comes.

Rules: a body is streamed; only a small one is kept, to be sent again. A large one is not sent before the gateway
said that it wants it, which is after it authenticated: so every request can be made once more when the gateway
asks for a nonce or finds the token too old, and none is made more often than that. One that needs a person to
log in again waits for it, and is then made once more. What fails in the middle of an answer cuts it.
"""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, cast

from nomoat.client.errors import NotLoggedIn
from nomoat.client.proxy.door import Door, TurnedAway
from nomoat.client.proxy.holder import Holder, advice_of
from nomoat.client.proxy.rewriting import Rewriting
from nomoat.client.proxy.waiting import Waiting, asks_for_log_in
from nomoat.core.errors import NoMoatError, Refused, Unauthenticated, Unavailable
from nomoat.wire.connections import Broken, Head, Pool, ServerConnection

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

KEPT: Final = 1024 * 1024  # bytes of a body that is kept to be sent again
INVITATION_S: Final = 30.0  # how long the gateway may take to say that it wants a large body
PEER: Final = "nomoat.peer"  # where the server puts the connection's `Peer` into the scope's state

# RFC 9110, section 7.6.1; and what is ours to say, or nobody's.
_NOT_PASSED_ON: Final = frozenset(
    {
        *(b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"),
        *(
            b"authorization",
            b"x-api-key",
            b"dpop",
            b"host",
            b"cookie",
            b"expect",
            b"content-length",
            b"forwarded",
            b"via",
        ),
    }
)
_NOT_PASSED_BACK: Final = frozenset({b"connection", b"keep-alive", b"transfer-encoding", b"dpop-nonce", b"set-cookie"})
_REPEATABLE: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})  # RFC 9110, section 9.2.2


@dataclass(slots=True, eq=False)
class Peer:
    """A local client's connection; `closed` turns true when the client left, `still` tells it to go on waiting.

    `abandon` ends what is being asked for it, which nobody waits for any more.
    """

    closed: bool = False
    still: Callable[[], None] = lambda: None
    abandon: Callable[[], None] = lambda: None

    def leave(self) -> None:
        """Take note that the client left."""
        self.closed = True
        self.abandon()


@dataclass(slots=True)
class _Request:
    """What is passed on; `body` is a small body, kept, or None for one that is streamed (`length` '' if unknown)."""

    method: str
    path: str
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes | None
    length: bytes
    lent: bool
    receive: Receive
    peer: Peer
    is_current: bool  # HTTP/1.1: the client knows provisional answers
    begun: bool = False  # a part of the body has been passed on, and is not kept

    def head(self, host: bytes, proof: list[tuple[bytes, bytes]]) -> bytes:
        """The request's line and headers."""
        lines = [self.method.encode() + b" " + self.target + b" HTTP/1.1\r\nhost: " + host]
        lines += [name + b": " + value for name, value in self.headers]
        lines += [name + b": " + value for name, value in proof]
        if self.body is None:
            framing = b"content-length: " + self.length if self.length else b"transfer-encoding: chunked"
            lines += [framing, b"expect: 100-continue"]
        elif self.length:
            lines.append(b"content-length: " + self.length)
        return b"\r\n".join(lines) + b"\r\n\r\n"


_OF_MODELS: Final = tuple(
    b"/v1/" + call
    for call in (
        b"chat/",
        b"completions",
        b"responses",
        b"embeddings",
        b"messages",
        b"models",
        b"files",
        b"vector_stores",
    )
)


class ProxyApplication:
    """Passes requests that `door` admits on to the gateway, as whom `holder` is."""

    def __init__(self, door: Door, holder: Holder, waiting: Waiting, pool: Pool, rewriting: Rewriting) -> None:
        self._door = door
        self._holder = holder
        self._waiting = waiting
        self._pool = pool
        self._rewriting = rewriting
        self._host = rewriting.gateway.partition(b"://")[2]

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            lent = self._door.admit(scope["method"], scope["raw_path"], scope["headers"])
            await self._serve(await _read(scope, receive, lent=lent), sending)
        except TurnedAway as away:
            await _tell(send, away.status, away.reason, scope)
        except (NoMoatError, OSError) as error:
            if started:
                return  # the server cuts an answer that is not complete
            await _tell(send, *self._explain(error), scope)

    def _explain(self, error: NoMoatError | OSError) -> tuple[int, str]:
        """A status and a sentence for a request that could not be made."""
        if isinstance(error, ssl.SSLError):
            return 502, f"what answers at {self._holder.url} is not the gateway of this profile; nothing was sent to it"
        if isinstance(error, (OSError, Broken)):
            return 503, f"the gateway at {self._holder.url} cannot be reached, or broke off; try again"
        reason = error.reason if isinstance(error, (Refused, Unavailable)) else str(error)
        sentence = f"{reason}; {advice_of(error, self._holder.profile)}"
        return (503 if isinstance(error, Unavailable) else 403), sentence

    async def _serve(self, request: _Request, send: Send) -> None:
        connection, head = await self._ask_for_person(request) if request.lent else await self._ask(request)
        try:
            await self._relay(request, connection, head, send)
        except BaseException:
            connection.abort()
            raise
        request.peer.abandon = _nothing  # from here on it is another's
        self._pool.give_back(connection)

    async def _ask_for_person(self, request: _Request) -> tuple[ServerConnection, Head]:
        """Make the request, and once again if somebody logs in anew because that is what it needs."""
        session, token = self._holder.session, self._holder.token
        try:
            connection, head = await self._ask(request)
        except (Unauthenticated, NotLoggedIn) as ended:
            if not await self._logged_in(request, str(ended), session):
                raise
            await self._holder.refresh(token)
            return await self._ask(request)
        try:
            needed = asks_for_log_in(head)
            if not needed or not await self._logged_in(request, needed, session):
                return connection, head
            try:
                await self._holder.refresh(token)
            except Refused:
                return connection, head
        except BaseException:
            connection.abort()
            raise
        connection.abort()
        return await self._ask(request)

    async def _logged_in(self, request: _Request, why: str, session: str) -> bool:
        """Whether somebody logged in again while the request waited, and it can be made once more as it was."""
        if request.begun:
            return False

        def still() -> None:
            if request.is_current:
                request.peer.still()

        return await self._waiting.for_log_in(why, session, lambda: request.peer.closed, still)

    async def _ask(self, request: _Request) -> tuple[ServerConnection, Head]:
        """Make the request, once more where that is safe and may help, and return the answer's head."""
        again = fresh = False
        while True:
            proof = await self._holder.prove(request.method, request.path) if request.lent else []
            token = self._holder.token
            connection = await self._pool.take(fresh=fresh)
            request.peer.abandon = connection.abort
            try:
                if request.peer.closed:
                    raise Broken("the client left")
                head = await _exchange(connection, request, request.head(self._host, proof))
                self._holder.learn(head.get(b"dpop-nonce"))
                if again or not request.lent or not await self._may_help(head, token):
                    return connection, head
                async with aclosing(connection.parts()) as parts:
                    async for _ in parts:
                        pass
            except Broken:
                connection.abort()
                # One that was idle may have been closed while the request was on its way.
                gone = request.peer.closed
                if gone or fresh or not connection.used or not (request.method in _REPEATABLE or request.body is None):
                    raise
                if request.body is None and connection.may_continue:
                    raise  # a part of the body is gone
                fresh = True
                continue
            except BaseException:
                connection.abort()
                raise
            again = True
            request.peer.abandon = _nothing
            self._pool.give_back(connection)

    async def _may_help(self, head: Head, token: str) -> bool:
        """Whether the same request could be answered otherwise now: with the nonce, or with a new token."""
        if head.status != 401:
            return False
        challenge = head.get(b"www-authenticate")
        if b'"use_dpop_nonce"' in challenge:
            return True
        if b'"invalid_token"' not in challenge:
            return False
        await self._holder.refresh(token)
        return True

    async def _relay(self, request: _Request, connection: ServerConnection, head: Head, send: Send) -> None:
        headers = [
            (name, self._rewriting.header(name, value)) for name, value in head.headers if name not in _NOT_PASSED_BACK
        ]
        start = {"type": "http.response.start", "status": head.status, "headers": headers}
        async with aclosing(connection.parts()) as parts:
            typed = head.get(b"content-type"), head.get(b"content-length")
            # What a model says is not ours to change.
            if request.method != "HEAD" and not request.path.startswith("/v1/") and self._rewriting.is_for(*typed):
                body = self._rewriting.body(b"".join([part async for part in parts]))
                length = (b"content-length", b"%d" % len(body))
                start["headers"] = [header for header in headers if header[0] != b"content-length"] + [length]
                await send(start)
                await send({"type": "http.response.body", "body": body, "more_body": False})
                return
            await send(start)
            async for part in parts:
                if request.peer.closed:
                    raise Broken("the client left")
                await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _nothing() -> None:
    """Abandon nothing."""


async def _exchange(connection: ServerConnection, request: _Request, head: bytes) -> Head:
    """Send a request and return its answer's head, with as much of the body sent as was wanted."""
    connection.begin(request.method, owes_body=request.body is None)
    if request.body is not None:
        await connection.write(head + request.body)
        return await connection.answer()
    await connection.write(head)
    if await connection.invited(INVITATION_S):
        connection.may_continue = request.begun = True
        await _pump(connection, request)
    return await connection.answer()


async def _pump(connection: ServerConnection, request: _Request) -> None:
    """Pass a body on as it arrives, until its end or until the gateway has answered without the rest."""
    chunked, more = not request.length, True
    while more and connection.head is None:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise Broken("the client left")
        part, more = cast("bytes", message.get("body", b"")), message.get("more_body", False)
        if part:
            await connection.write(b"%x\r\n%b\r\n" % (len(part), part) if chunked else part)
    if not more:
        if chunked:
            await connection.write(b"0\r\n\r\n")
        connection.owes_body = False


async def _read(scope: Message, receive: Receive, *, lent: bool) -> _Request:
    """Take a request apart; a small body is read, a large one is left to be streamed."""
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    given = dict(headers)
    named = {name.strip().lower() for name in given.get(b"connection", b"").split(b",")}
    length = given.get(b"content-length", b"")
    chunked = b"transfer-encoding" in given
    small = not chunked and (not length or int(length) <= KEPT)
    raw_path: bytes = scope["raw_path"]
    query: bytes = scope["query_string"]
    return _Request(
        method=scope["method"],
        path=raw_path.decode("latin-1"),
        target=raw_path + (b"?" + query if query else b""),
        headers=[
            (name, value)
            for name, value in headers
            if name not in _NOT_PASSED_ON and name not in named and not name.startswith((b"x-forwarded-", b"proxy-"))
        ],
        body=await _gather(receive) if small and length not in {b"", b"0"} else b"" if small else None,
        length=b"" if chunked else length,
        lent=lent,
        receive=receive,
        peer=scope["state"][PEER],
        is_current=scope["http_version"] == "1.1",
    )


async def _gather(receive: Receive) -> bytes:
    parts: list[bytes] = []
    more = True
    while more:
        async with asyncio.timeout(60):
            message = await receive()
        if message["type"] == "http.disconnect":
            raise Broken("the client left")
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


async def _tell(send: Send, status: int, reason: str, asked: Message) -> None:
    """Answer for ourselves what was `asked` (the scope).

    In a program a Hub client prints what the header says of a 403 of this code, and nothing of others; the `hf`
    command does the contrary. Clients of models print what stands where OpenAI and Anthropic have their message.
    """
    of_models = asked["raw_path"].startswith(_OF_MODELS)
    worded = {"type": "error", "error": {"type": "permission_error", "message": reason}}
    body = json.dumps(worded if of_models else {"error": reason}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"x-error-message", reason.encode("latin-1", "replace")),
    ]
    if status == 403 and not dict(asked["headers"]).get(b"user-agent", b"").startswith(b"huggingface-cli/"):
        headers.append((b"x-error-code", b"GatedRepo"))
    if status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="nomoat proxy"'))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
