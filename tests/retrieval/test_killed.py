"""`kill -9` while documents are written, while a label changes and while an index is compacted: nothing that was answered is lost,
nothing is exposed."""

import contextlib
import hashlib
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import httpx2
import pytest

from nomoat.core.names import Classification
from nomoat.policy.classes import Footprint
from nomoat.resources.retrieval.collection import Collection
from nomoat.retrieval.scopes import PAIRS, Scope
from nomoat.retrieval.snapshot import Query
from nomoat.stores.documents import StoredDocuments
from nomoat.stores.keys import KeyEncryptionKey
from nomoat.stores.state import State
from tests.hub.live import Live, gateway
from tests.retrieval import compacting
from tests.server.test_kill import start

DECLARED = """
[[group]]
name = "index-readers"
[[group]]
name = "librarians"
[[person]]
name = "ada"
groups = ["index-readers"]
clearance = "confidential"
[[person]]
name = "bob"
groups = ["index-readers"]
clearance = "internal"
[[workload]]
name = "librarian"
groups = ["librarians"]
clearance = "confidential"
[[index]]
name = "handbook"
classification = "internal"
owner = "group:librarians"
embedder = "none"
"""
ROUNDS = 6
PAGES = 40


def document(number: int, level: str) -> dict[str, object]:
    text = f"page number{number} of the handbook is {level}"
    return {
        "name": f"p{number}.md",
        "version": hashlib.sha256(text.encode()).hexdigest(),
        "classification": level,
        "passages": [text],
    }


def found(live: Live, who: str, numbers: Iterable[int]) -> dict[str, str]:
    """What somebody finds: of each page what it says."""
    pages: dict[str, str] = {}
    with live.http(who) as http:
        for number in numbers:
            body = {"query": f"number{number}", "ranking_options": {"ranker": "keyword"}}
            answer = http.post("/v1/vector_stores/handbook/search", json=body)
            assert answer.status_code == 200, answer.text
            pages |= {hit["file_id"]: hit["content"][0]["text"] for hit in answer.json()["data"]}
    return pages


def write(live: Live, first: int, answered: dict[int, str]) -> None:
    """Put pages in, and raise each right after, until nobody answers."""
    with contextlib.suppress(httpx2.HTTPError), live.http("librarian") as http:
        for number in range(first, first + PAGES):
            for level in ("internal", "confidential"):
                body = {"documents": [document(number, level)]}
                answer = http.put("/v1/indexes/handbook/documents", json=body)
                assert answer.status_code == 200, answer.text
                answered[number] = level


def test_what_was_answered_is_there_and_what_was_raised_is_not_found(tmp_path: Path) -> None:
    chance = random.Random(6)  # noqa: S311
    with gateway(tmp_path) as live:
        live.declare(DECLARED)
        for subject in ("person:ada", "person:bob", "workload:librarian"):
            live.join(subject)
        port = live.url.rpartition(":")[2]
    configuration = live.directory / "nomoat.toml"
    configuration.write_text(configuration.read_text().replace("127.0.0.1:0", f"127.0.0.1:{port}"))
    answered: dict[int, str] = {}
    for number in range(ROUNDS):
        process = start(live)
        writing = threading.Thread(target=write, args=(live, number * PAGES, answered))
        writing.start()
        before, until = len(answered), time.monotonic() + 20
        while len(answered) == before and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(chance.uniform(0.0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.wait(20)
        writing.join(30)
    process = start(live)
    try:
        to_ada, to_bob = found(live, "ada", answered), found(live, "bob", answered)
    finally:
        process.kill()
        process.wait(20)
    assert len(answered) >= ROUNDS, "something was written"
    for number, level in answered.items():
        page = to_ada.get(f"p{number}.md", "")
        # A change whose answer was lost may be in force, too: never anything else, and never half.
        assert page.removeprefix(f"page number{number} of the handbook is ") in {level, "confidential"}
        if level == "confidential":
            assert f"p{number}.md" not in to_bob
    assert all(page.endswith("is internal") for page in to_bob.values())


@pytest.mark.parametrize("when", ["during", "after"])
def test_attack_a_label_is_raised_during_a_compaction_that_is_killed(tmp_path: Path, when: str) -> None:
    """A compaction has no durable part: what is there after it was killed is what was written, with the labels that it had."""
    command = [sys.executable, "-m", "tests.retrieval.compacting", str(tmp_path), when]
    assert subprocess.run(command, timeout=120, check=False).returncode == -signal.SIGKILL
    state = State.open(tmp_path / "state.db", compacting.KEY)
    store = StoredDocuments(state, KeyEncryptionKey(compacting.KEY))
    collection = Collection(compacting.INDEX, store, "", 0)
    read = Footprint(frozenset({"classification"}), frozenset(), frozenset())
    collection.at(read)
    collection.load(store.all("handbook"))
    assert len(collection.documents) == 2 * compacting.COUNT
    snapshot, table = collection.at(read)
    low = [n for n, each in enumerate(table.classes.targets) if each.classification == Classification.INTERNAL]
    scope = Scope("person:bob", frozenset(), {table.rows[number].number: frozenset(PAIRS) for number in low})
    assert len(snapshot.names(scope)) == 2 * compacting.COUNT - 1
    assert snapshot.search(Query(compacting.RAISED), scope) == []
    (hit,) = snapshot.search(Query("d0008"), scope)
    assert hit.text == "the page d0008 is INTERNAL"
