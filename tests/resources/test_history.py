"""What is told of a history of the example pipeline, under random edits, is what Cedar says of every record of it."""

import asyncio
from collections.abc import Mapping
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nomoat.core.decision import Allow
from nomoat.policy import compile_policies, decide_again
from nomoat.policy.explanation import differences, varied
from nomoat.policy.question import Question, Unanswerable, is_decision, question_of
from nomoat.policy.replay import Replay, Usage, changes_nothing, number_of, part
from nomoat.policy.source import clauses
from tests.policy.edits import chance, edited
from tests.policy.plain import PlainCedar
from tests.resources.recorded import RECORDS, Answer, Recorded, build

SAMPLE = 400
Record = Mapping[str, object]


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    made = asyncio.run(build(tmp_path_factory.mktemp("history"), seed=7, edits=6 if RECORDS < 50_000 else 3))
    print(f"{made.size} records, {len(made.decisions)} decisions; seconds: {made.seconds}")  # noqa: T201  # with -s
    return made


def rows(answer: Answer, name: str) -> list[Answer]:
    return cast("list[Answer]", answer[name])


def asked(record: Record) -> Question:
    return question_of(record)


def sample(history: Recorded, seed: int) -> list[Record]:
    decided = [record for record in history.decisions if is_decision(record)]
    return chance(seed).sample(decided, min(SAMPLE, len(decided)))


def test_the_history_is_as_long_as_it_has_to_be(history: Recorded) -> None:
    assert history.size >= RECORDS
    assert len({str(record["what"]) for record in history.decisions}) >= 10
    denied = [record for record in history.decisions if record["decision"] == "deny"]
    assert len(denied) > len(history.decisions) // 10


def test_every_decision_can_be_asked_again_and_is_decided_the_same(history: Recorded) -> None:
    decided = 0
    for record in history.decisions:
        if is_decision(record):
            decision = decide_again(history.active, asked(record))
            assert isinstance(decision, Allow) is (record["decision"] == "allow"), record
            assert list(decision.policies) == record["policies"] or len(asked(record).targets) > 1
            decided += 1
    assert decided > len(history.decisions) * 0.9


def test_every_example_of_a_simulation_is_what_cedar_says(history: Recorded) -> None:
    by_number = {number_of(record): record for record in history.decisions}
    told = 0
    for simulated in history.simulated:
        plain = PlainCedar(simulated.candidate.files)
        for group in rows(simulated.answer, "groups"):
            for number in cast("list[int]", group["records"]):
                if number in by_number:
                    assert plain.allows(asked(by_number[number])) is (group["turn"] == "allowed")
                    assert (by_number[number]["decision"] == "deny") is (group["turn"] == "allowed")
                    told += 1
    assert told > 0


def test_a_simulation_leaves_no_difference_out(history: Recorded) -> None:
    for simulated in history.simulated:
        plain, replay = PlainCedar(simulated.candidate.files), Replay(simulated.candidate)
        turned = 0
        for record in sample(history, 1):
            replay.take(record)
            turned += plain.allows(asked(record)) is not (record["decision"] == "allow")
        assert sum(replay.tally.turned.values()) == turned
        counted = sum(cast("int", group["count"]) for group in rows(simulated.answer, "groups"))
        total = cast("int", simulated.answer["newly_allowed"]) + cast("int", simulated.answer["newly_refused"])
        assert counted + cast("int", simulated.answer["untold"]) == total >= turned
        assert simulated.answer["unanswerable"] == 0


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.integers(0, 2**32))
def test_whatever_the_edit_what_is_newly_allowed_is_truly_allowed(history: Recorded, seed: int) -> None:
    candidate = edited(chance(seed), history.active.files)
    plain = PlainCedar(candidate.files)
    for record in sample(history, seed)[:60]:
        replay = Replay(candidate)
        replay.take(record)
        now = plain.allows(asked(record))
        was = record["decision"] == "allow"
        assert replay.tally.turned == {"allowed": int(now and not was), "refused": int(was and not now)}


def test_a_grant_that_is_to_go_changes_no_decision_in_the_log(history: Recorded) -> None:
    verdicts = {str(row["id"]): row["verdict"] for row in rows(history.unused, "unused")}
    removed = {name for name, verdict in verdicts.items() if verdict == "remove"}
    assert {"ml-engineers-keep-their-models", "approvers-try-changes"} <= removed
    assert verdicts["deployment-reads-models"] == "used before"
    assert "training-reads-datasets" not in verdicts
    without = history.active.restricted(set(history.active.ids) - removed)
    assert all(changes_nothing(record, history.active, without) for record in history.decisions)
    plain = PlainCedar({name: kept(name, text, removed) for name, text in history.active.files.items()})
    for record in sample(history, 2):
        assert plain.allows(asked(record)) is (record["decision"] == "allow")


def kept(file: str, text: str, removed: set[str]) -> str:
    """A file without some of its policies."""
    return "\n".join(
        clause.text for clause in clauses(file, text) if not any(f'@id("{each}")' in clause.text for each in removed)
    )


def test_what_is_used_is_never_to_go(history: Recorded) -> None:
    used = {
        str(name)
        for record in history.decisions
        if record["decision"] == "allow"
        for name in cast("list[str]", record["policies"])
    }
    assert not used & {str(row["id"]) for row in rows(history.unused, "unused") if row["verdict"] == "remove"}
    usage = Usage(history.active)
    for record in history.decisions:
        usage.take(record)
    assert set(usage.last) >= used


def test_a_trial_records_exactly_where_it_decides_otherwise(history: Recorded) -> None:
    told = 0
    for tried in history.tried:
        digest = tried.candidate.digest
        plain = PlainCedar(tried.candidate.files)
        during = [record for record in history.decisions if number_of(record) in tried.records and is_decision(record)]
        counted = 0
        for record in chance(3).sample(during, min(SAMPLE, len(during))):
            otherwise = plain.allows(asked(record)) is not (record["decision"] == "allow")
            assert (part(record, "candidate").get("snapshot") == digest) is otherwise
            counted += otherwise
        total = cast("int", tried.answer["newly_allowed"]) + cast("int", tried.answer["newly_refused"])
        assert total >= counted
        told += total
    assert told > 0


def test_every_explanation_holds_in_cedar(history: Recorded) -> None:
    plain = PlainCedar(history.active.files)
    explained = 0
    for record in sample(history, 4)[:40]:
        question = asked(record)
        for way in differences(history.active, question).ways:
            assert plain.allows(varied(question, way.changes)) is (record["decision"] == "deny")
            explained += 1
    assert explained > 40


def test_what_a_record_does_not_hold_is_counted_and_not_guessed(history: Recorded) -> None:
    record = dict(sample(history, 5)[0])
    record["who"] = {"kind": "person", "name": "ada"}
    with pytest.raises(Unanswerable):
        question_of(record)
    replay = Replay(compile_policies({}))
    replay.take(record)
    assert (replay.unanswerable, replay.decided, replay.tally.turned) == (1, 0, {"allowed": 0, "refused": 0})
