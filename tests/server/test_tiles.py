"""The log as tiles from a live gateway: hashes for anybody, entries for auditors, read by a monitor that is not ours."""

import json
from collections.abc import Generator

import pytest
from tlog_scales.reader import TilesReader
from tlog_scales.signing import Vkey

from nomoat.audit.tree import leaf_hash
from tests.hub.live import ADMIN, Live, gateway
from tests.server.wire import get


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Generator[Live]:
    with gateway(tmp_path_factory.mktemp("live")) as running:
        yield running


class Monitor:
    """How a foreign reader gets a file: by its path below the log's prefix."""

    def __init__(self, live: Live, profile: str) -> None:
        self._live = live
        self._profile = profile

    def get(self, *path: str) -> bytes | None:
        answer = get(self._live, "/v1/log/" + "/".join(path), profile=self._profile)
        return answer.body if answer.status == 200 else None


def test_a_monitor_follows_the_log(live: Live) -> None:
    reader = TilesReader(Monitor(live, ADMIN))
    checkpoint = reader.get_checkpoint()
    with live.admin as session:
        checkpoint.verify(Vkey.from_string(session.identity.log_key))
    assert reader.calculate_root_hash() == checkpoint.root_hash
    for number in (0, checkpoint.size - 1):
        entry = reader.get_entry(number)
        assert json.loads(entry)["n"] == number
        reader.get_inclusion_proof(number, checkpoint.size).check(leaf_hash(entry), checkpoint.root_hash)
    assert live.records("what ReadEntries allowed")[-1]["on"]["name"] == "log"


def test_hashes_are_for_anybody_and_entries_for_auditors(live: Live) -> None:
    assert Monitor(live, "").get("checkpoint")
    assert len(Monitor(live, "").get("tile", "0", "000.p", "7") or b"") == 7 * 32
    assert Monitor(live, "").get("tile", "entries", "000.p", "7") is None
    refused = get(live, "/v1/log/tile/entries/000.p/7", profile="scientist")
    assert (refused.status, "ReadEntries" in refused.error) == (403, True)


def test_an_entry_has_no_name_in_it(live: Live) -> None:
    bundle = Monitor(live, ADMIN).get("tile", "entries", "000.p", "20")
    assert bundle
    for name in (b"admin", b"ingest", b"acme/", b"person:"):
        assert name not in bundle


def test_what_is_immutable_says_so_and_entries_stay_private(live: Live) -> None:
    assert get(live, "/v1/log/tile/0/000.p/3").headers["cache-control"].startswith("public, max-age=")
    assert get(live, "/v1/log/tile/entries/000.p/3", profile=ADMIN).headers["cache-control"].startswith("private")
    checkpoint = get(live, "/v1/log/checkpoint")
    assert checkpoint.headers["cache-control"] == "no-cache"
    assert checkpoint.headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("tile/0/999", 404),
        ("tile/0/000", 404),
        ("tile/1/000.p/1", 404),
        ("tile/8/000.p/1", 400),
        ("tile/00/000.p/1", 400),
        ("tile/x/000.p/1", 400),
        ("tile/0/000.p/256", 400),
        ("tile/0/0", 400),
        ("tile/0/..%2f..%2fcheckpoint", 400),
        ("tile/0/x999/x999/x999/x999/x999/999", 404),
        ("tile/entries/0", 400),
        ("tile/entries/999", 404),
    ],
)
def test_what_is_no_tile(live: Live, path: str, status: int) -> None:
    answer = get(live, f"/v1/log/{path}", profile=ADMIN)
    assert (answer.status, len(answer.body) < 300) == (status, True), answer.body
