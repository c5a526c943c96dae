"""Receivers of the log as they are in the world: they drop, refuse, dawdle, forget and come back.

Each is a small server of the outside party's protocol on a port of this machine. What it answered for is
in `kept`; a fault is taken from `faults` for each batch, in order, until there is none left.
"""

import io
import json
import socket
import ssl
import struct
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Kept:
    """Which records a receiver has, by number, and how often."""

    numbers: list[int] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    faults: deque[str] = field(default_factory=deque)
    attempts: int = 0
    port: int = 0
    token: str = ""

    def missing(self, size: int) -> set[int]:
        return set(range(size)) - set(self.numbers)

    def take(self, event: dict[str, Any]) -> None:
        self.numbers.append(event["metadata"]["sequence"])
        self.events.append(event)

    def fault(self) -> str:
        self.attempts += 1
        return self.faults.popleft() if self.faults else ""


class Handler(BaseHTTPRequestHandler):
    """What OTLP collector and Splunk have in common: a POST that succeeds, or does not in one of many ways."""

    protocol_version = "HTTP/1.1"
    kept: Kept

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if "ack?" in self.path:
            return self.acknowledge(json.loads(body))
        fault = self.kept.fault()
        if fault == "drop":
            return self.reset()
        if fault == "slow":
            time.sleep(1.0)
        if fault.isdecimal():
            return self.say(int(fault), {})
        accepted = self.accept(body, fault)
        if fault == "kept but dropped":
            return self.reset()
        return self.say(200, accepted)

    def accept(self, body: bytes, fault: str) -> dict[str, Any]:
        raise NotImplementedError

    def acknowledge(self, question: dict[str, Any]) -> None:
        raise NotImplementedError

    def reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.wfile = io.BytesIO()
        self.connection.close()

    def say(self, status: int, answer: dict[str, Any]) -> None:
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        if status == 503:
            self.send_header("retry-after", "0")
        self.end_headers()
        self.wfile.write(content)


class Collector(Handler):
    """An OpenTelemetry collector."""

    def accept(self, body: bytes, fault: str) -> dict[str, Any]:
        assert self.path == "/v1/logs"
        for resource in json.loads(body)["resourceLogs"]:
            for scope in resource["scopeLogs"]:
                for record in scope["logRecords"]:
                    event = json.loads(record["body"]["stringValue"])
                    attributes = {each["key"]: each["value"] for each in record["attributes"]}
                    assert attributes["nomoat.record"] == {"intValue": str(event["metadata"]["sequence"])}
                    self.kept.take(event)
        return {"partialSuccess": {"rejectedLogRecords": "1"}} if fault == "partial" else {}


class Splunk(Handler):
    """An HTTP Event Collector. What it takes is indexed when somebody asks; until then a restart forgets it."""

    def accept(self, body: bytes, fault: str) -> dict[str, Any]:
        if self.headers["authorization"] != f"Splunk {self.kept.token}":
            raise AssertionError(self.headers["authorization"])
        decoder, text, taken = json.JSONDecoder(), body.decode(), []
        while text.strip():
            envelope, end = decoder.raw_decode(text)
            taken.append(envelope["event"])
            assert envelope["fields"]["nomoat_record"] == str(envelope["event"]["metadata"]["sequence"])
            text = text[end:].lstrip()
        number = self.kept.attempts
        pending: dict[int, list[dict[str, Any]]] = self.kept.__dict__.setdefault("pending", {})
        pending[number] = [] if fault == "lose" else taken
        if fault == "lose":
            self.kept.__dict__.setdefault("lost", set()).add(number)
        return {"text": "Success", "code": 0, "ackId": number}

    def acknowledge(self, question: dict[str, Any]) -> None:
        acks = {}
        for number in question["acks"]:
            known = number in self.kept.__dict__["pending"] and number not in self.kept.__dict__.get("lost", set())
            for event in self.kept.__dict__["pending"].pop(number, []) if known else []:
                self.kept.take(event)
            acks[str(number)] = known
        self.say(200, {"acks": acks})


@contextmanager
def http_receiver(kind: type[Handler], kept: Kept) -> Generator[str]:
    """A running receiver; its address is the same again when it comes back."""
    handler = type(kind.__name__, (kind,), {"kept": kept})
    ThreadingHTTPServer.allow_reuse_address = True
    server = ThreadingHTTPServer(("127.0.0.1", kept.port), handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that were dropped
    kept.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{kept.port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def frames(data: bytes) -> Iterator[bytes]:
    """Messages in octet-counting frames, as RFC 6587 says; a torn last one is left out."""
    while data:
        length, space, rest = data.partition(b" ")
        if not space or len(rest) < int(length):
            return
        yield rest[: int(length)]
        data = rest[int(length) :]


def parse_message(message: bytes) -> tuple[dict[str, str], dict[str, Any]]:
    """The header and the JSON of an RFC 5424 message, read as the grammar says."""
    text = message.decode("ascii")
    priority, time_stamp, host, application, process, kind, rest = text.split(" ", 6)
    assert priority.startswith("<")
    assert priority.endswith(">1")
    data, _, said = rest.partition("] ")
    header = {"priority": priority, "time": time_stamp, "host": host, "app": application, "process": process}
    return {**header, "kind": kind, "data": data + "]"}, json.loads(said)


@contextmanager
def syslog_receiver(kept: Kept, context: ssl.SSLContext | None = None) -> Generator[str]:
    """A syslog server. Faults: `drop` resets in the middle, `unread` reads nothing and closes, `slow` dawdles."""
    listener = socket.create_server(("127.0.0.1", kept.port), reuse_port=False)
    listener.settimeout(0.05)
    kept.port = listener.getsockname()[1]
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            try:
                plain, _ = listener.accept()
            except TimeoutError:
                continue
            with plain, suppress(OSError):
                plain.settimeout(5)
                fault = kept.fault()
                if fault == "unread":
                    time.sleep(0.1)  # so that there is something in the kernel that nobody read
                    continue
                channel = context.wrap_socket(plain, server_side=True) if context else plain
                data = b""
                if fault == "drop":
                    data = channel.recv(100)
                    channel.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    channel.close()
                    continue
                if fault == "slow":
                    time.sleep(0.5)
                while part := channel.recv(65536):
                    data += part
                for message in frames(data):
                    kept.take(parse_message(message)[1])
                if fault == "orderly" and isinstance(channel, ssl.SSLSocket):
                    channel.unwrap().close()
                channel.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"{'tls' if context else 'tcp'}://127.0.0.1:{kept.port}"
    finally:
        over.set()
        thread.join()
        listener.close()
