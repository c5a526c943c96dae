"""Whoever else is on the machine tries to borrow the identity behind a proxy: web pages, processes, users."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub.live import Live
from tests.hub.through import Through, through
from tests.server.wire import get

WHOAMI = "/v1/whoami"
IS_ROOT = os.geteuid() == 0
NOBODY = 65534


@pytest.fixture(scope="module")
def proxy(live: Live) -> Iterator[Through]:
    with through(live, "ingest") as running:
        yield running


def ask(proxy: Through, *lines: str, target: str = WHOAMI, method: str = "GET", host: str = "") -> tuple[int, str]:
    """One raw request; returns the status and everything that came."""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=20) as channel:
        named = host or proxy.host
        head = [
            f"{method} {target} HTTP/1.1",
            *([f"Host: {named}"] if named != "-" else []),
            *lines,
            "Connection: close",
        ]
        channel.sendall("\r\n".join([*head, "", ""]).encode())
        said = b""
        with contextlib.suppress(ConnectionResetError):
            while part := channel.recv(65536):
                said += part
    return int(said.split()[1]) if said else 0, said.decode("latin-1")


def shown(proxy: Through) -> str:
    return f"Authorization: Bearer {proxy.key}"


def test_who_shows_the_key_is_served(proxy: Through) -> None:
    assert ask(proxy, shown(proxy))[0] == 200
    assert ask(proxy, shown(proxy), host=f"LOCALHOST:{proxy.port}")[0] == 200


def test_attack_a_local_process_without_the_key(live: Live, proxy: Through) -> None:
    bearer = live.profiles["ingest"].read("hub/token").decode()
    before = len(live.records("by ingest", 1000))
    for lines in (
        (),
        ("Authorization: Bearer ",),
        ("Authorization: Bearer nomoat-proxy-x",),
        (f"Authorization: Bearer {proxy.key[:-1]}",),
        (f"Authorization: Basic {proxy.key}",),
        (f"Authorization: Bearer {bearer}",),
        (shown(proxy), "Authorization: Bearer other"),
        (f"Cookie: {proxy.key}",),
    ):
        assert ask(proxy, *lines)[0] == 401, lines
        assert ask(proxy, *lines, target=f"{WHOAMI}?key={proxy.key}")[0] == 401
    assert len(live.records("by ingest", 1000)) == before, "nothing of it reached the gateway"


def test_attack_the_key_of_another_proxy(live: Live, proxy: Through) -> None:
    with through(live, "train") as other:
        assert ask(proxy, shown(other))[0] == 401
        assert ask(other, shown(proxy))[0] == 401


def test_attack_a_proxys_key_is_nothing_at_the_gateway(live: Live, proxy: Through) -> None:
    assert get(live, WHOAMI, shown(proxy)).status == 401


def test_attack_a_web_page_with_an_origin(proxy: Through) -> None:
    for line in (
        "Origin: https://evil.example",
        "Origin: null",
        f"Origin: {proxy.url}",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Dest: empty",
    ):
        status, said = ask(proxy, line, shown(proxy))
        assert status == 403
        assert "access-control-allow" not in said.lower()
    preflight = ("Origin: https://evil.example", "Access-Control-Request-Method: GET")
    assert ask(proxy, *preflight, method="OPTIONS")[0] == 403


def test_attack_dns_rebinding(proxy: Through) -> None:
    """The page's own name points to 127.0.0.1: same origin for the browser, another Host for us."""
    for host in (f"evil.example:{proxy.port}", "evil.example", "127.0.0.1", f"127.0.0.1:{proxy.port + 1}", "", "-"):
        named = host or " "
        assert ask(proxy, shown(proxy), host=named)[0] in {400, 421}, host
    assert ask(proxy, shown(proxy), f"Host: {proxy.host}")[0] in {400, 421}, "twice"
    absolute = f"http://evil.example{WHOAMI}"
    assert ask(proxy, target=absolute)[0] in {400, 401}


def test_attack_a_credential_is_not_lent_out(proxy: Through) -> None:
    """Who has the key may use the identity, not take it along, and not administer with it."""
    for target in ("/v1/token", "/v1/certificate", "/%76%31/token", "/v1/revoke", "/v1/log", "/v1/whoami"):
        assert ask(proxy, shown(proxy), target=target, method="POST")[0] == 403, target
    assert ask(proxy, shown(proxy), target="/v1/token")[0] == 403
    assert ask(proxy, shown(proxy), method="CONNECT", target="evil.example:443")[0] in {400, 0}
    status, said = ask(proxy, shown(proxy))
    assert status == 200
    assert "dpop" not in "".join(said.split("\r\n\r\n")[0]).lower()


def test_attack_an_upload_url_carries_nothing_of_the_profile(proxy: Through) -> None:
    """It is the one thing that is passed on without the key, and so as nobody."""
    digest = "a" * 64
    status, said = ask(proxy, method="PUT", target=f"/lfs/dataset/acme/digits/{digest}/1/secret")
    assert status == 401
    assert "upload URL" in said
    assert ask(proxy, target=f"/lfs/dataset/acme/digits/{digest}/1/secret")[0] == 401
    assert ask(proxy, method="PUT", target="/api/datasets/acme/digits")[0] == 401


def test_attack_smuggled_and_hop_by_hop_headers(proxy: Through) -> None:
    known = ask(proxy, shown(proxy), "Connection: authorization, dpop", "X-Forwarded-For: 10.0.0.1", "DPoP: x")
    assert known[0] == 200
    assert '"binding":"dpop"' in known[1]
    for lines in (("Content-Length: 0", "Transfer-Encoding: chunked"), ("Content-Length: 1", "Content-Length: 2")):
        assert ask(proxy, shown(proxy), *lines, method="POST", target="/api/repos/create")[0] in {0, 400}


def test_attack_a_target_that_becomes_another_one_on_the_way(live: Live, proxy: Through) -> None:
    """What the door read is what the gateway reads: no dots, slashes or authorities that are resolved behind it."""
    before = len(live.records("by ingest what IssueToken", 1000))
    for target in (
        "/./v1/token",
        "/x/../v1/token",
        "/%2e/v1/token",
        "/x/%2e%2e/v1/token",
        "//v1/token",
        "//evil.example/v1/token",
        "/V1/token",
        "/v1%2Ftoken",
        "/v1/whoami/../token",
        "/v1;x/token",
        "/api/../v1/token?x",
        "/%2576%2531/token",
        f"http://{proxy.host}/v1/token",
        "*",
    ):
        status, said = ask(proxy, shown(proxy), "Content-Length: 0", target=target, method="POST")
        assert status in {0, 400, 403, 404, 405}, (target, status)
        assert "access_token" not in said
    assert len(live.records("by ingest what IssueToken", 1000)) == before


def test_attack_a_second_request_hidden_behind_one_that_shows_the_key(live: Live, proxy: Through) -> None:
    """Pipelined, folded into a header, behind a body of two lengths, or after an upgrade: it needs the key itself."""
    hidden = f"POST /api/repos/create HTTP/1.1\r\nHost: {proxy.host}\r\nContent-Length: 0\r\n\r\n"
    before = len(live.records("by ingest what CreateRepository", 1000))
    first = f"HTTP/1.1\r\nHost: {proxy.host}\r\n{shown(proxy)}\r\n"
    for lines in (
        "",
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding:\x0bchunked\r\n",
        "Transfer-Encoding: chunked\r\n",
        "X-Folded: a\r\n Transfer-Encoding: chunked\r\n",
        "Content-Length: +0\r\n",
        "Content-Length : 0\r\n",
        "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA\r\n",
    ):
        for method in ("GET", "POST"):
            with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as channel:
                channel.sendall(f"{method} {WHOAMI} {first}{lines}\r\n0\r\n\r\n{hidden}".encode())
                channel.shutdown(socket.SHUT_WR)
                said = b""
                with contextlib.suppress(ConnectionResetError, TimeoutError):
                    while part := channel.recv(65536):
                        said += part
            statuses = [part[:3] for part in said.split(b"HTTP/1.1 ")[1:]]
            assert b"101" not in statuses, lines
            assert statuses.count(b"200") <= 1, (lines, said)
    assert len(live.records("by ingest what CreateRepository", 1000)) == before


def test_attack_another_users_process_reads_no_key(proxy: Through) -> None:
    path = proxy.proxy.entrance.token_path
    while path != proxy.live.root:
        allowed = 0o600 if path.is_file() else 0o700
        assert path.stat().st_mode & 0o777 == allowed, path
        path = path.parent
        if path.name == "home":
            break


AS_NOBODY = """
import os, socket, sys
os.setgid({user}); os.setuid({user})
channel = socket.socket(socket.AF_UNIX)
try:
    channel.connect(sys.argv[1])
    channel.sendall(b"GET /v1/whoami HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
    print(channel.recv(1000))
except OSError as error:
    print(type(error).__name__)
"""


@pytest.mark.skipif(not IS_ROOT, reason="only root can become another user")
@pytest.mark.parametrize("mode", [0o600, 0o666])
def test_attack_another_local_user_at_the_socket(live: Live, mode: int) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o755)
        path = folder / "proxy.sock"
        with through(live, "ingest", str(path)):
            path.chmod(mode)  # 0666: even if somebody opened it up
            program = textwrap.dedent(AS_NOBODY.format(user=NOBODY))
            said = subprocess.run(
                [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True, timeout=30
            )
            assert said.stdout.strip() in {"PermissionError", "ConnectionResetError", "BrokenPipeError", "b''"}
    finally:
        shutil.rmtree(folder)
