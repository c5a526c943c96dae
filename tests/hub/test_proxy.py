"""The proxy before the gateway: what goes in and out is what it would be without. Stock clients: test_clients.py."""

import hashlib
import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from tests.hub.live import Live, commit_lines
from tests.hub.through import Through, through

MIB = 1 << 20
DIGITS = "/datasets/acme/digits/resolve/main"


@pytest.fixture(scope="module")
def ingest(live: Live) -> Iterator[Through]:
    with through(live, "ingest") as running:
        yield running


@pytest.fixture(scope="module")
def auditor(live: Live) -> str:
    """A workload that reads what is restricted and publishes nothing: what the others publish came of nothing restricted."""
    live.declare('[[workload]]\nname = "auditor"\nsegment = "ingestion"\nclearance = "restricted"\n')
    live.join("workload:auditor")
    return "auditor"


def put(proxy: Through, files: dict[str, bytes]) -> None:
    with proxy.http() as client:
        answer = client.post("/api/datasets/acme/digits/commit/main", content="".join(commit_lines(files)))
        assert answer.status_code == 200, answer.text


def test_restricted_data_is_for_a_bound_credential_and_this_is_one(live: Live, auditor: str) -> None:
    target = "/datasets/acme/secrets/resolve/main/data.csv"
    with live.http(auditor) as bearer:
        assert bearer.get(target).status_code == 404
    with through(live, auditor) as proxy, proxy.http() as client:
        assert client.get(target).content == b"1"


def test_ranges_heads_and_missing_things_are_the_gateways(live: Live, ingest: Through) -> None:
    put(ingest, {"p/r.csv": b"0123456789"})
    with ingest.http() as one, live.bound("ingest") as other:
        for method, target, headers in (
            ("GET", f"{DIGITS}/p/r.csv", {"Range": "bytes=3-5"}),
            ("GET", f"{DIGITS}/p/r.csv", {"Range": "bytes=90-"}),
            ("HEAD", f"{DIGITS}/p/r.csv", {}),
            ("HEAD", f"{DIGITS}/p/none.csv", {}),
            ("GET", f"{DIGITS}/p/none.csv", {}),
            ("GET", "/api/datasets/acme/nothing", {}),
            ("POST", "/api/datasets/acme/digits/nothing", {}),
        ):
            got, want = (client.request(method, target, headers=headers) for client in (one, other))
            assert (got.status_code, got.content) == (want.status_code, want.content) or "record" in want.text
            compared = ("content-length", "content-range", "etag", "x-error-code", "x-repo-commit", "accept-ranges")
            assert [got.headers.get(name) for name in compared] == [want.headers.get(name) for name in compared]


def test_a_large_body_of_unknown_length_is_streamed(ingest: Through) -> None:
    def lines() -> Iterator[bytes]:
        for line in commit_lines({f"chunked/{number}.bin": os.urandom(MIB) for number in range(12)}):
            yield line.encode()

    with ingest.http() as client:
        answer = client.post("/api/datasets/acme/digits/commit/main", content=lines())
        assert answer.status_code == 200, answer.text
        assert client.head(f"{DIGITS}/chunked/11.bin").headers["content-length"] == str(MIB)


def test_a_large_upload_that_is_refused_is_answered_and_breaks_nothing(ingest: Through) -> None:
    body = b"x" * (8 * MIB)
    with ingest.http() as client:
        answer = client.post("/api/datasets/acme/nothing/commit/main", content=body)
        assert answer.status_code == 413, "its first line is too long"
        assert client.get("/v1/whoami").status_code == 200
        forged = f"/lfs/dataset/acme/digits/{hashlib.sha256(body).hexdigest()}/{len(body)}/not-a-secret"
        assert client.put(forged, content=body).status_code == 401


def test_a_client_that_leaves_ends_the_download_at_the_gateway(live: Live, ingest: Through) -> None:
    ingest.done(
        """
        import os
        from huggingface_hub import HfApi
        HfApi().upload_file(path_or_fileobj=os.urandom(64 << 20), path_in_repo="left.bin", repo_id="acme/digits",
                            repo_type="dataset")
        """
    )
    with socket.create_connection(("127.0.0.1", ingest.port)) as client:
        request = f"GET {DIGITS}/left.bin HTTP/1.1\r\nHost: {ingest.host}\r\nAuthorization: Bearer {ingest.key}\r\n\r\n"
        client.sendall(request.encode())
        assert client.recv(1000).startswith(b"HTTP/1.1 200")
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        read = [record.get("outcome") for record in live.records("by ingest", 50) if record.get("what") == "ReadFile"]
        if any(each and each["outcome"] == "left" and each["bytes"] < 64 * MIB for each in read):
            return
        time.sleep(0.2)
    pytest.fail("the gateway went on sending to nobody")


def test_many_at_a_time(ingest: Through) -> None:
    put(ingest, {"p/many.csv": b"many"})

    def read(_: int) -> set[bytes]:
        with ingest.http() as client:
            return {client.get(f"{DIGITS}/p/many.csv").content for _ in range(20)}

    with ThreadPoolExecutor(8) as threads:
        assert set().union(*threads.map(read, range(16))) == {b"many"}


def test_the_certificate_can_be_lent_instead(live: Live, auditor: str) -> None:
    with through(live, auditor, by_certificate=True) as proxy, proxy.http() as client:
        assert client.get("/v1/whoami").json()["binding"] == "mtls"
        assert client.get("/datasets/acme/secrets/resolve/main/data.csv").content == b"1"


def test_a_socket_of_its_owners_needs_no_key(live: Live, tmp_path: Path) -> None:
    path = tmp_path / "proxy.sock"
    with through(live, "ingest", str(path)):
        assert path.stat().st_mode & 0o777 == 0o600
        with httpx2.Client(transport=httpx2.HTTPTransport(uds=str(path)), base_url="http://localhost") as client:
            assert client.get("/v1/whoami").json()["binding"] == "dpop"
    assert not path.exists()


def test_a_revoked_identity_is_told_and_lends_nothing(live: Live) -> None:
    live.declare('[[workload]]\nname = "passing"\n')
    live.join("workload:passing")
    with through(live, "passing") as proxy, proxy.http() as client:
        assert client.get("/v1/whoami").status_code == 200
        with live.admin as session:
            session.gateway.revoke("workload", "passing")
        for _ in range(3):
            answer = client.get("/v1/whoami")
            assert answer.status_code == 403
            assert "the session was revoked" in answer.json()["error"]
            assert "nomoat login" in answer.json()["error"]
            assert answer.headers["x-error-code"] == "GatedRepo", "the one refusal that a stock client prints"
        assert len(proxy.told) == 1, "once, not for each request"
