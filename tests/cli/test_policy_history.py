"""`policy explain`, `simulate`, `try`, `differences` and `unused`, as people type them, against a running gateway."""

import sys
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import cast

import pytest

from nomoat.policy.defaults import starter_policies
from tests.cli.live import Caller, Live

DECLARED = """
[[group]]
name = "data-scientists"
[[group]]
name = "approvers"
[[dataset]]
name = "acme/plain"
classification = "internal"
[[dataset]]
name = "acme/secret"
classification = "restricted"
"""
WRITERS = 'principal.segment == "ingestion" && resource.repository_kind == "dataset"'


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Generator[Live]:
    with Live(tmp_path_factory.mktemp("craft") / "gateway") as running:
        yield running


@pytest.fixture(scope="module")
def boss(there: Live) -> Caller:
    admin = there.admin()
    there.declare(admin, DECLARED)
    return admin


@pytest.fixture(scope="module")
def sue(there: Live, boss: Caller) -> Caller:
    return there.person(boss, "sue", 'groups = ["data-scientists"]\nclearance = "internal"')


@pytest.fixture(scope="module")
def approver(there: Live, boss: Caller) -> Caller:
    return there.person(boss, "pat", 'groups = ["approvers"]')


def policies(directory: Path, **changed: str) -> Path:
    directory.mkdir()
    for name, text in {**starter_policies(), **{f"{key}.cedar": text for key, text in changed.items()}}.items():
        (directory / name).write_text(text)
    return directory


def refused(who: Caller) -> int:
    """The number of the record of a refusal: reading the log."""
    said = who.nomoat("audit", "search", "--json")
    assert said.code == 1
    return int(said.err.split('"record": ')[1].split(",")[0])


def groups(answer: Mapping[str, object]) -> list[Mapping[str, object]]:
    return cast("list[Mapping[str, object]]", answer["groups"])


def test_somebody_learns_why_they_were_refused(sue: Caller) -> None:
    number = refused(sue)
    said = sue.nomoat("policy", "explain", str(number))
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert "decision     refused: no policy permits it" in lines
    assert "it would have been allowed with the caller in the group auditors   (by auditors-read-the-log)" in lines
    assert "considered" not in said.out


def test_nobody_but_an_auditor_explains_the_records_of_others(sue: Caller, approver: Caller, boss: Caller) -> None:
    number = refused(sue)
    theirs, missing = approver.nomoat("policy", "explain", str(number)), approver.nomoat("policy", "explain", "9999999")
    assert (theirs.code, missing.code) == (1, 1)
    assert theirs.err.splitlines()[0] == f"refused: there is no record {number} that you may explain"
    assert missing.err.splitlines()[0] == "refused: there is no record 9999999 that you may explain"
    told = boss.nomoat("policy", "explain", str(number), "--json")
    assert told.code == 0, told.err
    answer = told.json()
    assert answer["confirmed"] is True
    assert answer["in_force"] is True
    assert {"id": "codes-only-join", "effect": "forbid", "applies": False} in cast("list[object]", answer["considered"])


def test_an_auditor_explains_also_their_own_refusal_of_what_they_may_not_discover(boss: Caller, there: Live) -> None:
    auditor = there.person(boss, "vera", 'groups = ["auditors"]\nclearance = "internal"')
    blind = there.person(boss, "nell", "groups = []")
    filler = there.workload(boss, "filler", 'segment = "ingestion"\nclearance = "restricted"')
    made = "from huggingface_hub import HfApi; HfApi().create_repo('acme/secret', repo_type='dataset', exist_ok=True)"
    assert filler.nomoat("exec", "--", sys.executable, "-c", made).code == 0
    for who, lines in ((auditor, True), (blind, False)):
        number = unseen(who, boss)
        said = who.nomoat("policy", "explain", number)
        assert said.code == 0, said.err
        assert ("considered" in said.out, "by policies" in said.out) == (lines, lines), said.out


def unseen(who: Caller, boss: Caller) -> str:
    """The number of the record of a refused read of a repository that they may not know of."""
    script = "from huggingface_hub import HfApi; HfApi().dataset_info('acme/secret')"
    assert who.nomoat("exec", "--", sys.executable, "-c", script).code == 1
    found = boss.nomoat("audit", "search", "on acme/secret what DescribeRepository refused", "--json").json()
    return str(cast("list[dict[str, object]]", found["records"])[-1]["n"])


def test_an_allowed_record_of_ones_own_is_not_explained_without_the_right(sue: Caller, boss: Caller) -> None:
    assert sue.nomoat("whoami").code == 0
    found = cast(
        "list[dict[str, object]]", boss.nomoat("audit", "search", "by sue what Whoami", "--json").json()["records"]
    )
    number = str(found[-1]["n"])
    assert sue.nomoat("policy", "explain", number).code == 1
    said = boss.nomoat("policy", "explain", number)
    assert "by everyone-identifies-itself" in said.out


def test_a_simulation_tells_who_would_be_newly_allowed(sue: Caller, boss: Caller, tmp_path: Path) -> None:
    number = refused(sue)
    more = '@id("scientists-read-the-log")\npermit (principal in NoMoat::Group::"data-scientists", action == NoMoat::Action::"ReadLog", resource);'
    directory = policies(tmp_path / "p", more=more)
    answer = boss.nomoat("policy", "simulate", str(directory), "--json").json()
    assert answer["newly_refused"] == 0
    (group,) = groups(answer)
    assert (group["turn"], group["who"], group["what"]) == ("allowed", "person sue", "ReadLog")
    assert group["policies"] == ["scientists-read-the-log"]
    assert number in cast("list[int]", group["records"])
    said = boss.nomoat("policy", "simulate", str(directory), "since 1h", "--against", str(policies(tmp_path / "q")))
    assert said.code == 0, said.err
    assert "newly allowed" in said.out
    nothing = boss.nomoat("policy", "simulate", str(tmp_path / "q"))
    assert nothing.out == "0 newly allowed, 0 newly refused\n"
    assert boss.nomoat("policy", "simulate", str(directory), "somehow").code == 1
    assert sue.nomoat("policy", "simulate", str(directory)).code == 1


def test_policies_on_trial_change_no_answer_and_their_differences_are_recorded(
    sue: Caller, approver: Caller, tmp_path: Path
) -> None:
    assert approver.nomoat("policy", "differences").code == 1
    assert sue.nomoat("policy", "try", str(policies(tmp_path / "s"))).code == 1
    more = (
        '@id("all-read-the-log")\npermit (principal is NoMoat::Person, action == NoMoat::Action::"ReadLog", resource);'
    )
    trying = approver.nomoat("policy", "try", str(policies(tmp_path / "p", more=more)))
    assert trying.code == 0, trying.err
    assert "without effect" in trying.out
    number = refused(sue)
    answer = approver.nomoat("policy", "differences", "--json").json()
    (group,) = groups(answer)
    assert (group["turn"], group["who"], group["records"]) == ("allowed", "person sue", [number])
    assert "all-read-the-log" in approver.nomoat("policy", "differences").out
    assert approver.nomoat("policy", "try", "--end").code == 0
    refused(sue)
    assert approver.nomoat("policy", "differences").code == 1
    assert approver.nomoat("policy", "try").code == 2


def test_an_invalid_candidate_is_refused_with_its_position(approver: Caller, tmp_path: Path) -> None:
    said = approver.nomoat("policy", "try", str(policies(tmp_path / "p", more="permit (principal, action);")))
    assert said.code == 1
    assert "more.cedar:1:" in said.err


def test_unused_grants_are_found(approver: Caller) -> None:
    said = approver.nomoat("policy", "unused", "--days", "30")
    assert said.code == 0, said.err
    assert "deployment-reads-models" in said.out
    assert "wait: it is younger than that" in said.out
    assert "everyone-identifies-itself" not in said.out


def test_a_trial_survives_a_restart(tmp_path: Path) -> None:
    live = Live(tmp_path / "gateway")
    with live:
        admin = live.admin()
        more = '@id("nobody")\nforbid (principal, action == NoMoat::Action::"ReadLog", resource);'
        begun = admin.nomoat("policy", "try", str(policies(tmp_path / "p", more=more)), "--json").json()
        assert live.stop() == 0
        live.start()
        live.follow(admin)
        assert admin.nomoat("audit", "search").code == 0
        answer = admin.nomoat("policy", "differences", "--json").json()
        assert answer["digest"] == begun["candidate"]
        assert answer["newly_refused"] == 1
        applied = admin.nomoat("policy", "apply", str(tmp_path / "p"), "--yes")
        assert applied.code == 0, applied.err
        assert admin.nomoat("policy", "differences").code == 1
