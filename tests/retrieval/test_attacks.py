"""Attacks on retrieval, through the public door: each of the list, or where it is.

| attack | test |
|---|---|
| topic-correlated recall | `test_attack_permission_follows_the_topic_that_is_asked_for`; exactness: `test_noninterference.py` |
| short-result oracle | `test_attack_fewer_hits_than_asked_for_tell_of_hidden_ones`, and in `test_noninterference.py` |
| score and count oracle | `test_attack_scores_and_counts_tell_of_hidden_words`, and in `test_noninterference.py` |
| latency oracle | AUC: `bench/timing.py`; on a grid: `test_attack_the_time_of_an_answer_off_the_grid` |
| a change during a compaction, one that is killed | `test_noninterference.py`, `test_killed.py` |
| revocation in mid-query | `test_changing.py`: `test_attack_a_search_waits_to_read_while_what_allowed_it_changes` and the next one |
| public to restricted | `test_attack_what_becomes_restricted_is_asked_for_at_once` |
| removal from a group | `test_attack_a_group_is_left_and_its_documents_are_asked_for` |
| override by a filter | `test_attack_a_filter_names_what_decides`, and in `test_noninterference.py` |
| class spoofing at ingest | `test_attack_attributes_and_words_that_look_like_labels`; front matter: `test_folders.py`, `tests/documents/test_hostile.py` |
| segment swap and rollback | `tests/stores/test_documents.py`; of the whole state: `tests/audit/test_generation.py`; what is not noticed: `THREATS.md` |
| pooled-session bleed, shared cache | `test_attack_two_callers_share_a_connection_and_every_cache` |
| a chunk that inherits the wrong class | `test_attack_passages_keep_a_class_that_their_document_had`; folders: `test_folders.py` |
| citation or neighbour fetch | `test_changing.py`: `test_attack_passages_that_were_not_found_are_read`, `test_attack_routes_tell_a_hidden_document_from_none` |
| poisoned documents | `test_attack_a_writer_reaches_above_their_clearance`, and in `test_searching.py`; in a race: `test_changing.py` |
| membership by near-duplicate | `test_attack_the_very_text_of_a_hidden_document_is_asked_for`; with a model: `test_attack_a_model_is_asked_for_hidden_words` |
| a list of what is kept, while it changes | `test_changing.py`: `test_attack_a_document_is_raised_while_it_is_listed` |
| what records tell | `test_attack_records_of_a_search_name_what_is_hidden` |
| what refusals and their explanations tell | `test_oracles.py`; of an index that cannot be had: `test_postgres.py` |
| folders of others, rules that are not what they seem | `test_hostile_folders.py` |
| several gateways, roles of a database | `test_several_gateways.py` |
"""

import base64
import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.retrieval.conftest import Library

Told = tuple[int, Any]
RANKINGS = ("hybrid", "keyword", "vector")
DECLARED = """
[[workload]]
name = "mallory"
groups = ["librarians"]
clearance = "internal"
[[workload]]
name = "archivist"
groups = ["librarians"]
clearance = "restricted"
[[person]]
name = "cat"
groups = ["index-readers", "finance"]
clearance = "confidential"
[[index]]
name = "whole"
classification = "internal"
owner = "group:librarians"
[[index]]
name = "alone"
classification = "internal"
owner = "group:librarians"
[[index]]
name = "attacked"
classification = "internal"
owner = "group:librarians"
embedder = "none"
[[index]]
name = "paced"
classification = "internal"
owner = "group:librarians"
embedder = "none"
answer_every_ms = 40
"""
HIDDEN_TEXT = "Project Basalt: the merger with Globex is signed on the third of May"
OPEN = [
    {"name": f"open{n:02d}", "passages": [f"The merger of two teams, note {n}", f"Lunch on day {n}"]} for n in range(12)
]
OTHER = [{"name": f"other{n:02d}", "passages": [f"How a printer is connected on floor {n}"]} for n in range(40)]
HIDDEN = [
    {
        "name": f"hidden{n:03d}",
        "classification": "confidential",
        "labels": ["basalt"],
        "attributes": {"year": 2020 + n % 3},
        "passages": [HIDDEN_TEXT if n == 0 else f"{HIDDEN_TEXT}, draft {n} of the merger"],
    }
    for n in range(150)
]


@pytest.fixture(scope="module")
def both(library: Library) -> Library:
    """Two indexes of the same documents that bob may read; one has others besides."""
    library.live.declare(DECLARED)
    for subject in ("workload:mallory", "workload:archivist", "person:cat"):
        library.live.join(subject)
    assert library.put(*HIDDEN, *OPEN, *OTHER, index="whole")[0] == 200
    assert library.put(*OPEN, *OTHER, index="alone")[0] == 200
    assert library.put(OPEN[0], index="paced")[0] == 200
    return library


def same(library: Library, query: str, **more: object) -> Told:
    """What bob is told, of the index with hidden documents as of the one without."""
    whole, alone = (library.search("bob", query, index=index, **more) for index in ("whole", "alone"))
    assert unnumbered(whole) == unnumbered(alone)
    return whole


def unnumbered(told: object) -> str:
    """What was told, whatever the number of its record."""
    return re.sub(r"record\W+\d+", "record N", json.dumps(told))


def names(told: Told) -> list[str]:
    return [each["file_id"] for each in told[1]["data"]]


@pytest.mark.parametrize("ranker", RANKINGS)
def test_attack_permission_follows_the_topic_that_is_asked_for(both: Library, ranker: str) -> None:
    """All that is nearest is hidden: what is permitted and nearest is found all the same."""
    told = same(both, "when is the merger with Globex signed", ranking_options={"ranker": ranker}, max_num_results=10)
    assert len(told[1]["data"]) == 10
    assert sum(name.startswith("open") for name in names(told)) >= 8
    assert both.found("ada", "when is the merger with Globex signed", index="whole")[0].startswith("hidden")


@pytest.mark.parametrize("most", [1, 10, 49, 50])
def test_attack_fewer_hits_than_asked_for_tell_of_hidden_ones(both: Library, most: int) -> None:
    status, told = same(both, "merger note lunch printer floor", max_num_results=most)
    assert (status, len(told["data"]), told["has_more"], told["next_page"]) == (200, most, False, None)


@pytest.mark.parametrize("ranker", RANKINGS)
@pytest.mark.parametrize("query", ["Globex", "merger", "Basalt signed May", "draft", "note"])
def test_attack_scores_and_counts_tell_of_hidden_words(both: Library, query: str, ranker: str) -> None:
    status, _ = same(both, query, ranking_options={"ranker": ranker, "score_threshold": 0.0})
    assert status == 200
    with both.live.http("bob") as http:
        whole, alone = (http.get(f"/v1/vector_stores/{name}").json() for name in ("whole", "alone"))
    assert {**whole, "id": "", "name": ""} == {**alone, "id": "", "name": ""}


@pytest.mark.parametrize("ranker", RANKINGS)
def test_attack_the_very_text_of_a_hidden_document_is_asked_for(both: Library, ranker: str) -> None:
    for query in (HIDDEN_TEXT, HIDDEN_TEXT.lower(), HIDDEN_TEXT + " ", HIDDEN_TEXT[:-1]):
        told = same(both, query, ranking_options={"ranker": ranker})
        assert not any(name.startswith("hidden") for name in names(told))
    assert "hidden000" in both.found("ada", HIDDEN_TEXT, index="whole", ranking_options={"ranker": ranker})


def test_attack_a_model_is_asked_for_hidden_words(both: Library) -> None:
    """What is put before a model, and what is cited, is what it would be without the hidden ones."""
    seen: list[tuple[object, object]] = []
    for index in ("whole", "alone"):
        body = {"model": "acme/inside", "messages": [{"role": "user", "content": HIDDEN_TEXT}]}
        with both.live.http("bob") as http:
            answer = http.post(f"/v1/vector_stores/{index}/chat/completions", json=body)
        assert answer.status_code == 200, answer.text
        prompt = json.dumps(both.upstream.asked[-1][2]["messages"]).replace(index, "")
        seen.append((prompt, answer.headers["nomoat-citations"]))
    assert seen[0] == seen[1]
    assert "hidden" not in str(seen[0])


def _deep(levels: int, inner: dict[str, object]) -> dict[str, object]:
    return inner if not levels else {"type": "or", "filters": [_deep(levels - 1, inner)]}


def _compared(kind: str, value: object, *keys: str) -> list[dict[str, object]]:
    return [{"type": kind, "key": key, "value": value} for key in keys]


FILTERS: list[dict[str, object]] = [
    *_compared("eq", "confidential", "classification", "access", "class", "label"),
    *_compared("ne", "x", "owner", "readers", "labels", "shared", "__class__", ""),
    *_compared("eq", 1, "alive", "documents", "access.label.classification"),
    {"type": "in", "key": "year", "value": [2020, 2021, 2022]},
    {"type": "nin", "key": "year", "value": []},
    {"type": "or", "filters": [{"type": "ne", "key": "a", "value": 1}, {"type": "eq", "key": "year", "value": 2020}]},
    *(_deep(levels, {"type": "gte", "key": "year", "value": 0}) for levels in (1, 3, 4, 40)),
    {"type": "not", "filters": [{"type": "eq", "key": "year", "value": 1}]},
    {"type": "eq", "key": "year", "value": 2020, "permitted": ["confidential"]},
    {"type": []},
    {"type": {}},
    {"type": None},
    {"type": True},
    {"type": 1.5},
    {"type": "and", "filters": [{"type": ["eq"], "key": "year", "value": 2020}]},
]


@pytest.mark.parametrize("number", range(len(FILTERS)))
def test_attack_a_filter_names_what_decides(both: Library, number: int) -> None:
    status, told = same(both, "merger", filters=FILTERS[number])
    assert status in {200, 400}
    assert "hidden" not in json.dumps(told)


def test_attack_the_time_of_an_answer_off_the_grid(both: Library) -> None:
    """Answers, refusals and what is no request at all come no sooner than the next instant of the grid."""
    question: dict[str, object] = {"model": "acme/inside", "messages": [{"role": "user", "content": "merger"}]}
    with both.live.http("bob") as http:
        for asked in (question, *({**question, "messages": []}, {}) * 10):
            answer = http.post("/v1/vector_stores/paced/chat/completions", json=asked)
            assert answer.elapsed.total_seconds() >= 0.039, (asked, answer.text)
        for body in ({"query": "merger"}, {"query": "nothing has this"}, {"query": "x", "filters": {"type": "no"}}, {}):
            for _ in range(3):
                answer = http.post("/v1/vector_stores/paced/search", json=body)
                assert answer.elapsed.total_seconds() >= 0.039, (body, answer.text)


def test_attack_what_becomes_restricted_is_asked_for_at_once(both: Library) -> None:
    for n in range(20):
        for level, finders in (("public", {"bob", "ada"}), ("restricted", set())):
            page = {"name": "flips", "version": f"{n:064x}", "classification": level, "passages": [f"flips{n} a lever"]}
            with both.live.bound("archivist") as http:  # what is restricted needs more than a token
                written = http.put("/v1/indexes/attacked/documents", json={"documents": [page]})
            assert written.status_code == 200, written.text
            assert {who for who in ("bob", "ada") if both.found(who, f"flips{n}", index="attacked")} == finders


def test_attack_a_group_is_left_and_its_documents_are_asked_for(both: Library) -> None:
    page = {"name": "payroll", "readers": ["group:finance"], "passages": ["the payroll of quokkas"]}
    assert both.put(page, index="attacked")[0] == 200
    assert both.found("cat", "payroll", index="attacked") == ["payroll"]
    both.live.declare('[[person]]\nname = "cat"\ngroups = ["index-readers"]\nclearance = "confidential"\n')
    assert both.found("cat", "payroll", index="attacked") == []
    both.live.declare('[[person]]\nname = "cat"\ngroups = ["finance"]\nclearance = "confidential"\n')
    assert both.search("cat", "payroll", index="attacked") == both.search("cat", "payroll", index="nothing")


SPOOFED: list[dict[str, object]] = [
    {"attributes": {"classification": "public", "readers": "person:bob", "labels": "", "owner": "person:bob"}},
    {"title": "classification: public"},
    {"passages": ["---\nclassification: public\nreaders: [person:bob]\n---\nspoofed"]},
    {"name": "spoofed/.access.toml", "passages": ['[[file]]\npath = "*"\nclassification = "public"\n spoofed']},
]


@pytest.mark.parametrize("more", SPOOFED, ids=lambda more: next(iter(more)))
def test_attack_attributes_and_words_that_look_like_labels(both: Library, more: dict[str, object]) -> None:
    """Who may read a document is what whoever puts it in says of that, and nothing else that it has."""
    page = {"name": "spoofed", "classification": "confidential", "passages": ["spoofed"]} | more
    assert both.put(page, index="attacked")[0] == 200
    assert both.found("bob", "spoofed", index="attacked") == []
    assert str(page["name"]) in both.found("ada", "spoofed", index="attacked")


def test_attack_a_file_says_itself_who_may_read_it(both: Library) -> None:
    content = base64.b64encode(b"---\nclassification: public\nreaders: [person:bob]\n---\nselfmade words").decode()
    page = {"name": "self.md", "content": content, "classification": "confidential"}
    for believe in ([], ["front-matter"]):  # what is said beside it goes before what it says, believed or not
        with both.live.http("librarian") as http:
            body = {"documents": [page], "believe": believe}
            assert http.put("/v1/indexes/attacked/documents", json=body).status_code == 200
        assert both.found("bob", "selfmade", index="attacked") == []


def test_attack_passages_keep_a_class_that_their_document_had(both: Library) -> None:
    """Raised, lowered, taken out and put in again under another name: all passages of a document go with it."""
    words = [f"slate{n}x" for n in range(30)]

    def put(name: str, **more: object) -> None:
        assert both.put({"name": name, "passages": words, **more}, index="attacked")[0] == 200

    def passages(who: str) -> list[tuple[str, str]]:
        found = both.search(who, " ".join(words), index="attacked", max_num_results=50)[1]["data"]
        return sorted((each["file_id"], each["content"][0]["text"]) for each in found)

    for level, seen in (("internal", True), ("confidential", False), ("internal", True)):
        put("a/slate", classification=level)
        assert [text for _, text in passages("bob")] == (sorted(words) if seen else [])
    put("a/slate", readers=["group:finance"])
    assert passages("bob") == []
    put("b/slate", classification="confidential")  # as if it were moved to where more is confidential
    with both.live.http("librarian") as http:
        removed = http.post("/v1/indexes/attacked/documents/removals", json={"names": ["a/slate"]})
    assert removed.json() == {"removed": 1}
    assert passages("bob") == []
    assert {name for name, _ in passages("ada")} == {"b/slate"}
    put("b/slate", passages=words[:3])
    assert len(passages("bob")) == 3


def test_attack_a_writer_reaches_above_their_clearance(both: Library) -> None:
    """Mallory keeps what is internal: what is confidential she neither writes, replaces, lowers nor takes out."""
    page = {"name": "terms", "classification": "confidential", "passages": ["terms of granite"]}
    assert both.put(page, index="attacked")[0] == 200
    lowered = {**page, "classification": "internal"}
    assert both.put(page, who="mallory", index="attacked")[0] == 403
    assert both.put(lowered, who="mallory", index="attacked")[0] == 403
    assert both.put({**page, "name": "forged"}, who="mallory", index="attacked")[0] == 403
    assert both.put({**lowered, "name": "ok"}, {**page, "name": "forged"}, who="mallory", index="attacked")[0] == 403
    with both.live.http("mallory") as http:
        assert http.post("/v1/indexes/attacked/documents/removals", json={"names": ["terms"]}).status_code == 403
        listed = http.get("/v1/indexes/attacked/documents").json()["documents"]
    assert "terms" not in {each["name"] for each in listed}
    assert both.found("ada", "granite", index="attacked") == ["terms"]
    assert both.put({**lowered, "name": "own"}, who="mallory", index="attacked")[0] == 200
    found = both.search("ada", "granite", index="attacked")[1]["data"]
    assert {each["file_id"] for each in found} == {"terms", "own"}, "what she writes is there as what it is: internal"
    assert both.found("bob", "granite", index="attacked") == ["own"]


PATHS: tuple[Callable[[str], tuple[str, str]], ...] = (
    lambda name: ("GET", f"/v1/vector_stores/whole/files/{name}"),
    lambda name: ("GET", f"/v1/vector_stores/whole/files/{name}/content"),
    lambda name: ("DELETE", f"/v1/vector_stores/whole/files/{name}"),
    lambda name: ("GET", f"/v1/files/{name}"),
    lambda name: ("GET", f"/v1/files/{name}/content"),
    lambda name: ("GET", f"/v1/indexes/whole/documents/{name}"),
    lambda name: ("GET", f"/v1/indexes/whole/documents?name={name}"),
)


@pytest.mark.parametrize("number", range(len(PATHS)))
def test_attack_routes_tell_a_hidden_document_from_none(both: Library, number: int) -> None:
    answers: list[tuple[int, str]] = []
    for name in ("hidden000", "nothing00"):
        raw = both.live.raw("bob", *PATHS[number](name))
        answers.append((raw.status, unnumbered(raw.text).replace(name, "NAME")))
    assert answers[0] == answers[1]
    assert answers[0][0] >= 400


def test_attack_records_of_a_search_name_what_is_hidden(both: Library) -> None:
    """What is recorded of a search is what was asked and what was shown: who may read that learns of nothing hidden by it."""
    same(both, "merger signed May", max_num_results=50)
    records = both.live.records("by bob")
    told = [each for each in records if each["what"] in {"SearchIndex", "ReadPassages"}]
    assert len(told) >= 2
    for each in told:
        each["asked"].pop("document", None)  # of one that is asked for by its name, that name
    assert "hidden" not in json.dumps(told)
    assert "basalt" not in json.dumps(told).replace("Basalt", "")
    with both.live.http("bob") as http:
        assert http.get("/v1/log").status_code >= 400


def test_attack_two_callers_share_a_connection_and_every_cache(both: Library) -> None:
    """Eight threads, each with one connection that both callers' requests go over, while a document goes up and down."""
    tokens = {who: both.live.profiles[who].read("hub/token").decode() for who in ("ada", "bob")}
    queries = ["merger signed", "note lunch", "Globex", "printer floor"]
    alone = {(who, query): both.search(who, query, index="whole")[1]["data"] for who in tokens for query in queries}

    def ask(thread: int) -> list[tuple[object, object]]:
        wrong: list[tuple[object, object]] = []
        with both.live.http() as http:
            for n in range(40):
                who, query = ("ada", "bob")[(n + thread) % 2], queries[(n // 2 + thread) % len(queries)]
                headers = {"Authorization": f"Bearer {tokens[who]}"}
                found = http.post("/v1/vector_stores/whole/search", json={"query": query}, headers=headers).json()
                moving = http.post("/v1/vector_stores/attacked/search", json={"query": "swings"}, headers=headers)
                if found["data"] != alone[who, query]:
                    wrong.append((who, query))
                wrong += [(who, hit) for hit in moving.json()["data"] if who == "bob" and "confidential" in str(hit)]
        return wrong

    with ThreadPoolExecutor(8) as pool:
        asking = [pool.submit(ask, thread) for thread in range(8)]
        for n in range(30):
            level = ("internal", "confidential")[n % 2]
            page = {"name": "swings", "classification": level, "passages": [f"swings while it is {level}"]}
            assert both.put(page, index="attacked")[0] == 200
        assert [wrong for each in asking for wrong in each.result()] == []
