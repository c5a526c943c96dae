"""Attacks over the network, byte by byte, on a gateway in a process of its own."""

import contextlib
import json

from tests.hub.live import Live, commit_lines
from tests.server.wire import bearer, connect, get, read_answer

MEBIBYTE = 1 << 20


def head(method: str, path: str, *lines: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: gateway", *lines, "", ""]).encode()


def test_attack_strangers_cannot_park_bodies_in_memory(live: Live) -> None:
    """A route that was public, with a body, kept up to 1 MiB for everybody who never finished it."""
    before = live.resident
    with contextlib.ExitStack() as held:
        for _ in range(100):
            channel = held.enter_context(connect(live))
            channel.sendall(head("POST", "/api/validate-yaml", f"Content-Length: {MEBIBYTE}"))
            assert read_answer(channel).status == 200  # at once, unread
            channel.sendall(b"x" * (MEBIBYTE - 1))
        assert get(live, "/v1/checkpoint").status == 200
        assert live.resident - before < 100 * MEBIBYTE  # about 60 are what so many TLS connections take


def test_attack_a_credential_in_the_trailers_is_none(live: Live) -> None:
    """What comes after a body was never looked at before the body was read, and is no header."""
    body = b"2\r\n{}\r\n0\r\n" + bearer(live, "ingest").encode() + b"\r\n\r\n"
    with connect(live) as channel:
        channel.sendall(head("POST", "/v1/token", "Transfer-Encoding: chunked") + body)
        assert read_answer(channel).status == 401


def test_attack_two_lengths_of_one_body_are_not_parsed(live: Live) -> None:
    for lines in (
        ("Content-Length: 2", "Transfer-Encoding: chunked"),
        ("Content-Length: 2", "Content-Length: 3"),
        ("Transfer-Encoding: chunked, identity",),
    ):
        with connect(live) as channel:
            channel.sendall(head("POST", "/v1/token", *lines) + b"0\r\n\r\nGET /v1/ca HTTP/1.1\r\nHost: g\r\n\r\n")
            assert read_answer(channel).status in {0, 400, 401}


def test_attack_a_bearer_over_somebody_elses_certificate_is_unbound(live: Live) -> None:
    """The bearer of A over the mutual TLS of B is A, by a credential that anybody could carry."""
    answer = get(live, "/v1/whoami", bearer(live, "scientist"), profile="ingest")
    known = json.loads(answer.body)
    assert (known["subject"], known["binding"]) == ("person:scientist", "none")
    assert get(live, "/v1/token", bearer(live, "scientist"), method="POST", body=b"{}", profile="ingest").status == 403


def test_attack_every_route_of_a_hidden_repository_answers_like_a_missing_one(live: Live) -> None:
    """Byte for byte, for who may discover neither; writing and listing included."""
    line = "".join(commit_lines({"a.txt": b"1"})).encode()
    batch = {"operation": "upload", "hash_algo": "sha256", "objects": [{"oid": "a" * 64, "size": 1}]}
    requests = [
        ("GET", "/api/datasets/acme/{}", b""),
        ("GET", "/api/datasets/acme/{}/revision/main", b""),
        ("GET", "/api/datasets/acme/{}/revision/nowhere", b""),
        ("GET", "/api/datasets/acme/{}/refs", b""),
        ("GET", "/api/datasets/acme/{}/tree/main?recursive=true", b""),
        ("GET", "/api/datasets/acme/{}/tree/main/folder", b""),
        ("POST", "/api/datasets/acme/{}/paths-info/main", b"paths=data.csv"),
        ("HEAD", "/datasets/acme/{}/resolve/main/data.csv", b""),
        ("GET", "/datasets/acme/{}/resolve/main/data.csv", b""),
        ("POST", "/api/datasets/acme/{}/preupload/main", b'{"files": [{"path": "a", "size": 1}]}'),
        ("POST", "/api/datasets/acme/{}/preupload/main", b'{"files": []}'),
        ("GET", "/api/datasets/acme/{}/xet-write-token/main", b""),
        ("POST", "/datasets/acme/{}.git/info/lfs/objects/batch", json.dumps(batch).encode()),
        ("POST", "/api/datasets/acme/{}/commit/main", line),
    ]
    for name in ("visitor", "scientist"):
        for method, path, body in requests:
            hidden = live.raw(name, method, path.format("secrets"), body=body)
            missing = live.raw(name, method, path.format("absence"), body=body)
            assert hidden == missing, (name, method, path)
    for name in ("secrets", "absence"):
        created = json.dumps({"type": "dataset", "organization": "acme", "name": name}).encode()
        answer = live.raw("scientist", "POST", "/api/repos/create", body=created)
        assert (answer.status, json.loads(answer.text)) == (404, {"error": "Repository not found", "record": None})


def test_attack_nothing_a_caller_sends_reaches_the_standard_error_or_stops_the_gateway(live: Live) -> None:
    """Nesting, huge numbers, lone surrogates and broken encodings where JSON, TOML and paths are parsed."""
    deep = b"[" * 20_000 + b"]" * 20_000
    for body in (deep, b'{"csr":' + deep + b"}", b'{"csr": 1e999}', b'{"csr": "\\ud800"}', b"\xff\xfe", b"null", b""):
        for path in (
            "/v1/token",
            "/v1/certificate",
            "/v1/enroll",
            "/v1/revoke",
            "/v1/log",
            "/v1/directory",
            "/v1/policy",
        ):
            answer = get(live, path, bearer(live, "scientist"), method="POST", body=body)
            assert answer.status in {400, 403, 413}, (path, body[:20], answer.status)
    assert (live.root / "stderr").read_text() == ""


def test_attack_requests_sent_ahead_of_their_answers_cost_no_memory_without_end(live: Live) -> None:
    """Each answer let in another read of eighteen bytes a request, and each request waited as a few kilobytes."""
    before = live.resident
    with connect(live) as channel, contextlib.suppress(OSError):
        channel.settimeout(3)
        for _ in range(16):
            channel.sendall(b"GET / HTTP/1.1\r\nHost: g\r\n\r\n" * 14_000)
    assert get(live, "/v1/checkpoint").status == 200
    assert live.resident - before < 48 * MEBIBYTE


def test_some_requests_sent_ahead_are_answered_in_their_order(live: Live) -> None:
    names = ["ingest", "scientist", "visitor", "train"] * 4
    lines = [head("GET", "/v1/whoami", bearer(live, name)) for name in names]
    received = b""
    with connect(live) as channel:
        channel.sendall(b"".join([*lines, head("GET", "/v1/ca", "Connection: close")]))
        while part := channel.recv(1 << 16):
            received += part
    answers = [line for line in received.split(b"\r\n") if line.startswith(b'{"subject":')]
    assert [json.loads(line.partition(b"HTTP/")[0])["subject"].partition(":")[2] for line in answers] == names


def test_attack_what_does_not_parse_is_not_answered_in_the_place_of_what_was_served(live: Live) -> None:
    """The first request was allowed, recorded and served; its caller read that it was no HTTP."""
    with connect(live) as channel:
        channel.sendall(head("GET", "/v1/whoami", bearer(live, "ingest")) + b"nonsense\r\n\r\n")
        assert read_answer(channel).status in {0, 200}
