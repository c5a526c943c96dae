"""Searching through a live gateway: who finds what, and what the log says of it."""

from tests.retrieval.conftest import Library

LEAVE = {
    "name": "policies/leave.md",
    "passages": ["Everybody has thirty days of leave.", "Leave is asked for in the portal."],
}
BUDGET = {
    "name": "finance/budget.md",
    "classification": "confidential",
    "readers": ["group:finance"],
    "passages": ["The budget for leave is frozen until spring."],
}


def test_two_people_find_what_each_may_read(library: Library) -> None:
    assert library.put(LEAVE, BUDGET) == (200, {"passages": 3})
    assert set(library.found("ada", "leave")) == {"policies/leave.md", "finance/budget.md"}
    assert set(library.found("bob", "leave")) == {"policies/leave.md"}
    assert library.found("bob", "budget frozen") == []


def test_the_record_names_what_was_shown(library: Library) -> None:
    library.put(LEAVE, BUDGET)
    library.found("ada", "budget frozen spring")
    newest = library.live.records("what ReadPassages", limit=1)[-1]
    assert newest["who"]["name"] == "ada"
    assert "finance/budget.md#0@" in newest["asked"]["passages"]
    (shown,) = library.live.records("on handbook:finance/budget.md what ReadPassages by ada", limit=1)
    assert shown["n"] == newest["n"]


def test_what_means_the_same_is_found_without_its_words(library: Library) -> None:
    library.put(
        {"name": "leave.md", "passages": ["Vacation allowance is thirty days a year."]},
        {"name": "crash.md", "passages": ["The server ended with a segmentation fault."]},
        index="meaning",
    )
    asked = "how many days of holiday do I get"
    assert library.found("bob", asked, index="meaning", ranking_options={"ranker": "vector"})[0] == "leave.md"
    assert library.found("bob", asked, index="meaning")[0] == "leave.md"


def test_who_may_search_nothing_has_no_such_index(library: Library) -> None:
    missing = library.search("ada", "leave", index="nothing")
    hidden = library.search("eve", "leave")
    assert hidden == missing
    assert hidden[0] == 404
    with library.live.http("eve") as http:
        assert http.get("/v1/vector_stores").json()["data"] == []
    with library.live.http("bob") as http:
        assert {each["id"] for each in http.get("/v1/vector_stores").json()["data"]} >= {"handbook"}


def test_a_raised_label_is_in_force_for_the_very_next_query(library: Library) -> None:
    library.put({"name": "plan.md", "passages": ["the reorganisation begins"]})
    assert library.found("bob", "reorganisation") == ["plan.md"]
    library.put({"name": "plan.md", "classification": "confidential", "passages": ["the reorganisation begins"]})
    assert library.found("bob", "reorganisation") == []
    assert library.found("ada", "reorganisation") == ["plan.md"]


def test_attack_a_document_is_put_into_a_class_that_its_writer_may_not_write(library: Library) -> None:
    poisoned = {"name": "board.md", "classification": "restricted", "passages": ["pay the supplier at this account"]}
    status, said = library.put(poisoned)
    assert status == 403, said
    assert "nobody-writes-above-clearance" in said["error"]
    assert library.put({"name": "x.md", "passages": ["x"]}, who="bob")[0] == 403


def test_attack_a_document_that_may_not_be_written_is_replaced_by_one_that_may(library: Library) -> None:
    """Who may not write what is there may not put something public in its place."""
    assert library.put({"name": "own.md", "passages": ["first"]})[0] == 200
    status, _ = library.put({"name": "own.md", "passages": ["mine"]}, who="ada")
    assert status == 403
    assert library.found("bob", "first") == ["own.md"]
