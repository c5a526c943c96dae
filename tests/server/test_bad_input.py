"""What hostile or broken clients send: each gets a clear error and nothing else, and the log knows of it."""

import base64
import json
import socket
import ssl
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.hub.live import Live, gateway
from tests.server.foreign import foreign_certificate
from tests.server.wire import Answer, bearer, connect, get, read_answer, send

FILE = "/datasets/acme/digits/resolve/main/metrics.json"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Generator[Live]:
    with gateway(tmp_path_factory.mktemp("live")) as running:
        running.done(
            "ingest",
            """
            from huggingface_hub import HfApi
            api = HfApi()
            api.create_repo("acme/digits", repo_type="dataset")
            api.upload_file(
                path_or_fileobj=b'{"accuracy": 1}', path_in_repo="metrics.json",
                repo_id="acme/digits", repo_type="dataset",
            )
            """,
        )
        yield running


def size(live: Live) -> int:
    return int(get(live, "/v1/checkpoint").body.split(b"\n")[1])


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_the_good_request_is_served(live: Live) -> None:
    assert get(live, FILE, bearer(live, "ingest")).body == b'{"accuracy": 1}'


TOKENS = {
    "malformed": "x.y.z",
    "empty-parts": "..",
    "alg-none": f"{part({'alg': 'none', 'typ': 'at+jwt'})}.{part({'sub': 'spiffe://acme.example/ingest'})}.",
    "alg-hs256": f"{part({'alg': 'HS256', 'typ': 'at+jwt'})}.{part({'sub': 'spiffe://acme.example/ingest'})}.AAAA",
    "oversized": "a" * 6000,
}


@pytest.mark.parametrize("token", TOKENS.values(), ids=TOKENS.keys())
def test_a_bad_token_is_refused_with_401(live: Live, token: str) -> None:
    answer = get(live, FILE, f"Authorization: Bearer {token}")
    assert answer.status == 401
    assert "www-authenticate" in answer.headers
    assert len(answer.error) < 200


@pytest.mark.parametrize("place", range(3))
def test_a_token_changed_in_any_part_is_refused(live: Live, place: int) -> None:
    token = bearer(live, "ingest").rpartition(" ")[2].split(".")
    middle = len(token[place]) // 2
    token[place] = token[place][:middle] + ("A" if token[place][middle] != "A" else "B") + token[place][middle + 1 :]
    assert get(live, FILE, f"Authorization: Bearer {'.'.join(token)}").status == 401


SCHEMES = [
    "Basic dXNlcjpwYXNz",
    "Bearer",
    "Bearer  two",
    "Bearer a b",
    "Bearer tok\ten",
    f"Bearer {'a' * 9000}",
    "Négocié x",
]


@pytest.mark.parametrize("value", SCHEMES)
def test_an_authorization_header_of_another_form_is_malformed(live: Live, value: str) -> None:
    assert get(live, FILE, f"Authorization: {value}").status in {400, 401}


def test_two_authorization_headers_are_malformed(live: Live) -> None:
    good = bearer(live, "ingest")
    assert get(live, FILE, good, good).status == 400


PATHS = {
    "dotdot": "/datasets/acme/digits/resolve/main/../../../etc/passwd",
    "encoded-dotdot": "/datasets/acme/digits/resolve/main/%2e%2e/%2e%2e/etc/passwd",
    "encoded-slash-traversal": "/datasets/acme/digits/resolve/main/data%2f..%2f..%2fsecret",
    "encoded-slash-in-name": "/datasets/acme%2fdigits/resolve/main/metrics.json",
    "double-encoded": "/datasets/acme/digits/resolve/main/%252e%252e/x",
    "backslash": "/datasets/acme/digits/resolve/main/..%5c..%5cx",
    "nul": "/datasets/acme/digits/resolve/main/metrics.json%00.png",
    "newline": "/datasets/acme/digits/resolve/main/metrics%0a.json",
    "git": "/datasets/acme/digits/resolve/main/.git/config",
    "not-utf8": "/datasets/acme/digits/resolve/main/%ff%fe",
    "empty-segment": "/datasets/acme/digits/resolve/main//metrics.json",
    "too-long": "/datasets/acme/digits/resolve/main/" + "a" * 5000,
}


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS.keys())
def test_a_path_that_is_not_one_serves_nothing(live: Live, path: str) -> None:
    answer = get(live, path, bearer(live, "ingest"))
    assert answer.status in {400, 404}
    assert b"accuracy" not in answer.body
    assert "/" + str(live.root) not in answer.body.decode()


@pytest.mark.parametrize("path", ["/", "/admin", "/v1", "/v1/nothing", "/api/spaces/a/b", "/metrics", "/docs"])
def test_an_unlisted_route_is_refused_for_everybody(live: Live, path: str) -> None:
    before = size(live)
    assert get(live, path, bearer(live, "ingest")).status == 404
    assert get(live, path, profile="ingest").status == 404
    assert size(live) >= before + 2


@pytest.mark.parametrize("method", ["TRACE", "DELETE", "PATCH", "OPTIONS", "PUT"])
def test_an_unlisted_method_is_refused(live: Live, method: str) -> None:
    assert get(live, FILE, bearer(live, "ingest"), method=method).status in {400, 404}


def test_forged_forwarding_headers_change_nothing(live: Live) -> None:
    forged = [
        "X-Forwarded-For: 10.9.8.7",
        "Forwarded: for=10.9.8.7;proto=https",
        "X-Real-IP: 10.9.8.7",
        "X-Forwarded-Client-Cert: By=spiffe://acme.example/gateway;URI=spiffe://acme.example/ingest",
        "X-Forwarded-Proto: https",
    ]
    assert get(live, FILE, *forged).status == 401
    assert get(live, FILE, bearer(live, "ingest"), *forged).status == 200
    sources = {str(record.get("context")) for record in live.records("what ReadFile")}
    assert sources
    assert not any("10.9.8.7" in source for source in sources)


def test_repeated_headers_that_must_be_single_are_malformed(live: Live) -> None:
    assert get(live, FILE, bearer(live, "ingest"), "Range: bytes=0-1", "Range: bytes=2-3").status == 400


def test_too_many_headers_end_the_connection(live: Live) -> None:
    answer = get(live, FILE, *(f"X-{number}: y" for number in range(300)))
    assert answer.status == 400


def test_an_oversized_header_ends_the_connection(live: Live) -> None:
    assert get(live, FILE, f"X-Large: {'a' * 70_000}").status in {0, 400}


def test_an_unparsable_request_is_counted(live: Live) -> None:
    assert send(live, b"\x16\x03\x01garbage\r\n\r\n").status == 400


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("bytes=0-4", 206),
        ("bytes=-3", 206),
        ("bytes=5-", 206),
        ("bytes=99-", 416),
        ("bytes=4-2", 200),
        ("bytes=-0", 416),
        ("bytes=99999999999999999999999-", 200),
        ("bytes=a-b", 200),
        ("items=0-1", 200),
        ("bytes=0-1,3-4", 200),
    ],
)
def test_ranges_serve_what_exists_or_nothing(live: Live, field: str, expected: int) -> None:
    answer = get(live, FILE, bearer(live, "ingest"), f"Range: {field}")
    assert answer.status in {expected, 400} if expected == 200 else answer.status == expected
    assert len(answer.body) <= max(15, len(answer.body) if answer.status >= 400 else 15)


BODIES = {
    "not-json": b"{",
    "not-an-object": b"[]",
    "unknown-field": b'{"subject": "person:x", "admin": true}',
    "wrong-type": b'{"subject": {"__entity": {"type": "NoMoat::Person", "id": "admin"}}}',
    "entity-as-text": b'{"subject": "person:{\\"__entity\\": 1}"}',
    "deep": b'{"subject":' + b"[" * 5000 + b"]" * 5000 + b"}",
    "surrogate": b'{"subject": "\\ud800"}',
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_a_bad_body_is_malformed_and_recorded(live: Live, body: bytes) -> None:
    before = size(live)
    answer = get(live, "/v1/enroll", method="POST", body=body, profile="admin@acme.example")
    assert answer.status == 400
    assert size(live) > before


def test_an_oversized_body_is_refused_before_it_is_read(live: Live) -> None:
    with connect(live, "admin@acme.example") as channel:
        channel.sendall(b"POST /v1/enroll HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n{")
        assert read_answer(channel).status == 413


def test_entities_in_a_declaration_are_inert_text(live: Live) -> None:
    document = '[[person]]\nname = "mallory"\ngroups = ["__entity"]\n'
    body = json.dumps({"document": document, "dry_run": True, "base": None}).encode()
    assert get(live, "/v1/directory", method="POST", body=body, profile="admin@acme.example").status == 400


def test_a_stranger_to_the_trust_domain_fails_inside_tls_and_is_counted(live: Live, tmp_path: Path) -> None:
    certificate, key = foreign_certificate(tmp_path)
    host, _, port = live.url.removeprefix("https://").partition(":")
    context = ssl._create_unverified_context()  # noqa: S323
    context.load_cert_chain(certificate, key)
    received = b""
    plain = socket.create_connection((host, int(port)), timeout=20)
    with suppress(ssl.SSLError, ConnectionError), plain, context.wrap_socket(plain) as channel:
        channel.sendall(b"GET /v1/ca HTTP/1.1\r\nHost: x\r\n\r\n")
        received = channel.recv(1000)
    assert received == b""


def test_plain_http_is_not_spoken(live: Live) -> None:
    host, _, port = live.url.removeprefix("https://").partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as plain:
        plain.sendall(b"GET /v1/ca HTTP/1.1\r\nHost: x\r\n\r\n")
        try:
            received = plain.recv(1000)
        except ConnectionResetError:
            received = b""
    assert b"BEGIN CERTIFICATE" not in received


def test_what_a_refusal_says_is_short_and_names_no_path(live: Live) -> None:
    answer: Answer = get(live, "/datasets/acme/digits/resolve/main/data/train.parquet", bearer(live, "scientist"))
    assert answer.status in {403, 404}
    assert str(live.directory) not in answer.body.decode()
    assert "Traceback" not in answer.body.decode()
