"""A gateway under its operator's hands: bounds on connections, an orderly end, a supervisor, logs, traces."""

import asyncio
import gzip
import http.server
import io
import json
import logging
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from nomoat.client.transport import pinned_context
from nomoat.server.admission import Admission, Limits
from nomoat.server.logs import LOGGER, tell_operator
from nomoat.server.supervision import Supervisor
from tests.cli.live import Caller, Live
from tests.hub.live import gateway
from tests.server.foreign import foreign_certificate
from tests.server.test_backup import serving
from tests.server.test_kill import all_records

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def configured(root: Path, *lines: str) -> Generator[tuple[Live, Caller]]:
    """A gateway whose configuration has these lines too, and its administrator."""
    live = Live(root / "gateway")
    path = live.data / "nomoat.toml"
    path.write_text(path.read_text() + "".join(f"{line}\n" for line in lines))
    with live:
        yield live, live.admin()


def address(live: Live) -> tuple[str, int]:
    host, _, port = live.url.removeprefix("https://").partition(":")
    return host, int(port)


def is_closed(channel: socket.socket, seconds: float = 5) -> bool:
    channel.settimeout(seconds)
    try:
        return channel.recv(1) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


def counted(admin: Caller, reason: str, seconds: float = 25.0) -> dict[str, object]:
    """The coalesced record that counts `reason`, once it was written."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = admin.nomoat("audit", "search", "what Authenticate refused", "--json", "--limit", "1000").json()[
            "records"
        ]
        assert isinstance(found, list)
        for record in found:
            if reason in record.get("reasons", {}):
                return dict(record)
        time.sleep(0.5)
    raise AssertionError(f"no record counts {reason}")


def held(live: Live, count: int, stack: ExitStack, seconds: float = 15.0) -> list[socket.socket]:
    """So many half-open connections, with no handshake ever; one that came before a log-in's had ended is made again."""
    found, end = list[socket.socket](), time.monotonic() + seconds
    while len(found) < count:
        assert time.monotonic() < end, f"only {len(found)} connections of {count} are let in"
        channel = stack.enter_context(socket.create_connection(address(live)))
        if not is_closed(channel, seconds=0.1):
            found.append(channel)
    return found


# -- Connections ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Troubled:
    """What came of bad connections: the status among them, what ended by itself, and the record of each reason."""

    status: dict[str, object]
    endless_ended: bool
    counted: dict[str, dict[str, object]]


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Troubled:
    """All of them at one time: most of it is waiting, for ten seconds at a time."""
    root = tmp_path_factory.mktemp("troubled")
    with configured(root, "connections = 20", "connections_per_source = 12") as (live, ann), ExitStack() as stack:
        context = pinned_context((ann.profile / "ca.pem").read_text())
        context.load_cert_chain(*foreign_certificate(root))
        # In TLS 1.3 the client is done before the gateway looks at its certificate.
        with (
            context.wrap_socket(socket.create_connection(address(live)), server_hostname="localhost") as channel,
            suppress(OSError),
        ):
            channel.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert channel.recv(1) == b""
        with socket.create_connection(address(live)) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert is_closed(plain)
        idle = held(live, 12, stack)
        with socket.create_connection(address(live)) as late:
            assert is_closed(late)
        for each in idle[:6]:
            each.close()
        time.sleep(0.3)
        status = ann.nomoat("status", "--json").json()
        ended = is_closed(idle[6], seconds=20)
        reasons = ("http_request", "certificate_verify_failed", "too-many-connections-of-one-source")
        return Troubled(status, ended, {each: counted(ann, each) for each in (*reasons, "handshake-too-slow")})


def test_attack_idle_connections_are_bounded_and_the_refused_are_counted(troubled: Troubled) -> None:
    said = troubled.status
    assert (said["connections_at_most"], said["connections"]) == (20, 7)
    refused = said["refused_connections"]
    assert isinstance(refused, dict)
    assert refused["too-many-connections-of-one-source"] >= 1
    assert troubled.counted["too-many-connections-of-one-source"]["context"] == {"source": "127.0.0.1"}


@pytest.mark.parametrize("reason", ["http_request", "certificate_verify_failed"])
def test_a_failed_handshake_is_counted_with_its_peers_address_and_reason(troubled: Troubled, reason: str) -> None:
    assert troubled.counted[reason]["context"] == {"source": "127.0.0.1"}


def test_a_handshake_that_never_ends_does(troubled: Troubled) -> None:
    assert troubled.endless_ended
    assert troubled.counted["handshake-too-slow"]


class Ticking:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_handshakes_are_let_in_at_their_rate_and_a_burst_of_two_seconds() -> None:
    clock, told = Ticking(), list[str]()
    admission = Admission(Limits(1000, 1000, 10), lambda _, reason: told.append(reason), clock)
    assert sum(admission.admit("a") for _ in range(50)) == 20
    assert set(told) == {"too-many-handshakes"}
    clock.now += 0.5
    assert sum(admission.admit("b") for _ in range(50)) == 5
    clock.now += 1000
    assert sum(admission.admit("c") for _ in range(50)) == 20
    assert admission.open == 45
    assert admission.refused["too-many-handshakes"] == len(told)
    for source, number in (("a", 20), ("b", 5), ("c", 20)):
        for _ in range(number):
            admission.leave(source)
    assert admission.open == 0


# -- The end ----------------------------------------------------------------------------------------


def test_at_the_end_what_is_served_may_finish_and_the_rest_is_cut_and_recorded(tmp_path: Path) -> None:
    with gateway(tmp_path) as live:
        live.done("ingest", "import huggingface_hub as hub; hub.create_repo('acme/digits', repo_type='dataset')")
        live.done(
            "ingest",
            "import huggingface_hub as hub; hub.upload_file(path_or_fileobj=bytes(60_000_000), path_in_repo='big',"
            " repo_id='acme/digits', repo_type='dataset')",
        )
    begun = 0.0
    context = pinned_context(live.profiles["ingest"].read("ca.pem").decode())
    token = live.profiles["ingest"].read("hub/token").decode()
    lines = f"GET /datasets/acme/digits/resolve/main/big HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
    with ExitStack() as stack:
        with serving(live, live.directory) as running:
            host, _, port = running.url.removeprefix("https://").partition(":")
            plain = stack.enter_context(socket.create_connection((host, int(port))))
            stalled = stack.enter_context(context.wrap_socket(plain, server_hostname=host))
            stalled.sendall(lines.encode())
            assert stalled.recv(10).startswith(b"HTTP/1.1 2")
            time.sleep(0.5)  # it reads no further, and the gateway waits for it
            begun = time.monotonic()
        assert 9 < time.monotonic() - begun < 20  # and the gateway ended with 0
    records = asyncio.run(all_records(live))
    read = [record for record in records if record["what"] == "ReadFile"][-1]
    outcome = read["outcome"]
    assert isinstance(outcome, dict)
    assert outcome["outcome"] == "interrupted"
    size = outcome["bytes"]
    assert isinstance(size, int)
    assert 0 < size < 60_000_000
    opened = [record for record in records if record["what"] == "LogOpened"][-1]
    assert opened["interrupted"] == 0, "an access was left open"


# -- A supervisor -----------------------------------------------------------------------------------


def test_a_supervisor_is_told_ready_alive_and_stopping(tmp_path: Path) -> None:
    live = Live(tmp_path / "gateway")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(tmp_path / "notify"))
        told.settimeout(20)
        environment = {
            **live.operator.environment,
            "NOTIFY_SOCKET": str(tmp_path / "notify"),
            "WATCHDOG_USEC": "400000",
        }
        command = [sys.executable, "-m", "nomoat.cli", "serve", str(live.data)]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            said = [told.recv(100) for _ in range(4)]
            process.send_signal(signal.SIGTERM)
            assert b"READY=1" in said
            assert said.count(b"WATCHDOG=1") >= 2
            while told.recv(100) != b"STOPPING=1":
                pass
            assert process.wait(20) == 0


def test_without_a_supervisor_nobody_is_told() -> None:
    supervisor = Supervisor({"WATCHDOG_USEC": "a lot"})
    supervisor.ready()
    asyncio.run(asyncio.wait_for(supervisor.keep_alive(), 1))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_the_unit_is_one_and_is_hardened(tmp_path: Path) -> None:
    text = (ROOT / "deploy" / "nomoat.service").read_text()
    unit = tmp_path / "nomoat.service"
    # Where systemd looks for the program and the user when it checks the unit.
    unit.write_text(
        text.replace("/opt/nomoat/bin/nomoat", "/bin/true").replace("=nomoat\nGroup=nomoat", "=daemon\nGroup=daemon")
    )
    verified = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (verified.returncode, [line for line in verified.stderr.splitlines() if "nomoat" in line]) == (0, [])
    command = ["systemd-analyze", "security", "--offline=yes", "--threshold=20", "--no-pager", str(unit)]
    graded = subprocess.run(command, capture_output=True, text=True, check=False)
    assert graded.returncode == 0, graded.stdout + graded.stderr


# -- What it tells ----------------------------------------------------------------------------------


def test_what_the_operator_is_told_has_no_secret_and_one_line() -> None:
    kept = logging.getLogger(LOGGER)
    before = (kept.handlers, kept.propagate, kept.level)
    try:
        for as_json in (True, False):
            stream = io.StringIO()
            tell_operator(stream, as_json=as_json)
            try:
                raise ValueError("Bearer s3cret of ann")
            except ValueError:
                logging.getLogger(LOGGER).exception("a bug of ours;\nit \x1b[31m was not served")
            (line,) = stream.getvalue().splitlines()
            assert "s3cret" not in line
            assert "ann" not in line
            assert "\x1b" not in line
            assert "ValueError" in line
            assert "test_operating.py" in line
            if as_json:
                assert json.loads(line)["level"] == "error"
    finally:
        kept.handlers, kept.propagate = before[:2]
        kept.setLevel(before[2])


STEPS = {"access", "authenticate", "parse", "resolve", "decide", "record", "serve", "close"}
ATTRIBUTES = {"nomoat.protocol", "nomoat.action", "nomoat.allowed", "nomoat.ending"}


def test_traces_have_the_steps_of_the_path_and_name_nobody(tmp_path: Path) -> None:
    bodies: list[bytes] = []

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector) as collector:
        threading.Thread(target=collector.serve_forever, daemon=True).start()
        with configured(tmp_path, f'traces = "http://127.0.0.1:{collector.server_port}/v1/traces"') as (live, ann):
            ben = live.person(ann, "ben")
            assert ann.nomoat("status").code == 0
            assert ben.nomoat("status").code == 1
            assert live.stop() == 0
        collector.shutdown()
    spans = []
    for body in bodies:
        plain = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
        for secret in (b"ann", b"ben", b"127.0.0.1", b"acme", b"person:"):
            assert secret not in plain
        for sent in ExportTraceServiceRequest.FromString(plain).resource_spans:
            assert {each.key for each in sent.resource.attributes} == {"service.name", "service.version"}
            spans += [span for scope in sent.scope_spans for span in scope.spans]
    assert {span.name for span in spans} == {f"nomoat.{step}" for step in STEPS}
    assert {each.key for span in spans for each in span.attributes} <= ATTRIBUTES
    events = {event.name for span in spans for event in span.events}
    assert events == {"permit"}
    refused = [
        span
        for span in spans
        if any(each.key == "nomoat.ending" and each.value.string_value == "NotPermitted" for each in span.attributes)
    ]
    assert len(refused) == 1


def test_without_traces_nothing_of_opentelemetry_is_loaded(tmp_path: Path) -> None:
    live = Live(tmp_path / "gateway")
    script = """
import asyncio, sys, time
from pathlib import Path
from nomoat.guard import Guard
from nomoat.server.assembly import open_gateway
from nomoat.server.configuration import load_configuration
async def main():
    directory = Path(sys.argv[1])
    async with open_gateway(directory, load_configuration(directory), time.time) as gateway:
        assert type(gateway.guard) is Guard
        print([name for name in sys.modules if name.startswith("opentelemetry")])
asyncio.run(main())
"""
    said = subprocess.run([sys.executable, "-c", script, str(live.data)], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"
