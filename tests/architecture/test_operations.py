"""Every Operation is known everywhere that it must be: to policy, to the documents and to the tests."""

import dataclasses
import re

import pytest

from nomoat.core.operation import Operation
from nomoat.policy.cedar import SCHEMA_TEXT, groups_of_actions
from tests.architecture.test_resources import OPERATIONS, doors, permitted
from tests.architecture.tree import ROOT, modules

# Actions of the schema that are no Operation: the question of discovery, that of where a prompt may go, and the groups.
BESIDES = {
    *{"Discover", "SendPrompt", "Infer", "Read", "Query", "Retrieve", "Measure", "Write", "Remove"},
    *{"Administer", "Audit", "Disclose", "Erase", "Identify", "Promote"},
}


def test_every_operation_is_an_action_of_the_schema_and_nothing_else_is() -> None:
    declared = re.findall(r'^ *action ((?:"\w+"(?:, )?)+)', SCHEMA_TEXT, re.MULTILINE)
    actions = {name for names in declared for name in re.findall(r"\w+", names)}
    assert actions == set(OPERATIONS) | BESIDES


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=lambda each: each.__name__)
def test_an_operation_is_frozen_and_named_after_itself(operation: type[Operation]) -> None:
    assert dataclasses.is_dataclass(operation)
    assert operation.__dataclass_params__.frozen  # type: ignore[attr-defined]  # typeshed leaves it out
    assert "__slots__" in vars(operation)
    assert operation.action == operation.__name__


def test_the_reference_says_of_every_operation_its_group_and_who_serves_it() -> None:
    reference = (ROOT / "docs" / "reference" / "operations.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| .+ \| (\w+) \| `([\w.]+)` \|$", reference, re.MULTILINE)
    served = {
        operation.__name__: door.name
        for module in modules("nomoat.resources")
        for door in doors(module, module.__name__)
        if (operation := permitted(door.function))
    }
    groups = {name: sorted(above - {name}) for name, above in groups_of_actions().items()}
    assert sorted(name for name, _, _ in rows) == sorted(OPERATIONS)
    assert {name: [group] for name, group, _ in rows} == {name: groups[name] for name in OPERATIONS}
    assert [name for name, _, method in rows if not served[name].endswith(f".{method}")] == []


def test_every_operation_is_attempted_by_a_test_of_behaviour() -> None:
    elsewhere = [path for path in sorted((ROOT / "tests").rglob("*.py")) if "architecture" not in path.parts]
    tests = "\n".join(path.read_text(encoding="utf-8") for path in elsewhere)
    assert [name for name in OPERATIONS if not re.search(rf"\b{name}\b", tests)] == []
