"""`policy format`, `lint` and `test`: on files alone, for somebody's own CI."""

from itertools import pairwise
from pathlib import Path

import pytest

from nomoat.policy.defaults import starter_policies
from tests.cli.live import Caller

DECLARED = """
[[group]]
name = "data-scientists"
[[group]]
name = "data-engineers"
[[person]]
name = "sue"
groups = ["data-scientists"]
clearance = "internal"
[[workload]]
name = "train"
segment = "training"
clearance = "confidential"
[[dataset]]
name = "acme/digits"
classification = "confidential"
files = [{ path = "metrics.json", labels = ["metrics"], classification = "internal" }]
[[model]]
name = "acme/digits"
"""
HOLDING = """declared = ["declared.toml"]

[[test]]
name = "results, not data"
who = "sue"
what = ["ReadFile", "DescribeFile"]
on = "dataset acme/digits:metrics.json"
decision = "allowed"
by = "scientists-read-metrics"

[[test]]
who = ["sue", "person:sue"]
what = "ReadFile"
on = "dataset acme/digits:data/a"
decision = "refused"
by = ["nobody-reads-above-clearance"]

[[test]]
who = "train"
what = "ReadFile"
on = "dataset acme/digits:data/a"
decision = "allowed"
context = { binding = "none" }

[[test]]
who = "sue"
what = ["RegisterDevice"]
on = "identity person:sue"
decision = "allowed"
context = { binding = "code" }
"""
FAILING = """declared = ["declared.toml"]

[[test]]
name = "scientists read data"
who = "sue"
what = "ReadFile"
on = "dataset acme/digits:data/a"
decision = "allowed"

[[test]]
who = "sue"
what = "ReadFile"
on = "dataset acme/digits:metrics.json"
decision = "allowed"
by = "training-reads-datasets"
"""


@pytest.fixture
def someone(tmp_path: Path) -> Caller:
    return Caller(tmp_path / "home")


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    directory = tmp_path / "policies"
    directory.mkdir()
    for name, text in starter_policies().items():
        (directory / name).write_text(text)
    (directory / "declared.toml").write_text(DECLARED)
    return directory


def test_tests_that_hold_end_with_zero(someone: Caller, policies: Path) -> None:
    (policies / "a.test.toml").write_text(HOLDING)
    said = someone.nomoat("policy", "test", str(policies))
    assert (said.code, said.out) == (0, "6 of 6 cases hold\n"), said.err
    assert "no test is decided by: administration-needs-a-bound-credential, " in said.err
    document = someone.nomoat("policy", "test", str(policies), "--json").json()
    assert document["failed"] == 0


def test_a_test_that_fails_says_what_came_and_what_would_have_to_differ(someone: Caller, policies: Path) -> None:
    (policies / "a.test.toml").write_text(FAILING)
    said = someone.nomoat("policy", "test", str(policies))
    assert said.code == 1
    assert said.out.splitlines() == [
        f"FAILED  {policies}/a.test.toml:3  scientists read data",
        "  asked     sue ReadFile dataset acme/digits:data/a (mtls)",
        "  expected  allowed",
        "  got       refused by nobody-reads-above-clearance",
        "  would be allowed with  the caller's clearance confidential (it was internal) and the label metrics on it",
        "  would be allowed with  it classified internal (it was confidential) and the label metrics on it",
        f"FAILED  {policies}/a.test.toml:10",
        "  asked     sue ReadFile dataset acme/digits:metrics.json (mtls)",
        "  expected  allowed by training-reads-datasets",
        "  got       allowed by scientists-read-metrics",
        "0 of 2 cases hold, the others FAILED",
    ]


@pytest.mark.parametrize(
    ("was", "becomes", "problem"),
    [
        ('who = "train"', 'who = "nobody"', "a.test.toml:18: nobody called 'nobody' is declared"),
        ('on = "dataset acme/digits:data/a"\ndecision = "allowed"', 'on = "acme/digits:x"\ndecision = "allowed"', "dataset and a model"),
        ('on = "dataset acme/digits:metrics.json"', 'on = "acme/other"', "acme/other is not declared"),
        ('what = "ReadFile"', 'what = "Readfile"', "there is no operation 'Readfile'"),
        ('binding = "none"', 'binding = "nine"', "binding and obtained are one of"),
        ('decision = "refused"', 'decision = "denied"', 'decision is "allowed" or "refused"'),
        ('name = "results', 'nam = "results', "no field 'nam'"),
        ("[[test]]\nname", "[[tests]]\nname", "write [[test]] with two brackets"),
        ('who = "train"\n', "", "a.test.toml:18: who is missing"),
        ('declared = ["declared.toml"]', 'declared = ["other.toml"]', "there is no declaration"),
        ('declared = ["declared.toml"]', "declared = [", "is not TOML"),
    ],
)  # fmt: skip
def test_a_test_that_says_nothing_is_refused(
    someone: Caller, policies: Path, was: str, becomes: str, problem: str
) -> None:
    assert was in HOLDING
    (policies / "a.test.toml").write_text(HOLDING.replace(was, becomes, 1))
    said = someone.nomoat("policy", "test", str(policies))
    assert said.code == 1
    assert problem in said.err


def test_no_tests_are_no_success(someone: Caller, policies: Path) -> None:
    assert someone.nomoat("policy", "test", str(policies)).code == 1
    (policies / "a.test.toml").write_text('declared = ["declared.toml"]\n')
    assert someone.nomoat("policy", "test", str(policies)).code == 1


def test_formatting_is_checked_and_done(someone: Caller, policies: Path) -> None:
    path = policies / "clearance.cedar"
    path.write_text(path.read_text().replace("forbid (", "forbid(   "))
    assert someone.nomoat("policy", "format", "--check", str(policies)).code == 1
    assert "forbid(   " in path.read_text()
    assert someone.nomoat("policy", "format", str(policies)).code == 0
    assert "forbid(   " not in path.read_text()
    assert someone.nomoat("policy", "format", "--check", str(policies)).code == 0


def test_linting_names_file_line_and_column(someone: Caller, policies: Path) -> None:
    declared = ["--declared", str(policies / "declared.toml")]
    path = policies / "pipeline.cedar"
    path.write_text(
        path.read_text().replace('"training" && resource.repository_kind == "model"', '"trainig" && true', 1)
    )
    said = someone.nomoat("policy", "lint", str(policies))
    assert (said.code, said.err) == (0, "nothing found\n")
    said = someone.nomoat("policy", "lint", str(policies), *declared)
    assert said.code == 1
    assert f"{policies}/pipeline.cedar:37:29: training-publishes-models: no workload of segment trainig" in said.out


def test_two_sets_are_compared_over_all_requests(someone: Caller, policies: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for path in policies.glob("*.cedar"):
        (other / path.name).write_text(
            path.read_text().replace('context.binding == "code" }', 'context.binding == "mtls" }')
        )
    same = someone.nomoat("policy", "diff", str(policies), str(policies))
    assert (same.code, same.out) == (0, "both sets decide every request alike (proven)\n")
    said = someone.nomoat("policy", "diff", str(policies), str(other))
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert "changed  codes-only-join  credentials.cedar" in lines
    assert any(line.startswith("newly refused: ") and "by codes-only-join" in after for line, after in pairwise(lines))
    assert lines[-1].endswith("kinds of request differ; there are no others")
    document = someone.nomoat("policy", "diff", str(policies), str(other), "--json").json()
    assert document["proven"] is True
