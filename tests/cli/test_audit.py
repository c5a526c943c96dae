"""Who saw this: `nomoat audit search`, `show` and `tail` against a real gateway."""

import json
import signal

import pytest

from nomoat.cli import records
from tests.cli.live import Caller, Live


@pytest.fixture(scope="module")
def refused(live: Live, admin: Caller) -> int:
    """The number of the record of a refusal: nosy may not enrol anybody."""
    who = live.person(admin, "nosy")
    said = who.nomoat("enroll", "nosy", "--json")
    record = json.loads(said.err)["record"]
    assert isinstance(record, int)
    return record


def test_a_search_prints_who_did_what_and_why_not(admin: Caller, refused: int) -> None:
    said = admin.nomoat("audit", "search", "by nosy refused")
    assert said.code == 0, said.err
    heading, *rows = said.out.splitlines()
    assert heading.split() == ["#", "when", "who", "what", "on", "decision", "why"]
    assert len(rows) == 1
    assert rows[0].split()[0] == str(refused)
    for word in ("person nosy", "Enroll", "person:nosy", "refused", "no policy permits it"):
        assert word in rows[0]


def test_a_search_for_programs_is_whole_records(admin: Caller, refused: int) -> None:
    found = admin.nomoat("audit", "search", "by nosy refused", "--json").json()
    assert isinstance(found["records"], list)
    (record,) = found["records"]
    assert (record["n"], record["decision"], record["who"]["name"]) == (refused, "deny", "nosy")
    assert isinstance(found["size"], int)


def test_the_newest_come_last_and_as_many_as_asked_for(admin: Caller, refused: int) -> None:
    records = admin.nomoat("audit", "search", "--limit", "3", "--json").json()["records"]
    assert isinstance(records, list)
    numbers = [record["n"] for record in records]
    assert numbers == sorted(numbers)
    assert len(numbers) == 3
    assert numbers[0] > refused


def test_one_record_shows_everything(admin: Caller, refused: int) -> None:
    said = admin.nomoat("audit", "show", str(refused))
    assert said.code == 0, said.err
    facts = dict(line.split(maxsplit=1) for line in said.out.splitlines() if line)
    assert facts["n"] == str(refused)
    assert facts["who.name"] == "nosy"
    assert facts["who.binding"] == "mtls"
    assert facts["context.source"] == "127.0.0.1"
    assert facts["snapshot"].startswith("sha256:")


def test_a_fact_of_several_parts_is_words() -> None:
    facts = dict(records.facts({"n": 1, "on": {"in": [["Dataset", "acme/digits"]], "labels": ["a", "b"]}}))
    assert facts == {"n": "1", "on.in": "Dataset acme/digits", "on.labels": "a, b"}


def test_an_access_is_shown_with_how_it_ended(admin: Caller) -> None:
    assert admin.nomoat("whoami").code == 0
    records = admin.nomoat("audit", "search", "what Whoami by ann", "--limit", "1", "--json").json()["records"]
    assert isinstance(records, list)
    said = admin.nomoat("audit", "show", str(records[0]["n"]))
    assert "everyone-identifies-itself" in said.out
    assert "outcome.outcome" in said.out
    assert "complete" in said.out


def test_a_record_that_does_not_exist(admin: Caller) -> None:
    said = admin.nomoat("audit", "show", "999999")
    assert said.code == 1
    assert "has no record 999999" in said.err


def test_a_query_that_is_not_understood_says_where(admin: Caller) -> None:
    for command in ("search", "tail"):
        said = admin.nomoat("audit", command, "on x whence y")
        assert said.code == 2
        assert "at position 6: 'whence'" in said.err


def test_a_query_without_quotes_is_told_of_them(admin: Caller) -> None:
    said = admin.nomoat("audit", "search", "on", "acme/digits", "since", "7d")
    assert said.code == 2
    assert "put it in quotes: 'on acme/digits since 7d'" in said.err


def test_an_action_that_there_is_not_is_no_empty_answer(admin: Caller) -> None:
    for written, meant in (("readfile", "ReadFile"), ("Revok", "Revoke"), ("logopened", "LogOpened")):
        said = admin.nomoat("audit", "search", f"what {written}")
        assert (said.code, said.out) == (2, "")
        assert f"{written!r} is no action; did you mean {meant}?" in said.err
    assert (
        "there are AcceptOlderCopy, AcceptOlderState, ApplyDirectory" in admin.nomoat("audit", "search", "what xyz").err
    )
    assert admin.nomoat("audit", "search", "what LogOpened").code == 0


def test_a_number_that_is_none_is_told_where_numbers_are(admin: Caller) -> None:
    for number in ("abc", "-1", "1.5", "9" * 40):
        said = admin.nomoat("audit", "show", "--", number)
        assert said.code == 2
        assert "is no record's number; nomoat audit search shows them in its first column" in said.err


def test_the_count_says_of_what(admin: Caller) -> None:
    said = admin.nomoat("audit", "search", "what Whoami", "--limit", "1")
    assert said.err.startswith("1 record found, the newest (more with --limit); the whole log has ")
    assert said.out.splitlines()[1].split()[3].isalpha(), "a time without its zone"


def test_the_log_is_for_auditors_and_reading_it_is_recorded(live: Live, admin: Caller) -> None:
    who = live.person(admin, "curious")
    said = who.nomoat("audit", "search")
    assert said.code == 1
    assert "curious may not ReadLog" in said.err
    assert "person curious" in admin.nomoat("audit", "search", "what ReadLog refused").out


def test_the_tail_follows_and_leaves_its_own_reading_out(admin: Caller) -> None:
    with admin.running("audit", "tail", "-f", "-n", "1", "by ann", "--json") as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        following = []
        for _ in range(2):
            assert admin.nomoat("enroll", "ann").code == 0
            following.append(json.loads(process.stdout.readline()))
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    assert first["n"] < following[0]["n"] < following[1]["n"]
    assert [record["what"] for record in following] == ["Enroll", "Enroll"]


def test_names_that_a_client_chose_cannot_steer_the_auditor_s_terminal(live: Live, admin: Caller) -> None:
    who = live.person(admin, "rude")
    assert who.nomoat("audit", "search", "on \x1b[2J\u202eevil").code == 1  # not an auditor
    said = admin.nomoat("audit", "search", "by rude")
    assert "rude" in said.out
    assert "\x1b" not in said.out
    assert "\u202e" not in said.out
