"""docs/reference/declarations.md says what the parser of declarations takes, and no more; what it promises holds."""

import re
from pathlib import Path

import pytest

from nomoat.core.directory import Directory
from nomoat.core.errors import Malformed, NotFound
from nomoat.core.names import Classification
from nomoat.policy import starter_policies
from nomoat.resources.directory import document, views
from nomoat.resources.directory.document import describe, merge, parse_declarations
from nomoat.resources.directory.metrics import METRIC_FIELDS
from tests.resources.world import DIGITS, Yard, in_yard

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "declarations.md").read_text("utf-8")
ROW = re.compile(r"^\| `(\w+)` \| (.*?) \| (.*) \|$", re.MULTILINE)
KINDS = ("group", "person", "workload", "dataset", "model", "upstream", "endpoint", "quota", "index")
NAMES = {"dataset": "a/b", "model": "a/b"}
BESIDES = {  # what such a table needs besides its name
    "upstream": 'url = "https://x.example/v1"\n',
    "endpoint": 'served = [{ upstream = "u", model = "m" }]\n[[upstream]]\nname = "u"\nurl = "https://x.example/v1"\n',
    "quota": "requests_per_minute = 1\n",
}
UNWRITTEN: dict[str, object] = {
    "`600`": 600,
    "`0`": 0,
    '`"wordllama"`': "wordllama",
    '`"embedded"`': "embedded",
    "`3600`": 3600,
    "`[]`": [],
    '`""`': "",
    '`"public"`': "public",
    '`"restricted"`': "restricted",
    '`"openai"`': "openai",
    '`"everyone"`': "everyone",
    "the opposite of `private`": True,
    "nobody": None,
    "nobody is capped": None,
    "`false`": False,
    "none": None,
}


def section(heading: str) -> dict[str, tuple[str, str]]:
    """The rows of the section whose heading has `heading`: default and meaning by field."""
    (found,) = (part for part in PAGE.split("\n## ") if heading in part.partition("\n")[0])
    return {name: (default, meaning) for name, default, meaning in ROW.findall(found)}


def fields_of(kind: str) -> dict[str, tuple[str, str]]:
    """The rows of everything that a table can have."""
    return section(f"[[{kind}]]") | (section("Fields of datasets alone") if kind == "dataset" else {})


def test_every_table_and_field_is_there_and_no_other() -> None:
    assert set(document._FIELDS) == set(KINDS)
    assert set(re.findall(r"\[\[(\w+)\]\]", "".join(re.findall(r"^## .*$", PAGE, re.MULTILINE)))) == set(KINDS)
    for kind in KINDS:
        assert fields_of(kind).keys() == document._FIELDS[kind]
    assert section("Rules for files").keys() == document._FILE_FIELDS
    assert section("Views of a dataset").keys() == views.VIEW_FIELDS | views.COLUMN_FIELDS | views.CONDITION_FIELDS
    assert section("Metrics of a dataset").keys() == METRIC_FIELDS


@pytest.mark.parametrize("kind", KINDS)
def test_the_defaults_are_those_of_the_parser(kind: str) -> None:
    text = f'[[{kind}]]\nname = "{NAMES.get(kind, "x")}"\n{BESIDES.get(kind, "")}'
    (entry,) = describe(merge(Directory(), parse_declarations(text)))[kind]
    for field, (default, _) in fields_of(kind).items():
        if field in {"name", "url", "served"}:
            assert default == "required"
        elif field == "requests_per_minute":  # of which it needs one
            assert default == "none"
        elif field == "review":
            assert f'`"{entry[field]}"` for {kind}s' in default
        elif field != "remove":
            assert entry.get(field) == UNWRITTEN[default], field


def test_required_is_required() -> None:
    for text in (*(f"[[{kind}]]" for kind in KINDS), '[[model]]\nname = "a/b"\nfiles = [{}]'):
        with pytest.raises(Malformed):
            merge(Directory(), parse_declarations(text))


def test_the_example_can_be_applied() -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    declared = describe(merge(Directory(), parse_declarations(example)))
    assert [len(declared[kind]) for kind in KINDS] == [1, 1, 1, 1, 0, 0, 0, 0, 0]


def test_the_levels_and_the_names_of_the_starter_policies_are_right() -> None:
    said = "A classification is " + ", ".join(f"`{level.name.lower()}`" for level in list(Classification)[:-1])
    assert f"{said} or `{Classification.RESTRICTED.name.lower()}`" in PAGE
    policies = "".join(starter_policies().values())
    for kind, sentence in (
        ("Group", PAGE.split("starter policies know\n")[1]),
        ("segment", section("workload")["segment"][1]),
    ):
        for name in re.findall(r"`([\w-]+)`", sentence.partition(".")[0]):
            assert f'Group::"{name}"' in policies if kind == "Group" else f'"{name}"' in policies, name


def test_a_group_that_is_named_cannot_be_removed() -> None:
    old = merge(Directory(), parse_declarations('[[group]]\nname = "g"\n[[person]]\nname = "p"\ngroups = ["g"]\n'))
    with pytest.raises(Malformed, match="which is not declared"):
        merge(old, parse_declarations('[[group]]\nname = "g"\nremove = true\n'))


@in_yard
async def test_what_a_removed_dataset_holds_is_kept_and_back_when_it_is_declared_again(there: Yard) -> None:
    await there.write(DIGITS, {"data.csv": b"1,2\n"})
    await there.world.declare(f'[[dataset]]\nname = "{DIGITS}"\nremove = true\n')
    with pytest.raises(NotFound):
        await there.read(DIGITS, "data.csv")
    await there.world.declare(f'[[dataset]]\nname = "{DIGITS}"\nclassification = "internal"\n')
    assert await there.read(DIGITS, "data.csv") == b"1,2\n"
