"""Requests that two parsers would read in two ways, byte by byte, to a gateway with a server that keeps its connections.

Each is followed by another caller's request on the same connection: that gets its own answer, or the connection is closed.
What reaches the server is what was authenticated and decided, and its next answer is the next caller's own.
"""

import contextlib
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.inference.conftest import Floor
from tests.inference.test_hostile_clients import ask
from tests.server.wire import bearer, connect

CHAT = "/v1/chat/completions"
COUNT = itertools.count()


def prompt(text: str) -> bytes:
    return json.dumps({"model": "echo", "messages": [{"role": "user", "content": text}]}).encode()


OWN = prompt("mine")
LENGTH = f"Content-Length: {len(OWN)}"
CHUNKED = "Transfer-Encoding: chunked"


def head(
    *lines: str, line: str = f"POST {CHAT} HTTP/1.1", host: str = "Host: gateway\r\n", auth: str = "AUTH\r\n"
) -> bytes:
    return "".join([line, "\r\n", host, auth, *(f"{each}\r\n" for each in lines), "\r\n"]).encode("latin-1")


def chunk(data: bytes, size: bytes = b"", extension: bytes = b"") -> bytes:
    return (size or b"%x" % len(data)) + extension + b"\r\n" + data + b"\r\n"


SMUGGLED = head(f"Content-Length: {len(prompt('smuggled'))}") + prompt("smuggled")
LAST = b"0\r\n\r\n"
SMALL, REST = OWN[:5], OWN[5:]


def with_length(*lines: str) -> bytes:
    return head(*lines, LENGTH) + OWN


def chunked(*parts: bytes) -> bytes:
    return head(CHUNKED) + b"".join(parts)


@dataclass
class Case:
    """Bytes, and the statuses that may be answered to them, 0 for none."""

    name: str
    sent: bytes
    statuses: set[int] = field(default_factory=lambda: {0, 400})


REFUSED = {0, 400}
MISSING = {0, 400, 404}
SERVED = {200}

LENGTHS = [
    Case("the-same-twice", head(LENGTH, LENGTH) + OWN + SMUGGLED),
    Case("two-different", head("Content-Length: 0", LENGTH) + OWN + SMUGGLED),
    Case("a-list", head(f"Content-Length: {len(OWN)}, {len(OWN)}") + OWN + SMUGGLED),
    Case("a-sign", head(f"Content-Length: +{len(OWN)}") + OWN + SMUGGLED),
    Case("negative", head("Content-Length: -1") + SMUGGLED),
    Case("hexadecimal", head(f"Content-Length: 0x{len(OWN):x}") + OWN + SMUGGLED),
    Case("more-than-64-bits", head(f"Content-Length: {(1 << 64) + len(OWN)}") + OWN + SMUGGLED),
    Case("a-space-within", head("Content-Length: 1 0") + OWN + SMUGGLED),
    Case("a-point", head(f"Content-Length: {len(OWN)}.0") + OWN + SMUGGLED),
    Case("empty", head("Content-Length:") + SMUGGLED),
    Case("a-space-before-the-colon", head(f"Content-Length : {len(OWN)}") + OWN + SMUGGLED),
    Case("a-tab-before-the-colon", head(f"Content-Length\t: {len(OWN)}") + OWN + SMUGGLED),
    Case("a-vertical-tab", head(f"Content-Length:\x0b{len(OWN)}") + OWN + SMUGGLED),
    Case("with-chunked-after", head(LENGTH, CHUNKED) + chunk(OWN) + LAST + SMUGGLED),
    Case("with-chunked-before", head(CHUNKED, LENGTH) + chunk(OWN) + LAST + SMUGGLED),
    Case("with-chunked-zero", head("Content-Length: 0", CHUNKED) + chunk(OWN) + LAST + SMUGGLED),
]

ENCODINGS = [
    Case(name, head(line) + chunk(OWN) + LAST + SMUGGLED)
    for name, line in (
        ("then-identity", "Transfer-Encoding: chunked, identity"),
        ("another-word", "Transfer-Encoding: xchunked"),
        ("identity", "Transfer-Encoding: identity"),
        ("twice-in-one", "Transfer-Encoding: chunked, chunked"),
        ("a-parameter", "Transfer-Encoding: chunked;q=1"),
        ("in-quotes", 'Transfer-Encoding: "chunked"'),
        ("a-vertical-tab-before", "Transfer-Encoding: \x0bchunked"),
        ("a-vertical-tab-after", "Transfer-Encoding: chunked\x0b"),
        ("a-zero", "Transfer-Encoding: chunked\0"),
        ("a-space-before-the-colon", "Transfer-Encoding : chunked"),
        ("a-tab-before-the-colon", "Transfer-Encoding\t: chunked"),
        ("a-comma-alone", "Transfer-Encoding: ,"),
        ("empty", "Transfer-Encoding:"),
        ("on-a-folded-line", "Transfer-Encoding:\r\n chunked"),
        ("after-a-bare-line-feed", "X-A: b\nTransfer-Encoding: chunked"),
        ("after-a-bare-carriage-return", "X-A: b\rTransfer-Encoding: chunked"),
    )
] + [
    Case("gzip-first", head("Transfer-Encoding: gzip, chunked") + chunk(OWN) + LAST, REFUSED | {200}),
    Case("in-two-fields", head("Transfer-Encoding: gzip", CHUNKED) + chunk(OWN) + LAST, REFUSED | {200}),
    Case("in-two-fields-chunked-first", head(CHUNKED, "Transfer-Encoding: gzip") + chunk(OWN) + LAST + SMUGGLED),
    Case("another-name", head("Transfer_Encoding: chunked") + chunk(OWN) + LAST + SMUGGLED, REFUSED),
    Case("of-http-1.0", head(CHUNKED, line=f"POST {CHAT} HTTP/1.0") + chunk(OWN) + LAST + SMUGGLED, REFUSED | {200}),
]

CHUNKS = [
    Case("a-space-before-the-size", chunked(chunk(OWN, b" %x" % len(OWN)), LAST, SMUGGLED)),
    Case("a-space-after-the-size", chunked(chunk(OWN, b"%x " % len(OWN)), LAST, SMUGGLED)),
    Case("a-tab-after-the-size", chunked(chunk(OWN, b"%x\t" % len(OWN)), LAST, SMUGGLED)),
    Case("a-plus", chunked(chunk(OWN, b"+%x" % len(OWN)), LAST, SMUGGLED)),
    Case("a-minus", chunked(chunk(OWN, b"-%x" % len(OWN)), LAST, SMUGGLED)),
    Case("hexadecimal-by-name", chunked(chunk(OWN, b"0x%x" % len(OWN)), LAST, SMUGGLED)),
    Case("an-underscore", chunked(chunk(OWN, b"0_%x" % len(OWN)), LAST, SMUGGLED)),
    Case("more-than-64-bits", chunked(chunk(OWN, b"1" + b"0" * 16), LAST, SMUGGLED)),
    Case("no-size", chunked(b"\r\n" + OWN + b"\r\n", LAST, SMUGGLED)),
    Case("no-digit", chunked(b"g\r\n" + OWN + b"\r\n", LAST, SMUGGLED)),
    Case("a-line-feed-after-the-size", chunked(b"%x\n" % len(OWN) + OWN + b"\r\n", LAST, SMUGGLED)),
    Case("a-carriage-return-after-the-size", chunked(b"%x\r" % len(OWN) + OWN + b"\r\n", LAST, SMUGGLED)),
    Case("a-line-feed-after-the-data", chunked(b"%x\r\n" % len(OWN) + OWN + b"\n", LAST, SMUGGLED)),
    Case("nothing-after-the-data", chunked(b"%x\r\n" % len(OWN) + OWN, LAST, SMUGGLED)),
    Case("more-data-than-its-size", chunked(chunk(OWN + b"xx", b"%x" % len(OWN)), LAST, SMUGGLED)),
    Case("an-extension-with-a-line-feed", chunked(chunk(OWN, extension=b";a=\n"), LAST, SMUGGLED)),
    Case("an-extension-with-a-zero", chunked(chunk(OWN, extension=b";a=\0"), LAST, SMUGGLED)),
    Case("a-last-one-with-a-line-feed", chunked(chunk(OWN), b"0\n\n", SMUGGLED)),
    Case("an-extension", chunked(chunk(OWN, extension=b";a=b"), LAST), SERVED),
    Case("an-extension-in-quotes", chunked(chunk(OWN, extension=b';a="b c"'), LAST), SERVED),
    Case("leading-zeros", chunked(chunk(OWN, b"%08x" % len(OWN)), LAST), SERVED),
    Case("in-capitals", chunked(chunk(OWN, b"%X" % len(OWN)), LAST), SERVED),
    Case("in-two", chunked(chunk(SMALL), chunk(REST), LAST), SERVED),
    Case(
        "trailers-that-mean-something",
        chunked(chunk(OWN), b"0\r\nTransfer-Encoding: chunked\r\nContent-Length: 7\r\n\r\n"),
        REFUSED | SERVED,
    ),
    Case("trailers-with-a-model", chunked(chunk(OWN), b"0\r\nOpenAI-Beta: x\r\nX-Api-Key: y\r\n\r\n"), SERVED),
]

FIELDS = [
    Case("folded", with_length("X-A: a", " b")),
    Case("folded-with-a-tab", with_length("X-A: a", "\tb")),
    Case("a-folded-length", head("Content-Length: 1", " 0") + OWN),
    Case("a-space-at-first", head(auth=" AUTH\r\n") + OWN, REFUSED | {401}),
    Case("a-bare-carriage-return", with_length("X-A: a\rX-Api-Key: b")),
    Case("a-bare-line-feed", with_length("X-A: a\nX-Api-Key: b")),
    Case("a-zero", with_length("X-A: a\0b")),
    Case("no-name", with_length(": a")),
    Case("no-colon", with_length("nothing")),
    Case("a-space-in-a-name", with_length("X A: a")),
    Case("a-name-that-is-no-token", with_length("X(A): a")),
    Case("lines-that-end-with-a-line-feed", with_length().replace(b"\r\n", b"\n")),
    Case("a-credential-twice", with_length("AUTH")),
    Case("a-credential-and-a-key", with_length("X-Api-Key: AUTH")),
    Case("connection-names-the-credential", with_length("Connection: Authorization"), SERVED),
    Case("crlf-in-a-value-that-is-passed-on", with_length("OpenAI-Beta: a\r\nX-Forwarded-User: root"), SERVED),
    Case("another-method-in-a-header", with_length("X-HTTP-Method-Override: DELETE"), SERVED),
    Case("another-address-in-a-header", with_length("X-Original-URL: /v1/models", "X-Rewrite-URL: /v1/ca"), SERVED),
]

TARGETS = [
    Case(name, head(LENGTH, line=f"POST {target} HTTP/1.1") + OWN, statuses)
    for name, target, statuses in (
        ("absolute", f"https://gateway{CHAT}", REFUSED | {200}),
        ("absolute-elsewhere", f"http://169.254.169.254{CHAT}", MISSING),
        ("absolute-with-a-user", f"https://a@gateway{CHAT}", MISSING),
        ("an-authority", f"//169.254.169.254{CHAT}", MISSING),
        ("an-asterisk", "*", MISSING),
        ("no-slash", CHAT[1:], MISSING),
        ("dots", "/v1/../v1/chat/completions", MISSING),
        ("a-dot", "/v1/./chat/completions", MISSING),
        ("encoded-dots", "/v1/%2e%2e/v1/chat/completions", MISSING),
        ("twice-encoded-dots", "/v1/%252e%252e/v1/chat/completions", MISSING),
        ("an-encoded-slash", "/v1/chat%2fcompletions", MISSING),
        ("a-twice-encoded-letter", "/v1/chat/%2563ompletions", MISSING),
        ("a-backslash", "/v1\\chat\\completions", MISSING),
        ("an-encoded-backslash", "/v1%5cchat%5ccompletions", MISSING),
        ("a-parameter", "/v1;a=b/chat/completions", MISSING),
        ("a-parameter-at-last", f"{CHAT};.css", MISSING),
        ("two-slashes", "/v1//chat/completions", MISSING),
        ("two-slashes-at-first", f"/{CHAT}", MISSING),
        ("a-slash-at-last", f"{CHAT}/", MISSING),
        ("an-encoded-zero", f"{CHAT}%00", MISSING),
        ("an-encoded-line", f"{CHAT}%0d%0aX-Api-Key:%20a", MISSING),
        ("capitals", "/V1/Chat/Completions", MISSING),
        ("half-an-encoding", f"{CHAT}%", MISSING),
        ("no-utf-8", f"{CHAT}%c0%af", MISSING),
        ("a-fragment", f"{CHAT}#x", MISSING | {200}),
        ("an-encoded-letter", "/v1/chat/%63ompletions", SERVED),
        ("a-query", f"{CHAT}?api-version=1", SERVED),
    )
]

HOSTS = [
    Case("none", head(LENGTH, host="") + OWN),
    Case("two", head(LENGTH, host="Host: gateway\r\nHost: elsewhere\r\n") + OWN),
    Case("the-same-twice", head(LENGTH, host="Host: gateway\r\nHost: gateway\r\n") + OWN),
    Case("a-list", head(LENGTH, host="Host: gateway, elsewhere\r\n") + OWN),
    Case("a-path", head(LENGTH, host="Host: gateway/v1\r\n") + OWN),
    Case("a-user", head(LENGTH, host="Host: a@gateway\r\n") + OWN),
    Case("elsewhere", head(LENGTH, host="Host: elsewhere\r\n") + OWN, SERVED),
    Case("forwarded", with_length("X-Forwarded-Host: a", "Forwarded: host=a;for=127.0.0.1"), SERVED),
]

VERSIONS = [
    Case("1.0", head(LENGTH, line=f"POST {CHAT} HTTP/1.0") + OWN, SERVED),
    Case("1.0-kept", head(LENGTH, "Connection: keep-alive", line=f"POST {CHAT} HTTP/1.0") + OWN, SERVED),
    Case("0.9", b"GET /v1/models\r\n", REFUSED),
    Case("1.2", head(LENGTH, line=f"POST {CHAT} HTTP/1.2") + OWN, REFUSED),
    Case("2.0", head(LENGTH, line=f"POST {CHAT} HTTP/2.0") + OWN, REFUSED),
    Case("the-preface-of-2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SMUGGLED, REFUSED),
    Case("another-protocol", head(LENGTH, line=f"POST {CHAT} HTTQ/1.1") + OWN, REFUSED),
    Case("two-spaces", head(LENGTH, line=f"POST  {CHAT} HTTP/1.1") + OWN, REFUSED | SERVED),
    Case("a-tab", head(LENGTH, line=f"POST\t{CHAT}\tHTTP/1.1") + OWN, REFUSED),
    Case("more-after-the-version", head(LENGTH, line=f"POST {CHAT} HTTP/1.1 x") + OWN, REFUSED),
    Case("a-method-in-small-letters", head(LENGTH, line=f"post {CHAT} HTTP/1.1") + OWN, REFUSED),
    Case("connect", head(line="CONNECT 169.254.169.254:80 HTTP/1.1") + SMUGGLED, MISSING),
    Case("trace", head(line=f"TRACE {CHAT} HTTP/1.1"), MISSING),
    Case("get-with-a-prompt", head(LENGTH, line=f"GET {CHAT} HTTP/1.1") + OWN, MISSING),
    Case(
        "h2c",
        with_length("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk") + SMUGGLED,
        REFUSED | SERVED,
    ),
    Case(
        "websocket",
        with_length("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: YQ==") + SMUGGLED,
        REFUSED | SERVED,
    ),
    Case("expects-to-continue", with_length("Expect: 100-continue"), SERVED),
    Case("expects-something-else", with_length("Expect: 200-ok"), {0, 400, 417, 200}),
    Case("without-a-credential", head(LENGTH, auth="") + OWN, {401}),
]

EVERY = {
    "length": LENGTHS,
    "encoding": ENCODINGS,
    "chunk": CHUNKS,
    "field": FIELDS,
    "target": TARGETS,
    "host": HOSTS,
    "version": VERSIONS,
}


def answers(received: bytes) -> list[tuple[int, bytes]]:
    """The final answers within what was received; one that was broken off has the status -1."""
    found: list[tuple[int, bytes]] = []
    while received:
        lines, end, received = received.partition(b"\r\n\r\n")
        status = int(lines.split()[1])
        fields = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(b":") for line in lines.split(b"\r\n")[1:])
        }
        if status < 200:
            continue
        if b"content-length" in fields:
            size = int(fields[b"content-length"])
            body, received = received[:size], received[size:]
            whole = len(body) == size
        elif b"transfer-encoding" in fields:
            body, last, received = received.partition(b"\r\n0\r\n\r\n")
            whole = bool(last)
        else:
            body, received, whole = received, b"", True
        found.append((status if end and whole else -1, body))
    return found


def exchange(floor: Floor, sent: bytes) -> list[tuple[int, bytes]]:
    received = b""
    with connect(floor.live) as channel, contextlib.suppress(OSError):
        channel.settimeout(20)
        channel.sendall(sent)
        while part := channel.recv(1 << 16):
            received += part
    return answers(received)


@pytest.mark.parametrize(
    ("room", "case"),
    [pytest.param(room, case, id=f"{room}-{case.name}") for room, cases in EVERY.items() for case in cases],
)
def test_attack_a_request_that_can_be_read_in_two_ways(floor: Floor, room: str, case: Case) -> None:
    del room
    before = len(floor.upstream.asked)
    follows = head("Connection: close", line="GET /v1/whoami HTTP/1.1", auth=bearer(floor.live, "guest") + "\r\n")
    sent = case.sent.replace(b"X-Api-Key: AUTH", b"X-Api-Key: " + floor.token("ada").encode())
    found = exchange(floor, sent.replace(b"AUTH", bearer(floor.live, "ada").encode()) + follows)
    own, after = found[:1], found[1:]
    assert (own[0][0] if own else 0) in case.statuses, found
    for status, body in after:
        told = (status, json.loads(body).get("subject") if status == 200 else None)
        assert told == (200, "person:guest") or (status == 400 and not own), found
    assert len(after) <= 1, "no more answers than requests"
    reached = [body["messages"][-1]["content"] for _, _, body in floor.upstream.asked[before:]]
    assert reached == (["mine"] if own and own[0][0] == 200 else []), "what was decided, and nothing else"
    text = f"the next caller's, number {next(COUNT)}"
    assert ask(floor, prompt(text))[1]["choices"][0]["message"]["content"] == text


def test_attack_requests_ahead_of_their_answers_are_each_their_own_caller_s(floor: Floor) -> None:
    names = ["ada", "streamer", "guest", "outsider"] * 3
    sent = b"".join(
        head(f"Content-Length: {len(prompt(name))}", auth=bearer(floor.live, name) + "\r\n") + prompt(name)
        for name in names
    )
    found = exchange(floor, sent + head("Connection: close", line="GET /v1/ca HTTP/1.1", auth=""))
    said: Callable[[bytes], Any] = lambda body: json.loads(body)["choices"][0]["message"]["content"]  # noqa: E731
    expected = [name if name in {"ada", "streamer"} else 404 for name in names]
    assert [said(body) if status == 200 else status for status, body in found[:-1]] == expected
    assert found[-1][0] == 200
