"""Files that are withheld from a reader: every way of asking answers as for files that are not there."""

import hashlib
import json
import re
import time

import pytest

from nomoat.audit.receipt import parse_receipt
from nomoat.client.session import Session
from tests.hub.live import Live, Raw, commit_lines

SECRET = b"rows that nobody but ingestion sees\n" * 40
WITHHELD, MISSING = "raw/rows.csv", "raw/nope.csv"  # of one length
API = "/api/datasets/acme/digits"


@pytest.fixture(scope="module")
def stocked(live: Live) -> Live:
    lines = "".join(commit_lines({WITHHELD: SECRET, "metrics.json": b"{}", "open/a.txt": b"a"}))
    answer = live.raw("ingest", "POST", f"{API}/commit/main", {"Content-Type": "application/x-ndjson"}, lines.encode())
    assert answer.status == 200, answer.text
    return live


def ask(live: Live, method: str, path: str, body: object = None, **headers: str) -> Raw:
    sent = b"" if body is None else json.dumps(body).encode()
    kind = {"Content-Type": "application/json"} if sent else {}
    return live.raw("scientist", method, path, {**kind, **headers}, sent)


def leveled(answer: Raw, path: str) -> tuple[object, ...]:
    """An answer without the number of its record (and its length, which that changes) and the path asked for."""
    headers = [(name, "N" if name == "nomoat-record" else value) for name, value in answer.headers]
    headers = [header for header in headers if header[0] != "content-length"]
    said = [str(answer.status), repr(headers), answer.body.decode()]
    return tuple(re.sub(r'(record(?: |": ?))\d+', r"\1N", each.replace(path, "PATH")) for each in said)


ROADS = [
    ("GET", "/datasets/acme/digits/resolve/main/{}", None),
    ("HEAD", "/datasets/acme/digits/resolve/main/{}", None),
    ("HEAD", "/datasets/acme/digits/resolve/main/{}?download=true", None),
    ("GET", "/datasets/acme/digits/raw/main/{}", None),
    ("GET", API + "/tree/main/{}", None),
    ("GET", API + "/tree/main/{}?recursive=true&expand=true", None),
    ("POST", API + "/paths-info/main", {"paths": ["{}"], "expand": True}),
    ("POST", API + "/paths-info/main", {"paths": ["raw", "{}"], "expand": True}),
    ("GET", API + "/resolve/main/{}", None),
    ("GET", API + "/parquet/default/{}", None),
    ("GET", API + "/revision/main?path={}", None),
]


@pytest.mark.parametrize(("method", "path", "body"), ROADS)
def test_attack_asking_for_a_withheld_file_and_for_a_missing_one(
    stocked: Live, method: str, path: str, body: object
) -> None:
    probes: list[dict[str, str]] = [{}, {"Range": "bytes=0-0"}, {"Range": "bytes=99999-"}, {"If-None-Match": "*"}]
    answers: list[tuple[str, Raw]] = []
    for name in (WITHHELD, MISSING):
        filled = None if body is None else json.loads(json.dumps(body).replace("{}", name))
        answers += [(name, ask(stocked, method, path.format(name), filled, **probe)) for probe in probes]
    half = len(answers) // 2
    for (one, withheld), (other, missing) in zip(answers[:half], answers[half:], strict=True):
        assert leveled(withheld, one) == leveled(missing, other)
        told = withheld.body + repr(withheld.headers).encode()
        for secret in (hashlib.sha256(SECRET).hexdigest(), str(len(SECRET)), "nobody but"):
            assert secret.encode() not in told


def test_attack_the_receipts_of_asking_for_a_withheld_file_and_for_a_missing_one(stocked: Live) -> None:
    entries: list[dict[str, object]] = []
    for name in (WITHHELD, MISSING):
        number = json.loads(ask(stocked, "GET", f"/datasets/acme/digits/resolve/main/{name}").body)["record"]
        with Session(stocked.profiles["scientist"], time.time) as session:
            receipt = parse_receipt(session.own_receipt(number))
        entry = json.loads(receipt.entry)
        entries.append({key: entry[key] for key in ("what", "decision", "kind", "who", "enforcer", "session")})
        assert len(entry["on"]) == 32
    assert entries[0] == entries[1]


def test_attack_everything_that_lists_says_nothing_of_a_withheld_file(stocked: Live) -> None:
    assert "metrics.json" in ask(stocked, "GET", API + "/tree/main?recursive=true&expand=true&limit=1000").text
    for path in (
        API,
        API + "?blobs=true&securityStatus=true",
        API + "/revision/main?blobs=true",
        API + "/tree/main?recursive=true&expand=true&limit=1000",
        API + "/tree/main/?recursive=1",
        API + "/tree/main/raw",
        API + "/commits/main",
        API + "/refs",
        API + "/parquet",
        "/api/datasets?author=acme&full=true",
    ):
        said = ask(stocked, "GET", path)
        told = (said.body + repr(said.headers).encode()).decode()
        for secret in ("rows.csv", hashlib.sha256(SECRET).hexdigest(), hashlib.sha1(SECRET).hexdigest()):  # noqa: S324
            assert secret not in told, path
        assert f'"size":{len(SECRET)}' not in told.replace(" ", ""), path


def test_attack_a_batch_or_a_plan_tells_whether_a_content_is_there(stocked: Live) -> None:
    """The digest of a content that one suspects, and one that nobody has."""
    there, nowhere = hashlib.sha256(SECRET).hexdigest(), hashlib.sha256(b"nowhere").hexdigest()
    for operation in ("download", "upload"):
        answers = [
            leveled(
                ask(
                    stocked,
                    "POST",
                    "/datasets/acme/digits.git/info/lfs/objects/batch",
                    {
                        "operation": operation,
                        "transfers": ["basic"],
                        "hash_algo": "sha256",
                        "objects": [{"oid": oid, "size": len(SECRET)}],
                    },
                ),
                oid,
            )
            for oid in (there, nowhere)
        ]
        assert answers[0] == answers[1]
    plans = [
        leveled(
            ask(stocked, "POST", API + "/preupload/main", {"files": [{"path": name, "size": 9, "sample": ""}]}), name
        )
        for name in (WITHHELD, MISSING)
    ]
    assert plans[0] == plans[1]
    commits = [
        leveled(
            stocked.raw(
                "scientist",
                "POST",
                f"{API}/commit/main",
                {"Content-Type": "application/x-ndjson"},
                "".join(commit_lines({name: b"x"})).encode(),
            ),
            name,
        )
        for name in (WITHHELD, MISSING)
    ]
    assert commits[0] == commits[1]
