"""One HTTP exchange: a request's parts, parsed strictly, and the answer's parts, sent once.

Rules: the path is split before it is decoded and each segment is decoded once (RFC 3986, section
2.4). Bodies have a limit that the caller names, those that are held in memory have one together, and
one that stops arriving ends. A client that left stops the work (`Disconnected`).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from typing import Any, Final, TypeVar, cast, final
from urllib.parse import parse_qsl, unquote_to_bytes

import orjson

from nomoat.core.connection import Presented, Proof, Proven
from nomoat.core.errors import Disconnected, Malformed, TooLarge, Unavailable
from nomoat.protocols.http.asgi import Receive, Scope, Send

WorkT = TypeVar("WorkT")

LONGEST_PATH: Final = 4096
KNOWN_PATHS: Final = 1024  # that were split already: whoever reads a file comes back for more of it
MOST_QUERY_FIELDS: Final = 32
JSON_LIMIT: Final = 1 << 20  # bytes
MOST_HELD: Final = 256 << 20  # bytes of all bodies that are gathered in memory at one time
BAD_REQUEST: Final = 400
RECORD_HEADER: Final = b"nomoat-record"


@lru_cache(maxsize=KNOWN_PATHS)
def parse_segments(raw_path: bytes) -> tuple[str, ...]:
    """Split and decode a raw path. Raises `Malformed` for what does not decode to printable UTF-8."""
    if len(raw_path) > LONGEST_PATH:
        raise Malformed(f"the path is longer than {LONGEST_PATH} bytes")
    if not raw_path.startswith(b"/"):
        raise Malformed("the request target is not a path")
    try:
        if b"%" not in raw_path:
            segments = tuple(raw_path[1:].decode("utf-8").split("/"))
        else:
            segments = tuple([unquote_to_bytes(part).decode("utf-8") for part in raw_path[1:].split(b"/")])
    except UnicodeDecodeError:
        raise Malformed("the path is not UTF-8") from None
    if not "".join(segments).isprintable():
        raise Malformed("the path has characters that cannot be printed")
    return segments


@lru_cache(maxsize=256)
def _field_name(name: str) -> bytes:
    """A header's name as ASGI wants it; they are ours, and few."""
    return name.lower().encode("ascii")


@final
class Held:
    """The memory that gathered bodies of all requests together may take."""

    def __init__(self, most: int = MOST_HELD) -> None:
        self.left = most

    @contextmanager
    def share(self) -> Generator[Callable[[int], None]]:
        """Yield what takes so many bytes more; all are given back at the end of the `with`."""
        taken = 0

        def take(size: int) -> None:
            nonlocal taken
            if size > self.left:
                raise Unavailable("memory", "too many large requests at once; try again")
            self.left -= size
            taken += size

        try:
            yield take
        finally:
            self.left += taken


@final
class Exchange:
    """A request and its answer. `segments` is the decoded path, `presented` who it is from.

    `started` tells whether the answer's status line was sent: from then on a failure can only cut, unless the answer is
    `streaming` events, of which the last one may say it.
    `record`, the number of the record of what was allowed, is told to the caller with the answer.
    `nonce` returns what the next DPoP proof of a caller who sends them should hold (RFC 9449, section 8.2).
    """

    __slots__ = (
        "_headers",
        "_held",
        "_nonce",
        "_receive",
        "_records",
        "_scope",
        "_send",
        "method",
        "presented",
        "segments",
        "started",
        "streaming",
    )

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        presented: Presented,
        held: Held,
        nonce: Callable[[], str] | None = None,
    ) -> None:
        # Apart from this: what is told would else refer to whom it is told by, and only the collector ends that.
        self._records: list[int] = []
        self.present(presented)
        self._held = held
        self._nonce = nonce
        self.method: str = scope["method"]
        self.segments: tuple[str, ...] = ()
        self.started = False
        self.streaming = False
        self._scope = scope
        self._receive = receive
        self._send = send
        self._headers: list[tuple[bytes, bytes]] = scope["headers"]

    def present(self, presented: Presented) -> None:
        """Set who the request is from."""
        connection, credential, protocol, method, _ = presented  # `_replace` costs three times as much
        self.presented = Presented(connection, credential, protocol, method, self._records.append)

    @property
    def record(self) -> int | None:
        """The number of the record of what was allowed; None before."""
        return self._records[-1] if self._records else None

    def header(self, name: str) -> str | None:
        """The value of a header that may come once. Raises `Malformed` when it is repeated."""
        key = _field_name(name)
        values = [value for header, value in self._headers if header == key]
        if len(values) > 1:
            raise Malformed(f"the header {name} is repeated")
        return values[0].decode("latin-1") if values else None

    @property
    def agent(self) -> str:
        """What the client calls itself (User-Agent), '' for nothing: it may be told things in other words."""
        return next((value.decode("latin-1") for name, value in self._headers if name == b"user-agent"), "")

    def query(self) -> Mapping[str, str]:
        """The query's fields, each at most once. Raises `Malformed` otherwise."""
        try:
            text = bytes(self._scope["query_string"]).decode("ascii")
            fields = parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_QUERY_FIELDS, errors="strict")
        except ValueError:
            raise Malformed("the query is not well formed") from None
        found = dict(fields)
        if len(found) != len(fields):
            raise Malformed("a field of the query is repeated")
        return found

    def asks(self, name: str) -> bool:
        """Whether the query has the field, once or more, with a value that means yes."""
        text = bytes(self._scope["query_string"]).decode("latin-1")
        try:
            fields = parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_QUERY_FIELDS)
        except ValueError:
            raise Malformed("the query is not well formed") from None
        return any(field == name and value.lower() in {"1", "true"} for field, value in fields)

    async def stream(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises `Disconnected` when the client left, or was silent for too long, before its end."""
        more = True
        while more:
            body, more = await self._more()
            if body:
                yield body

    async def _more(self) -> tuple[bytes, bool]:
        """A part of the body, and whether there is more. Raises `Disconnected`."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise Disconnected("the client left while sending")
        return message.get("body", b""), message.get("more_body", False)

    async def body(self, limit: int) -> bytes:
        """The whole body. Raises `TooLarge` over `limit` bytes, before reading further, and `Unavailable`."""
        declared = self.header("content-length")
        if declared is not None and declared.isdigit() and int(declared) > limit:
            raise TooLarge(f"the body is larger than {limit} bytes")
        body, more = await self._more()
        parts, size = [body], len(body)
        with self._held.share() as take:
            take(size)
            while more:
                if size > limit:
                    break
                body, more = await self._more()
                take(len(body))
                size += len(body)
                parts.append(body)
        if size > limit:
            raise TooLarge(f"the body is larger than {limit} bytes")
        return b"".join(parts)

    async def json(self, limit: int = JSON_LIMIT) -> dict[str, object]:
        """The body as a JSON object. Raises `Malformed` when it is not one."""
        try:
            value = orjson.loads(await self.body(limit))
        except orjson.JSONDecodeError:
            raise Malformed("the body is not JSON") from None
        if not isinstance(value, dict):
            raise Malformed("the body is not a JSON object")
        return cast("dict[str, object]", value)

    def holding(self) -> AbstractContextManager[Callable[[int], None]]:
        """What takes so many bytes of all bodies' memory for as long as what a body became is held. It raises `Unavailable`."""
        return self._held.share()

    async def attended(self, work: Coroutine[Any, Any, WorkT]) -> WorkT:
        """Wait for `work` after the body was read; it is cancelled when the client leaves. Raises `Disconnected`."""
        connection, task = self.presented.connection, asyncio.current_task()
        if connection.closed or task is None:
            work.close()
            raise Disconnected("the client left")
        connection.left = task.cancel
        try:
            return await work
        except asyncio.CancelledError:
            if not connection.closed:
                raise
            task.uncancel()
            raise Disconnected("the client left") from None
        finally:
            connection.left = None

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the status and headers; the body follows with `part`."""
        self.started = True
        encoded = [(_field_name(name), value.encode("latin-1")) for name, value in headers.items()]
        if self._nonce is not None and isinstance(self.presented.credential, (Proof, Proven)):
            encoded.append((b"dpop-nonce", self._nonce().encode("ascii")))
        if self._records and status < BAD_REQUEST:  # what a refusal tells of its record, it says itself
            encoded.append((RECORD_HEADER, b"%d" % self._records[-1]))
        await self._send({"type": "http.response.start", "status": status, "headers": encoded})

    async def part(self, body: bytes, *, more: bool = True) -> None:
        """Send a part of the body, then let others run (a fast client must not starve small requests)."""
        if self.presented.connection.closed:
            raise Disconnected("the client left")
        await self._send({"type": "http.response.body", "body": body, "more_body": more})
        if more:
            await asyncio.sleep(0)

    async def answer(
        self, status: int, body: bytes, *, content_type: str, headers: Mapping[str, str] | None = None
    ) -> None:
        """Send a whole answer. For HEAD, HTTP forbids a body; its length is still told."""
        fields = {"Content-Type": content_type, "Content-Length": str(len(body)), **(headers or {})}
        await self.start(status, fields)
        await self.part(b"" if self.method == "HEAD" else body, more=False)

    async def answer_json(self, status: int, value: object, *, headers: Mapping[str, str] | None = None) -> None:
        """Send a JSON answer."""
        await self.answer(status, orjson.dumps(value), content_type="application/json", headers=headers)
