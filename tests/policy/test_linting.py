"""Formatting and linting: what is written means the same, and what is found stands where it says."""

import pytest

from nomoat.core.errors import Malformed
from nomoat.policy import cedar, starter_policies
from nomoat.policy.formatting import format_file
from nomoat.policy.linting import Finding, lint
from nomoat.server.rehearsal import declared

DECLARED = declared(
    [
        """
[[group]]
name = "readers"
[[workload]]
name = "train"
segment = "training"
[[dataset]]
name = "acme/digits"
files = [{ path = "metrics.json", labels = ["metrics"] }]
"""
    ]
)


def found(text: str, *, with_directory: bool = False) -> list[tuple[str, str]]:
    findings = lint({"p.cedar": text}, DECLARED if with_directory else None)
    return [(finding.position, finding.rule) for finding in findings]


@pytest.mark.parametrize("name", sorted(starter_policies()))
def test_formatting_keeps_what_policies_say_and_every_comment(name: str) -> None:
    text = starter_policies()[name]
    formatted = format_file(name, text)
    assert cedar.parse_text(formatted) == cedar.parse_text(text)
    assert format_file(name, formatted) == formatted
    assert [line for line in formatted.splitlines() if line.startswith("//")] == [
        line for line in text.splitlines() if line.startswith("//")
    ]
    assert formatted.splitlines()[:2] == text.splitlines()[:2]


def test_formatting_separates_what_stands_in_one_line() -> None:
    text = '// For all\n\n\n\n@id("a") permit(principal,action,resource);  @id("b") forbid(principal,action,resource);  // why'
    assert format_file("p.cedar", text) == (
        '// For all\n\n@id("a")\npermit (principal, action, resource);\n'
        '@id("b")\nforbid (principal, action, resource);  // why\n'
    )


def test_formatting_what_does_not_parse_says_where() -> None:
    with pytest.raises(Malformed, match=r"^p\.cedar:3:1: "):
        format_file("p.cedar", '@id("a") permit(principal, action, resource);\n\npermit(principal, action);')


def test_the_starter_policies_are_clean() -> None:
    assert lint(starter_policies()) == ()


def test_a_permit_for_everyone_is_found_and_a_forbid_is_not() -> None:
    assert found('@id("a")\npermit (principal, action, resource);') == [("p.cedar:1:1", "permits-everyone")]
    assert found('@id("a")\nforbid (principal, action, resource);') == []
    assert found('@id("a")\npermit (principal is NoMoat::Workload, action, resource);') == []


@pytest.mark.parametrize(
    ("condition", "column"),
    [
        ('context.binding == "mtsl"', 27),
        ('["none", "cookie"].contains(context.obtained)', 17),
        ('resource.repository_kind == "datasets"', 36),
        ("resource.classification >= 4", 35),
    ],
)
def test_what_is_never_equal_is_found_where_it_stands(condition: str, column: int) -> None:
    text = f'@id("a")\npermit (principal is NoMoat::Person, action == NoMoat::Action::"ReadFile", resource)\nwhen {{ {condition} }};'
    assert found(text) == [(f"p.cedar:3:{column}", "never-equal")]


def test_a_circumstance_that_there_never_is_is_found() -> None:
    text = '@id("a")\npermit (principal is NoMoat::Person, action, resource)\nwhen { context has colour };'
    assert found(text) == [("p.cedar:3:20", "never-there")]


def test_what_nobody_declared_is_found() -> None:
    text = """@id("a")
permit (principal in NoMoat::Group::"raeders", action, resource)
when { principal.segment == "trainig" && resource.labels.contains("metrix") };
"""
    assert found(text) == []
    assert found(text, with_directory=True) == [
        ("p.cedar:2:38", "undeclared"),
        ("p.cedar:3:29", "undeclared"),
        ("p.cedar:3:67", "undeclared"),
    ]
    right = text.replace("raeders", "readers").replace("trainig", "training").replace("metrix", "metrics")
    assert found(right, with_directory=True) == []


def test_a_policy_that_repeats_another_is_found() -> None:
    twice = "permit (principal is NoMoat::Person, action, resource);"
    text = f'@id("a")\n{twice}\n@id("b")\n{twice}\n'
    assert lint({"p.cedar": text}) == (Finding("p.cedar:3:1", "b", "repeated", "it says the same as a"),)
