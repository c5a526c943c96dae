"""The Hub's protocol byte by byte, over TLS: what an attacker sends, and what a careful reader sees."""

import hashlib
import json
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, product
from typing import Any

import httpx2
import pytest

from nomoat.client.transport import pinned_context
from nomoat.protocols.hub.endpoints import PAGE
from tests.hub.live import ADMIN, Live, Raw, commit_lines

DATASET = "/api/datasets/acme/digits"
FILES = "/datasets/acme/digits/resolve/main"
BIG = os.urandom(300_000)


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def grant(live: Live, content: bytes, who: str = "ingest", repository: str = "datasets/acme/digits") -> str:
    """The path of a one-use upload URL ('' when the content was sent before)."""
    batch = {"operation": "upload", "objects": [{"oid": digest_of(content), "size": len(content)}]}
    with live.http(who) as client:
        answer = client.post(f"/{repository}.git/info/lfs/objects/batch", json=batch)
    assert answer.status_code == 200, answer.text
    (each,) = answer.json()["objects"]
    href = each.get("actions", {}).get("upload", {}).get("href", "")
    assert href == "" or href.startswith(f"{live.url}/lfs/")
    return str(href).removeprefix(live.url)


def commit(live: Live, files: dict[str, bytes], *more: object, who: str = "ingest", parent: str = "") -> str:
    with live.http(who) as client:
        answer = client.post(f"{DATASET}/commit/main", content="".join(commit_lines(files, *more, parent=parent)))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["commitOid"])


def lfs_line(path: str, content: bytes) -> dict[str, object]:
    return {
        "key": "lfsFile",
        "value": {"path": path, "algo": "sha256", "oid": digest_of(content), "size": len(content)},
    }


@pytest.fixture(scope="module")
def stocked(live: Live) -> Live:
    """The gateway, with one large file, one small and one that scientists may read."""
    if href := grant(live, BIG):
        assert live.raw("", "PUT", href, body=BIG).status == 200
    commit(live, {"metrics.json": b"{}", "data/a.csv": b"1,2", "empty.txt": b""}, lfs_line("big.bin", BIG))
    return live


# -- what may not be known --------------------------------------------------------------------------------


def requests_about(repository: str) -> Iterator[tuple[str, str, bytes]]:
    """One request of every kind about a dataset."""
    api, files = f"/api/datasets/{repository}", f"/datasets/{repository}"
    oid = {"oid": "0" * 64, "size": 1}
    yield from (
        ("GET", f"{api}{rest}", b"")
        for rest in (
            "",
            "/revision/main",
            "/revision/nothing",
            "/refs",
            "/tree/main",
            "/tree/main/folder?recursive=true",
            "/tree/main/nothing",
            f"/tree/{'0' * 40}",
            "/xet-write-token/main",
        )
    )
    yield from (
        (method, f"{files}/resolve/{rest}", b"")
        for method, rest in product(("GET", "HEAD"), ("main/data.csv", "main/nothing", "nothing/data.csv"))
    )
    yield "POST", f"{api}/paths-info/main", b"paths=data.csv"
    yield "POST", f"{api}/preupload/main", json.dumps({"files": [{"path": "a", "size": 1, "sample": ""}]}).encode()
    yield "POST", f"{files}.git/info/lfs/objects/batch", json.dumps({"operation": "upload", "objects": [oid]}).encode()
    yield "POST", f"{api}/commit/main", "".join(commit_lines({"data.csv": b"x"})).encode()
    folder = {"key": "deletedFolder", "value": {"path": "folder/"}}
    yield "POST", f"{api}/commit/main", "".join(commit_lines({}, folder)).encode()
    named = {"type": "dataset", "organization": "acme", "name": repository.partition("/")[2]}
    yield "POST", "/api/repos/create", json.dumps(named).encode()
    yield "DELETE", "/api/repos/delete", json.dumps(named).encode()
    yield (
        "POST",
        "/api/repos/move",
        json.dumps({"type": "dataset", "fromRepo": repository, "toRepo": "acme/x"}).encode(),
    )
    yield "PUT", f"{api}/settings", b'{"visibility": "public"}'
    yield from (("GET", f"{api}{rest}", b"") for rest in ("/commits/main", "/commits/nothing", "/auth-check"))
    yield "POST", f"{api}/branch/new%2Fone", b"{}"
    yield "POST", f"{api}/branch/new", b'{"startingPoint": "nothing"}'
    yield "POST", f"{api}/tag/main", b'{"tag": "v1"}'
    yield from (("DELETE", f"{api}/{rest}", b"") for rest in ("branch/main", "branch/nothing", "tag/nothing"))


def test_a_hidden_repository_answers_byte_for_byte_like_a_missing_one(live: Live) -> None:
    for who, (hidden, missing) in product(
        ("ingest", "scientist", "visitor"),
        zip(requests_about("acme/secrets"), requests_about("acme/nothing"), strict=True),
    ):
        seen, expected = live.raw(who, *hidden[:2], body=hidden[2]), live.raw(who, *missing[:2], body=missing[2])
        assert seen == expected, hidden
        assert (seen.status, seen.header("x-error-code")) == (404, "RepoNotFound"), hidden


def test_without_a_credential_every_repository_looks_the_same(live: Live) -> None:
    seen: dict[str, set[str]] = {}
    for repository in ("acme/digits", "acme/secrets", "acme/nothing"):
        for method, target, body in requests_about(repository):
            answer = live.raw("", method, target, body=body)
            assert answer.status == 401
            assert answer.header("www-authenticate").startswith("Bearer")
            seen.setdefault(f"{method} {target}".replace(repository, "…"), set()).add(answer.header("x-error-message"))
    assert {len(messages) for messages in seen.values()} == {1}


def test_a_refusal_s_sentence_is_in_the_body_and_in_the_header(stocked: Live) -> None:
    told = stocked.raw("scientist", "GET", f"{FILES}/data/a.csv")
    head = stocked.raw("scientist", "HEAD", f"{FILES}/data/a.csv")
    assert (told.status, head.status) == (403, 403)
    assert json.loads(told.text)["error"].startswith("refused: scientist may not ReadFile acme/digits@")
    assert head.header("x-error-message").startswith("refused: scientist may not DescribeFile acme/digits@")
    assert head.body == b""


# -- reading ------------------------------------------------------------------------------------------------


def test_ranges(stocked: Live) -> None:
    size = len(BIG)
    for asked, status, expected in (
        ("bytes=0-0", 206, BIG[:1]),
        ("bytes=65530-65540", 206, BIG[65530:65541]),
        (f"bytes={size - 5}-", 206, BIG[-5:]),
        (f"bytes={size - 5}-{size + 5}", 206, BIG[-5:]),
        ("bytes=-5", 206, BIG[-5:]),
        (f"bytes=-{size * 2}", 206, BIG),
        (f"bytes={size}-", 416, b""),
        (f"bytes={'9' * 18}-{'9' * 18}", 416, b""),
        ("bytes=-0", 416, b""),
        ("bytes=0-1,5-6", 200, BIG),
        ("bytes=6-5", 200, BIG),
        ("items=0-5", 200, BIG),
    ):
        answer = stocked.raw("ingest", "GET", f"{FILES}/big.bin", {"Range": asked})
        assert (answer.status, answer.body) == (status, expected), asked
        assert answer.header("content-length") == str(len(expected))
        if status == 206:
            first, last = answer.header("content-range").removeprefix("bytes ").partition("/")[0].split("-")
            assert BIG[int(first) : int(last) + 1] == expected
        if status == 416:
            assert answer.header("content-range") == f"bytes */{size}"
    assert stocked.raw("ingest", "GET", f"{FILES}/empty.txt", {"Range": "bytes=0-"}).status == 416
    assert stocked.raw("ingest", "GET", f"{FILES}/big.bin", {"Range": "bytes=5-9", "If-Range": '"x"'}).body == BIG


def test_what_a_file_is_told_to_be(stocked: Live) -> None:
    for path, content, etag in (
        ("big.bin", BIG, digest_of(BIG)),
        ("data/a.csv", b"1,2", hashlib.sha1(b"blob 3\x001,2", usedforsecurity=False).hexdigest()),
    ):
        head, whole = (stocked.raw("ingest", method, f"{FILES}/{path}") for method in ("HEAD", "GET"))
        # They are two accesses, with a record each.
        assert head.header("nomoat-record") != whole.header("nomoat-record")
        others = [[each for each in answer.headers if each[0] != "nomoat-record"] for answer in (head, whole)]
        assert others[0] == others[1]
        assert (head.body, whole.body) == (b"", content)
        assert head.header("etag") == head.header("x-linked-etag") == f'"{etag}"'
        assert head.header("content-length") == head.header("x-linked-size") == str(len(content))
        assert len(head.header("x-repo-commit")) == 40
        assert head.header("content-type") == "application/octet-stream"
        assert head.header("x-content-type-options") == "nosniff"
        assert head.header("content-disposition").startswith("attachment")


def test_a_missing_file_or_folder_names_the_commit_that_lacks_it(stocked: Live) -> None:
    for method, target in (("HEAD", f"{FILES}/nothing"), ("GET", f"{DATASET}/tree/main/nothing")):
        answer = stocked.raw("ingest", method, target)
        assert (answer.status, answer.header("x-error-code")) == (404, "EntryNotFound")
        assert len(answer.header("x-repo-commit")) == 40


@pytest.mark.parametrize(
    "path",
    [
        "../secrets",
        "..%2f..%2fsecrets%2fresolve%2fmain%2fdata.csv",
        "%2e%2e/x",
        "a/%2E%2E/metrics.json",
        "./metrics.json",
        "%2e/metrics.json",
        "/metrics.json",
        "%2fmetrics.json",
        "metrics.json/",
        ".git/config",
        ".GIT/config",
        "a/.git/config",
        "..%5c..%5cx",
        "metrics.json%00",
        "metrics.json%0d%0aX-Evil:1",
        "%c0%ae%c0%ae/x",
        "%ff",
        "x" * 600,
    ],
)
def test_path_traversal_is_malformed(stocked: Live, path: str) -> None:
    for method in ("GET", "HEAD"):
        answer = stocked.raw("ingest", method, f"{FILES}/{path}")
        assert answer.status == 400, answer
        assert "x-evil" not in dict(answer.headers)


def test_an_encoded_slash_is_decided_like_the_path_that_it_means(stocked: Live) -> None:
    assert stocked.raw("ingest", "GET", f"{FILES}/data%2fa.csv").body == b"1,2"
    assert stocked.raw("scientist", "GET", f"{FILES}/data%2fa.csv").status == 403
    for target in (
        "/api/datasets/acme%2fdigits/revision/main",
        "/datasets/acme%2fdigits/resolve/main/metrics.json",
        "/datasets/acme/digits/resolve/ma%2fin/metrics.json",
        "/api/datasets/acme/digits%2fresolve%2fmain/x",
    ):
        assert stocked.raw("ingest", "GET", target).status in {400, 404}
    twice = stocked.raw("ingest", "GET", f"{FILES}/data%252fa.csv")
    assert (twice.status, twice.header("x-error-code")) == (404, "EntryNotFound")  # decoded once


def test_routes_that_nobody_listed_are_refused(live: Live) -> None:
    for method, target in (
        ("DELETE", DATASET),
        ("PUT", FILES + "/metrics.json"),
        ("POST", FILES + "/metrics.json"),
        ("GET", "/api/spaces"),
        ("GET", "/api/spaces/acme/digits"),
        ("GET", "/datasets/acme/digits/raw/main/metrics.json"),
        ("GET", "/datasets/acme/digits.git/info/refs"),
        ("POST", DATASET + "/lfs-files/duplicate"),
        ("GET", DATASET + "/xet-read-token/main"),
        ("OPTIONS", DATASET),
        ("TRACE", DATASET),
    ):
        answer = live.raw("ingest", method, target)
        assert answer.status == 404, (method, target)
        assert b"there is nothing at this address" in answer.body


def test_the_pages_of_a_listing_are_of_one_commit(live: Live) -> None:
    first = ""
    for start in range(0, PAGE + 1, 1999):
        numbers = range(start, min(start + 1999, PAGE + 1))
        first = commit(live, {f"paged/{number:04}.txt": b"" for number in numbers})
    target = f"{DATASET}/tree/main/paged?recursive=true"
    page = live.raw("ingest", "GET", target)
    link, _, relation = page.header("link").partition("; ")
    for part in range(4):  # a commit changes at most 2,000 files
        paths = [f"paged/{number:04}.txt" for number in range(part * 1500, min((part + 1) * 1500, PAGE + 1))]
        commit(live, {}, *({"key": "deletedFile", "value": {"path": path}} for path in paths))
    following = live.raw("ingest", "GET", link.strip("<>").removeprefix(live.url))
    listed = [entry["path"] for answer in (page, following) for entry in json.loads(answer.text)]
    assert listed == [f"paged/{number:04}.txt" for number in range(PAGE + 1)]
    assert (relation, f"/tree/{first}/paged?" in link, following.header("link")) == ('rel="next"', True, "")
    assert live.raw("ingest", "GET", target).status == 404
    assert live.raw("ingest", "GET", f"{target}&cursor=Li4vYQ").status == 400


# -- uploads ------------------------------------------------------------------------------------------------


def test_an_upload_url_is_used_once_for_its_content_and_says_nothing_in_the_log(live: Live) -> None:
    content, other = os.urandom(70_000), os.urandom(70_000)
    href = grant(live, content)
    secret = href.rpartition("/")[2]
    prefix = href.removesuffix(secret)
    assert live.raw("", "PUT", prefix + "x" * len(secret), body=content).status == 401
    for target, body in (
        (href.replace(digest_of(content), digest_of(other)), other),
        (href.replace("/70000/", "/69999/"), content[:-1]),
        (href.replace("/dataset/acme/digits/", "/model/acme/digit-reader/"), content),
    ):
        assert live.raw("", "PUT", target, body=body).status in {403, 404}
    assert live.raw("", "PUT", href, body=content[:-1]).status == 400
    assert live.raw("", "PUT", href, body=content[::-1]).status == 400
    assert live.raw("", "PUT", href, body=content).status == 200
    assert live.raw("", "PUT", href, body=content).status == 401
    assert grant(live, content) == ""
    for path in live.directory.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path
    assert secret not in json.dumps(live.records(""))


def test_a_body_of_a_wrong_length_is_refused_before_it_is_read(live: Live) -> None:
    content = os.urandom(1000)
    href = grant(live, content)
    with connected(live) as tls:
        tls.sendall(f"PUT {href} HTTP/1.1\r\nHost: here\r\nContent-Length: {1 << 40}\r\n\r\n".encode())
        assert tls.recv(4096).startswith(b"HTTP/1.1 400")
    assert live.raw("", "PUT", href, body=content).status == 200


def test_a_client_that_leaves_in_mid_upload_leaves_nothing(live: Live) -> None:
    content = os.urandom(400_000)
    href = grant(live, content)
    incoming = live.directory / "objects" / "incoming"
    with connected(live) as tls:
        tls.sendall(f"PUT {href} HTTP/1.1\r\nHost: here\r\nContent-Length: 400000\r\n\r\n".encode())
        tls.sendall(content[:200_000])
        wait_until(lambda: any(incoming.iterdir()))
    wait_until(lambda: not any(incoming.iterdir()))
    assert live.raw("", "PUT", href, body=content).status == 200


@contextmanager
def connected(live: Live) -> Iterator[ssl.SSLSocket]:
    """A bare TLS connection to the gateway."""
    host, _, port = live.url.removeprefix("https://").partition(":")
    context = pinned_context(live.profiles[ADMIN].read("ca.pem").decode())
    with (
        socket.create_connection((host, int(port)), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=host) as tls,
    ):
        yield tls


def wait_until(holds: Callable[[], bool], seconds: float = 10) -> None:
    """Poll what another process does to a directory: nothing else tells."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_oid_theft_is_answered_like_an_oid_that_nobody_has(stocked: Live) -> None:
    with stocked.http("train") as client:
        answers = []
        for line in (lfs_line("w.bin", BIG), lfs_line("w.bin", b"never uploaded")):
            answer = client.post("/api/models/acme/digit-reader/commit/main", content="".join(commit_lines({}, line)))
            assert answer.status_code == 400
            answers.append(answer.json()["error"].replace(line["value"]["oid"][:12], "…"))  # type: ignore[index]  # ours
        assert answers[0].partition("(record")[0] == answers[1].partition("(record")[0]
    assert grant(stocked, BIG, "train", "acme/digit-reader") != ""  # no oracle either


@pytest.mark.parametrize(
    "body",
    [
        {"operation": "download", "objects": []},
        {"operation": "upload", "objects": [{"oid": "0" * 63, "size": 1}]},
        {"operation": "upload", "objects": [{"oid": "A" * 64, "size": 1}]},
        {"operation": "upload", "objects": [{"oid": "../" + "0" * 61, "size": 1}]},
        {"operation": "upload", "objects": [{"oid": "0" * 64, "size": -1}]},
        {"operation": "upload", "objects": [{"oid": "0" * 64, "size": 1 << 60}]},
        {"operation": "upload", "objects": [{"oid": "0" * 64, "size": "1"}]},
        {"operation": "upload", "objects": [{"oid": {"__entity": {"type": "x", "id": "y"}}, "size": 1}]},
        {"operation": "upload", "objects": ["0" * 64]},
        {"operation": "upload", "objects": [{"oid": "0" * 64, "size": 1}] * 1001},
        {"operation": "upload", "hash_algo": "md5", "objects": []},
        {"operation": "upload"},
        [],
    ],
)
def test_batches_that_are_not_ours_are_refused(live: Live, body: object) -> None:
    answer = live.raw(
        "ingest", "POST", "/datasets/acme/digits.git/info/lfs/objects/batch", body=json.dumps(body).encode()
    )
    assert answer.status in {400, 413}, answer


# -- commits --------------------------------------------------------------------------------------------------


def test_a_commit_race_has_one_winner(live: Live) -> None:
    head = commit(live, {"race.txt": b"0"})
    first = commit(live, {"race.txt": b"1"}, parent=head)
    with live.http("ingest") as client:
        late = client.post(f"{DATASET}/commit/main", content="".join(commit_lines({"race.txt": b"2"}, parent=head)))
    assert late.status_code == 409
    assert live.raw("ingest", "GET", f"{FILES}/race.txt").body == b"1"
    assert live.raw("ingest", "GET", f"/datasets/acme/digits/resolve/{head}/race.txt").body == b"0"
    assert first != head


def test_an_ndjson_bomb_is_refused_and_the_gateway_serves_on(live: Live) -> None:
    bomb = b'{"key":"header","value":{"summary":"s"}}\n{"key":"file","value":{"content":"' + b"A" * (8 << 20)
    assert live.raw("ingest", "POST", f"{DATASET}/commit/main", body=bomb).status == 413
    assert live.raw("ingest", "POST", f"{DATASET}/commit/main", body=b"\n" * 100_000).status == 413
    assert live.raw("ingest", "POST", f"{DATASET}/commit/main", body=b"{" * 100_000).status == 400
    assert live.raw("ingest", "GET", "/api/whoami-v2").status == 200


def test_pull_requests_and_strange_hosts_are_refused(live: Live) -> None:
    body = "".join(commit_lines({"a.txt": b"1"})).encode()
    assert live.raw("ingest", "POST", f"{DATASET}/commit/main?create_pr=1", body=body).status == 400
    assert live.raw("ingest", "POST", f"{DATASET}/commit/main?create_pr=0&create_pr=1", body=body).status == 400
    for host in ("evil.example/x", "a b", "<x>", "evil@example", ""):
        answer = live.raw("ingest", "GET", f"{DATASET}/tree/main", {"Host": host})
        assert answer.status == 400, host


def test_a_card_is_examined_for_who_is_known(live: Live) -> None:
    def ask(content: object) -> tuple[int, dict[str, list[dict[str, str]]]]:
        body = json.dumps({"content": content, "repoType": "dataset"}).encode()
        answer = live.raw("visitor", "POST", "/api/validate-yaml", body=body)
        return answer.status, json.loads(answer.text)

    assert ask("---\nlicense: mit\n---\n# Digits\n") == (200, {"errors": [], "warnings": []})
    missing = {"errors": [], "warnings": [{"message": "empty or missing yaml metadata in repo card"}]}
    assert ask("# Digits\n") == (200, missing)
    wrong = {"errors": [{"message": "line 3, column 1: duplicate key 'license'"}], "warnings": []}
    assert ask("---\nlicense: mit\nlicense: gpl\n---\n") == (400, wrong)
    assert ask(7)[0] == 400
    (*_, record) = live.records("by visitor what ValidateCard")
    assert (record["decision"], record["policies"]) == ("allow", ["everyone-validates-cards"])


def test_a_commit_of_a_card_that_nobody_can_parse_is_refused(live: Live) -> None:
    def put(path: str, content: bytes) -> Raw:
        body = "".join(commit_lines({path: content})).encode()
        return live.raw("ingest", "POST", f"{DATASET}/commit/main", body=body)

    refused = put("README.md", b"---\ntitle: a: b\n---\n")
    assert refused.status == 400
    assert "invalid metadata in README.md: line 2, column 9: mapping values are not allowed here" in refused.text
    assert put("cards/README.md", b"---\ntitle: a: b\n---\n").status == 200  # no card: the Hub reads the first alone
    assert put("README.md", b"\xff no metadata").status == 200


def test_a_flipped_byte_is_cut_off_before_it_leaves_and_the_log_says_so(live: Live) -> None:
    content = os.urandom(40 << 16)
    before = set((live.directory / "objects").glob("??/*"))
    assert live.raw("", "PUT", grant(live, content), body=content).status == 200
    commit(live, {}, lfs_line("flipped.bin", content))
    (blob,) = set((live.directory / "objects").glob("??/*")) - before
    stored = bytearray(blob.read_bytes())
    stored[30 << 16] ^= 1
    blob.write_bytes(stored)
    with live.http("ingest") as client, client.stream("GET", f"{FILES}/flipped.bin") as answer:
        got = bytearray()
        with pytest.raises(httpx2.TransportError):
            got.extend(chain.from_iterable(answer.iter_raw()))
    assert content.startswith(bytes(got))
    assert len(got) < 30 << 16
    stored[30] ^= 1
    blob.write_bytes(stored)
    clean = live.raw("ingest", "GET", f"{FILES}/flipped.bin")
    assert (clean.status, b"failed verification" in clean.body, b"nomoat fsck" in clean.body) == (500, True, True)
    wait_until(lambda: len(outcomes(live, "flipped.bin")) == 2)  # an outcome is queued, not awaited
    for outcome in outcomes(live, "flipped.bin"):
        assert outcome["outcome"] == "failed"
        assert blob.name in outcome["facts"]["why"]


def outcomes(live: Live, path: str = "") -> list[dict[str, Any]]:
    """How what was read and sent of a path ended."""
    return [
        record["outcome"]
        for record in live.records("on acme/digits")
        if record["what"] in {"ReadFile", "UploadBlob"} and path in str(record["on"]) and "outcome" in record
    ]


def test_the_log_tells_which_bytes_were_read_and_which_content_was_sent(stocked: Live) -> None:
    stocked.raw("ingest", "GET", f"{FILES}/big.bin", {"Range": "bytes=5-17"})
    content = os.urandom(10)
    stocked.raw("", "PUT", grant(stocked, content), body=content)
    scanned = {"verdict": "unscannable", "format": "unknown"}
    expected = [{"range": "5-17"}, {"sha256": digest_of(content), **scanned}]

    def kept() -> bool:  # an outcome is queued, not awaited
        facts = [outcome.get("facts") for outcome in outcomes(stocked)]
        return all(fact in facts for fact in expected)

    wait_until(kept)


def test_a_revocation_in_mid_download_resets_the_connection(live: Live) -> None:
    content = os.urandom(64 << 20)
    session = live.join("workload:ingest-low").identity().session
    shelf = "datasets/acme/shelf"  # of its own: what the other ingestion job writes inherits what that has read
    with live.http("ingest-low") as client:
        created = {"type": "dataset", "name": "shelf", "organization": "acme"}
        assert client.post("/api/repos/create", json=created).status_code in {200, 409}
        assert live.raw("", "PUT", grant(live, content, "ingest-low", shelf), body=content).status == 200
        lines = "".join(commit_lines({}, lfs_line("revoked.bin", content)))
        assert client.post(f"/api/{shelf}/commit/main", content=lines).status_code == 200
    got = 0
    with live.http("ingest-low") as client, client.stream("GET", f"/{shelf}/resolve/main/revoked.bin") as answer:
        parts = answer.iter_raw()
        got += len(next(parts))
        with live.admin as admin:
            assert session in str(admin.gateway.revoke("session", session))
        with pytest.raises(httpx2.TransportError):
            got += sum(map(len, parts))
    assert got < len(content) // 2
    assert live.raw("ingest-low", "GET", "/api/whoami-v2").status == 401
