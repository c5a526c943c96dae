"""Indexes whose vectors are made by a model that is asked: what leaves, by whose permission, and what may come back."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.cli.live import Caller
from tests.content import corpus
from tests.inference.vectors import DIMENSIONS, FAULTS, GOOD, OTHER
from tests.retrieval.conftest import Library

VECTOR = {"ranker": "vector"}
KEYWORD = {"ranker": "keyword"}
PEOPLE = """
[[workload]]
name = "curator"
segment = "ingestion"
groups = ["librarians", "model-users"]
clearance = "confidential"
[[person]]
name = "cyd"
groups = ["index-readers"]
clearance = "confidential"
[[person]]
name = "dan"
groups = ["index-readers", "model-users"]
clearance = "confidential"
[[person]]
name = "fay"
groups = ["index-readers", "model-users"]
clearance = "confidential"
[[person]]
name = "gus"
groups = ["index-readers", "model-users"]
clearance = "confidential"
[[upstream]]
name = "hasty"
url = "http://127.0.0.1:{port}/v1"
clearance = "confidential"
private = true
first_byte_s = 1
"""
ASKED = """
[[endpoint]]
name = "acme/{index}-vectors"
classification = "public"
served = [{{ upstream = "{upstream}", model = "{model}" }}]
[[index]]
name = "{index}"
classification = "internal"
owner = "group:librarians"
embedder = {{ endpoint = "acme/{index}-vectors", dimensions = {dimensions} }}
"""
VAULT = """
[[person]]
name = "ivy"
groups = ["index-readers", "model-users"]
clearance = "restricted"
[[workload]]
name = "keeper"
segment = "ingestion"
groups = ["librarians", "model-users"]
clearance = "restricted"
[[upstream]]
name = "vault"
url = "http://127.0.0.1:{port}/v1"
clearance = "restricted"
private = true
[[endpoint]]
name = "acme/vault-vectors"
classification = "restricted"
served = [{{ upstream = "vault", model = "vectors-with-a-card" }}]
[[index]]
name = "vault"
classification = "internal"
owner = "group:librarians"
embedder = {{ endpoint = "acme/vault-vectors", dimensions = {dimensions} }}
"""
TRAVEL = {"name": "travel.md", "passages": ["Travel by train is booked by oneself.", "Flights are approved first."]}
LEAVE = {"name": "leave.md", "passages": ["Everybody has thirty days of leave."]}
SECRET = {"name": "merger.md", "classification": "confidential", "passages": ["The merger is in spring."]}
KEY = corpus.secrets()["aws-access-key"][0]


@pytest.fixture(scope="module")
def shelf(library: Library) -> Library:
    library.live.declare(PEOPLE.format(port=library.upstream.port))
    for who in ("workload:curator", "person:cyd", "person:dan", "person:fay", "person:gus"):
        library.live.join(who)
    return library


@pytest.fixture(autouse=True)
def _nothing_asked_yet(library: Library) -> None:
    library.upstream.asked.clear()


def declare(shelf: Library, index: str, upstream: str = "inside", model: str = GOOD, size: int = DIMENSIONS) -> None:
    shelf.live.declare(ASKED.format(index=index, upstream=upstream, model=model, dimensions=size))


def sent(shelf: Library) -> list[str]:
    """Every text that a server was sent."""
    return [text for _, _, body in shelf.upstream.asked for text in body["input"]]


def put(shelf: Library, index: str, *documents: dict[str, Any], who: str = "curator") -> tuple[int, Any]:
    return shelf.put(*documents, who=who, index=index)


def listed(shelf: Library, index: str) -> dict[str, bool]:
    with shelf.live.http("curator") as http:
        answer = http.get(f"/v1/indexes/{index}/documents")
    return {each["name"]: each["embedded"] for each in answer.json()["documents"]}


def test_what_is_meant_is_found_by_the_vectors_of_a_server(shelf: Library) -> None:
    declare(shelf, "asked")
    assert put(shelf, "asked", TRAVEL, LEAVE, SECRET) == (200, {"passages": 4})
    assert sorted(sent(shelf)) == sorted([*TRAVEL["passages"], *LEAVE["passages"], *SECRET["passages"]])
    assert {path for path, _, _ in shelf.upstream.asked} == {"/v1/embeddings"}
    shelf.upstream.asked.clear()
    assert shelf.found("bob", "days of leave", index="asked", ranking_options=VECTOR)[0] == "leave.md"
    assert shelf.found("bob", "Flights are approved first", index="asked", ranking_options=VECTOR)[0] == "travel.md"
    assert "merger.md" not in shelf.found("bob", "the merger is in spring", index="asked")
    assert shelf.found("dan", "the merger is in spring", index="asked")[0] == "merger.md"
    assert len(sent(shelf)) == 4, "each query once"


def test_records_say_who_had_which_server_see_what(shelf: Library) -> None:
    declare(shelf, "recorded")
    put(shelf, "recorded", TRAVEL, SECRET)
    shelf.found("bob", "travel", index="recorded")
    embedding = shelf.live.records("on acme/recorded-vectors what InvokeModel", limit=20)
    by = {each["who"]["name"] for each in embedding}
    assert by == {"curator", "bob"}
    assert {each["asked"].get("carried", "") for each in embedding if each["who"]["name"] == "curator"} == {
        "internal",
        "confidential",
    }, "each with its label"
    assert all(each["outcome"]["facts"]["upstream"] == "inside" for each in embedding)
    (written,) = shelf.live.records("on recorded what WriteDocuments", limit=1)
    ours = sorted(each["n"] for each in embedding if each["who"]["name"] == "curator")
    assert sorted(map(int, written["outcome"]["facts"]["embedded_by"].split())) == ours


def test_attack_a_document_is_put_where_its_vectors_are_made_by_a_server_that_may_not_have_it(shelf: Library) -> None:
    declare(shelf, "outside", upstream="outside")
    status, said = put(shelf, "outside", TRAVEL, SECRET)
    assert status == 403
    assert "merger.md (confidential)" in said["error"]
    assert "acme/outside-vectors" in said["error"]
    assert SECRET["passages"][0] not in sent(shelf)
    assert listed(shelf, "outside") == {}, "nothing of it was put in, and nothing without a vector"
    assert put(shelf, "outside", TRAVEL)[0] == 200


def test_attack_a_query_carries_what_a_session_read_to_a_server_that_may_not_have_it(shelf: Library) -> None:
    declare(shelf, "outside", upstream="outside")
    put(shelf, "outside", TRAVEL)
    shelf.put({**SECRET, "passages": ["The merger is in spring, with Initech."]})
    assert shelf.found("fay", "travel", index="outside")
    assert shelf.found("fay", "merger Initech") == ["merger.md"]
    shelf.upstream.asked.clear()
    status, said = shelf.search("fay", "does Initech pay for travel", index="outside")
    assert status == 403
    assert "your session read" in str(said)
    assert sent(shelf) == []
    status, _ = shelf.search("fay", "travel", index="outside", ranking_options=KEYWORD)
    assert status == 200, "words are counted here"


def test_attack_a_secret_in_a_query_or_a_document_leaves_for_a_server_of_others(shelf: Library) -> None:
    declare(shelf, "outside", upstream="outside")
    status, said = put(shelf, "outside", {"name": "keys.md", "passages": [f"The key is {KEY} until May."]})
    assert status == 200, said
    shelf.anew("ada")
    shelf.found("ada", f"what is {KEY} for", index="outside")
    assert sent(shelf)
    assert not any(KEY in text for text in sent(shelf))


def test_attack_a_model_is_asked_by_who_may_not_ask_it(shelf: Library) -> None:
    declare(shelf, "asked")
    put(shelf, "asked", TRAVEL)
    shelf.upstream.asked.clear()
    status, said = shelf.search("cyd", "travel by train", index="asked")
    assert status == 403
    assert "acme/asked-vectors" not in str(said), "what they may not ask they are not told of"
    assert shelf.search("cyd", "travel by train", index="asked", ranking_options=KEYWORD)[0] == 200
    status, said = put(shelf, "asked", LEAVE, who="librarian")
    assert (status, "acme/asked-vectors" in str(said)) == (403, False)
    assert sent(shelf) == []


def test_attack_an_index_is_asked_about_by_who_may_not_search_it(shelf: Library) -> None:
    declare(shelf, "asked")
    assert shelf.search("eve", "travel", index="asked") == shelf.search("eve", "travel", index="nothing")
    assert sent(shelf) == [], "nothing left for a question that was not permitted"


@pytest.mark.parametrize(
    "model", [*sorted(FAULTS), "broken", "too-many", "credential", "reset-before", "short", "no-http", "bomb"]
)
def test_a_server_that_answers_no_vectors_is_not_believed(shelf: Library, model: str) -> None:
    declare(shelf, "faulty", upstream="hasty", model=GOOD)
    assert put(shelf, "faulty", TRAVEL)[0] == 200
    declare(shelf, "faulty", upstream="hasty", model=model)
    status, said = put(shelf, "faulty", {**TRAVEL, "name": "new.md"})
    assert status == 503, said
    assert listed(shelf, "faulty").keys() == {"travel.md"}, "nothing is put in without its vectors"
    shelf.live.declare(
        '[[index]]\nname = "faulty"\nremove = true\n[[endpoint]]\nname = "acme/faulty-vectors"\nremove = true\n'
    )


def test_a_server_that_says_nothing_is_waited_for_as_long_as_it_may_take(shelf: Library) -> None:
    declare(shelf, "silent", upstream="hasty", model="silent")
    status, said = shelf.search("bob", "travel", index="silent")
    assert status == 503, said
    assert shelf.search("bob", "travel", index="silent", ranking_options=KEYWORD)[0] == 200


def test_another_embedder_makes_all_vectors_anew_or_is_not_searched_by_them(shelf: Library) -> None:
    """Nobody's permission to send documents is at hand when an embedder changes: who keeps them puts them in again."""
    declare(shelf, "changing")
    put(shelf, "changing", TRAVEL, LEAVE, SECRET)
    declare(shelf, "changing", model=OTHER)
    shelf.upstream.asked.clear()
    assert listed(shelf, "changing") == dict.fromkeys(("leave.md", "merger.md", "travel.md"), False)
    status, said = shelf.search("bob", "days of leave", index="changing")
    assert status == 503
    assert "nomoat index add" in str(said)
    assert sent(shelf) == []
    assert shelf.found("bob", "leave", index="changing", ranking_options=KEYWORD) == ["leave.md"]
    put(shelf, "changing", TRAVEL, LEAVE)
    assert shelf.found("bob", "days of leave", index="changing", ranking_options=VECTOR)[0] == "leave.md", (
        "what bob may not read, and is not there yet, is nothing to him"
    )
    assert shelf.search("dan", "days of leave", index="changing")[0] == 503
    put(shelf, "changing", SECRET)
    assert shelf.found("dan", "the merger is in spring", index="changing", ranking_options=VECTOR)[0] == "merger.md"
    shelf.live.declare('[[index]]\nname = "changing"\nclassification = "internal"\nowner = "group:librarians"\n')
    shelf.upstream.asked.clear()
    assert shelf.found("bob", "how much holiday do I get", index="changing", ranking_options=VECTOR)[0] == "leave.md"
    assert set(listed(shelf, "changing").values()) == {True}
    assert sent(shelf) == [], "these vectors are made here"


def test_who_may_no_more_ask_the_model_takes_nothing_out(shelf: Library, tmp_path: Path) -> None:
    """Each file of a folder would be refused, and what is refused is taken out: they hear that they may put in none."""
    declare(shelf, "folder")
    put(shelf, "folder", TRAVEL)
    (tmp_path / "travel.md").write_text("# Travel\n\nTravel by train is booked by oneself.\n")
    caller, profile = Caller(shelf.live.root / "home"), shelf.live.profiles["librarian"].name
    said = caller.nomoat("index", "add", "folder", str(tmp_path), "--profile", profile)
    assert said.code == 1
    assert "you may not ask it" in said.err
    assert listed(shelf, "folder") == {"travel.md": True}
    again = caller.nomoat("index", "add", "folder", str(tmp_path), "--profile", shelf.live.profiles["curator"].name)
    assert again.code == 0, again.err
    declare(shelf, "folder", model=OTHER)
    same = caller.nomoat("index", "add", "folder", str(tmp_path), "--profile", shelf.live.profiles["curator"].name)
    assert "1 document sent" in same.out, "another embedder"
    assert listed(shelf, "folder") == {"travel.md": True}


def test_many_passages_are_sent_in_several_requests(shelf: Library) -> None:
    declare(shelf, "large")
    passages = [f"Rule number {number} of the house." for number in range(150)]
    assert put(shelf, "large", {"name": "rules.md", "passages": passages}) == (200, {"passages": 150})
    assert [len(body["input"]) for _, _, body in shelf.upstream.asked] == [64, 64, 22]
    assert sent(shelf) == passages
    (hit, *_) = shelf.search("bob", passages[130], index="large", ranking_options=VECTOR)[1]["data"]
    assert hit["passage"] == 130, "each vector is of its text"


def being_asked(shelf: Library, ask: Callable[[], object]) -> threading.Thread:
    """Ask in a thread, until the server was asked."""
    asking = threading.Thread(target=ask)
    asking.start()
    for _ in range(1_000):
        if shelf.upstream.asked:
            return asking
        asking.join(0.02)
    pytest.fail("the server was never asked")


def test_a_revocation_ends_a_search_whose_model_is_being_asked(shelf: Library) -> None:
    declare(shelf, "waiting", model="silent")
    answers: list[int] = []
    asking = being_asked(shelf, lambda: answers.append(shelf.search("gus", "travel", index="waiting")[0]))
    shelf.live.declare('[[person]]\nname = "gus"\ngroups = ["model-users"]\nclearance = "confidential"\n')
    asking.join(20)
    assert answers
    assert answers[0] in {401, 403, 404}, "who may search no more is not answered"


def test_another_model_while_documents_are_put_in_puts_in_none_of_them(shelf: Library) -> None:
    """Vectors of two models never are in one index as those of one."""
    declare(shelf, "moving", model="silent")
    answers: list[int] = []
    asking = being_asked(shelf, lambda: answers.append(put(shelf, "moving", TRAVEL)[0]))
    declare(shelf, "moving", model=GOOD)
    asking.join(20)
    assert answers
    assert answers[0] != 200
    assert listed(shelf, "moving") == {}


def test_vectors_of_a_model_that_may_tell_what_is_restricted_are_looked_at_as_its_answers_are(shelf: Library) -> None:
    shelf.live.declare(VAULT.format(port=shelf.upstream.port, dimensions=DIMENSIONS))
    for who in ("person:ivy", "workload:keeper"):
        shelf.live.join(who)
    document = {**TRAVEL, "version": "0" * 64}
    with shelf.live.bound("keeper") as http:
        assert http.put("/v1/indexes/vault/documents", json={"documents": [document]}).json() == {"passages": 2}
    with shelf.live.bound("ivy") as http:
        found = http.post("/v1/vector_stores/vault/search", json={"query": "travel", "ranking_options": VECTOR}).json()
    assert {each["file_id"] for each in found["data"]} == {"travel.md"}
    assert put(shelf, "vault", LEAVE, who="keeper")[0] == 403, (
        "a token that could be stolen asks nothing that is restricted"
    )
    released = shelf.live.records("on acme/vault-vectors what ReleaseAnswer", limit=5)
    assert {each["who"]["name"] for each in released} == {"ivy", "keeper"}
    assert shelf.search("dan", "travel", index="vault")[0] == 403, "dan may not ask what may tell so much"


def test_who_leaves_is_not_asked_for_any_more(shelf: Library) -> None:
    declare(shelf, "leaving", model="silent")
    left = shelf.upstream.left

    def ask() -> None:
        with shelf.live.http("bob") as http, pytest.raises(httpx2.TimeoutException):
            http.post("/v1/vector_stores/leaving/search", json={"query": "travel"}, timeout=1)

    being_asked(shelf, ask).join(20)
    deadline = time.monotonic() + 20
    while shelf.upstream.left == left and time.monotonic() < deadline:
        time.sleep(0.02)
    assert shelf.upstream.left == left + 1
