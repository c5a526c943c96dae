"""docs/policies.md says what the starter policies and the schema say, and no more."""

import re
from pathlib import Path

import pytest

from nomoat.policy import cedar, starter_policies
from nomoat.policy.compilation import MAX_BRACKETS, MAX_DOTS, MAX_FILES, MAX_POLICIES, MAX_POLICY_TEXT, MAX_TEXT
from nomoat.policy.formatting import format_file
from nomoat.policy.index import CIRCUMSTANCES
from nomoat.policy.source import clauses
from tests.policy.test_schema import GROUPS, SUBJECTS
from tests.policy.test_starter import STARTER

PAGE = (Path(__file__).parents[2] / "docs" / "policies.md").read_text("utf-8")
SECTION = re.compile(r"#### `(?P<name>[a-z0-9-]+)`\n(?P<said>.*?)```cedar\n(?P<text>.*?)\n```\n", re.DOTALL)
SECTIONS = {section["name"]: section for section in SECTION.finditer(PAGE)}


def written(text: str) -> dict[str, str]:
    """The policies of a file by id, in its order."""
    return {
        found[1]: clause.text for clause in clauses("f", text) if (found := re.match(r'@id\("(.*?)"\)', clause.text))
    }


def rows(*columns: str) -> list[list[str]]:
    """The cells of the table with this heading."""
    table = PAGE.split("| " + " | ".join(columns) + " |\n", 1)[1].split("\n\n", 1)[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[1:]]


def names(cell: str) -> list[str]:
    return re.findall(r"`(.+?)`", cell)


def test_every_policy_has_a_section_and_every_section_a_policy() -> None:
    assert set(SECTIONS) == set(STARTER.ids)
    assert PAGE.count("\n#### ") == len(STARTER.ids)


@pytest.mark.parametrize("name", STARTER.ids)
def test_a_section_quotes_its_policy_and_says_for_whom_what_and_why(name: str) -> None:
    section = SECTIONS[name]
    text = starter_policies()[STARTER.places[name]]
    assert section["text"] == written(text)[name]
    for label in ("**For** ", "**What**: it ", "**Why**: "):
        assert len(section["said"].split(f"- {label}")) == 2
    effect = "permits" if "\npermit (" in section["text"] else "forbids"
    assert f"**What**: it {effect} " in section["said"]


def test_sections_stand_under_their_file_in_its_order() -> None:
    chapters = re.findall(r"### [^\n]*: `(\w+\.cedar)`\n(.*?)(?=\n### |\Z)", PAGE, re.DOTALL)
    assert {file: re.findall(r"#### `(.*?)`", body) for file, body in chapters} == {
        file: list(written(text)) for file, text in starter_policies().items()
    }


@pytest.mark.parametrize("file", sorted(starter_policies()))
def test_the_starter_policies_pass_the_check_of_their_format(file: str) -> None:
    text = starter_policies()[file]
    assert format_file(file, text) == text


@pytest.mark.parametrize("file", sorted(starter_policies()))
def test_every_policy_has_a_comment_that_says_for_whom(file: str) -> None:
    text = starter_policies()[file]
    assert text.startswith("// For ")
    assert text.count("\n\n// ") == len(written(text))


def test_the_tables_of_attributes_are_the_schema() -> None:
    principal = {names(row[0])[0]: row[1] for row in rows("attribute of `principal`", "type", "what it is")}
    assert principal == {"subject": "String", "clearance": "Long", "segment": "String"}
    context = {names(row[0])[0]: row[1] for row in rows("attribute of `context`", "type", "what it is")}
    assert set(context) == CIRCUMSTANCES
    resource = {names(row[0])[0]: row[1:3] for row in rows("attribute of `resource`", "type", "of", "what it is")}
    # Every attribute that the schema declares anywhere is in one of the tables, with its type.
    assert {*principal, *context, *resource} == set(re.findall(r'"(\w+)"\??:', cedar.SCHEMA_TEXT))
    for table in (principal, context, {name: row[0] for name, row in resource.items()}):
        for name, kind in table.items():
            mark = "?" if "optional" in kind else ""
            spelled = "Set<String>" if kind == "Set of String" else kind.removesuffix(", optional")
            assert f'"{name}"{mark}: {spelled},' in cedar.SCHEMA_TEXT


def test_attributes_of_all_kinds_are_of_all_kinds() -> None:
    kinds = dict(re.findall(r"entity ([\w, ]+?)(?: in \[[\w, ]+\])? = \{(.*?)\n  \};", cedar.SCHEMA_TEXT, re.DOTALL))
    del kinds["Person, Workload"]
    for name, _, of, _ in rows("attribute of `resource`", "type", "of", "what it is"):
        having = [kind for kind, attributes in kinds.items() if f'"{names(name)[0]}"' in attributes]
        assert having == (list(kinds) if of == "all" else names(of))


def test_the_table_of_actions_is_the_schema() -> None:
    said = {
        action: (names(group)[0] if group else "", set(names(on)))
        for group, actions, on in rows("group", "action", "on")
        for action in names(actions)
    }
    group_of = {action: group for group, members in GROUPS.items() for action in members}
    assert said == {action: (group_of.get(action, ""), set(on)) for action, on in SUBJECTS.items()}


def test_the_caps_are_those_in_force() -> None:
    assert f"{MAX_POLICIES:,} policies, {MAX_FILES} files, {MAX_TEXT >> 20} MiB of text" in PAGE
    assert f"a policy of {MAX_POLICY_TEXT >> 10} KiB, {MAX_BRACKETS} opening brackets and {MAX_DOTS} dots" in PAGE
