"""`nomoat lineage`, `lower`, `loaded` and the bill of materials: what is said of what, and refused in words."""

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import pytest
from jsonschema import Draft7Validator
from referencing import Registry, Resource

from nomoat.client.bom import bill_of_materials
from nomoat.core.errors import Malformed
from tests.cli.live import Caller, Live

TOLD: Mapping[str, Any] = {
    "repository": "acme/sentiment",
    "kind": "model",
    "commit": "a" * 40,
    "label": {"classification": "confidential", "labels": ["reviews"]},
    "came_of": [
        {"repository": "acme/reviews", "kind": "dataset", "commit": "b" * 40, "direct": True, "record": 7},
        {"repository": "acme/base", "kind": "model", "commit": "c" * 40, "direct": True, "record": 9},
        {"repository": "acme/web", "kind": "dataset", "commit": "d" * 40, "direct": False, "record": 3},
    ],
    "withheld": 0,
    "more": False,
}


def validate(document: Mapping[str, object]) -> list[str]:
    """What the official schemas of CycloneDX, as its Python library ships them, have against a document."""
    folder = files("cyclonedx.schema") / "_res"
    named = {
        name: json.loads((folder / f"{name}.SNAPSHOT.schema.json").read_text(encoding="utf-8"))
        for name in ("bom-1.6", "spdx", "jsf-0.82")
    }
    whole, *others = named.values()
    registry: Registry[Any] = Registry().with_resources(
        (schema["$id"], Resource.from_contents(schema)) for schema in others
    )
    return [error.message for error in Draft7Validator(whole, registry=registry).iter_errors(dict(document))]


@pytest.mark.parametrize(
    "told",
    [TOLD, {**TOLD, "came_of": []}, {**TOLD, "withheld": 2}],
    ids=["some", "nothing", "withheld"],
)
def test_a_bill_of_materials_is_what_the_schema_of_cyclonedx_says(told: Mapping[str, object]) -> None:
    assert validate(bill_of_materials(told, 1_800_000_000.0)) == []


def test_the_schema_is_looked_at() -> None:
    made = bill_of_materials(TOLD, 1_800_000_000.0)
    assert validate({**made, "components": [{"type": "soup", "name": "x"}]}) != []


def test_a_bill_of_materials_lists_what_went_in_and_what_it_depends_on_directly() -> None:
    made = bill_of_materials(TOLD, 1_800_000_000.0)
    assert [each["type"] for each in made["components"]] == ["data", "machine-learning-model", "data"]  # type: ignore[attr-defined]
    model = f"nomoat:model:acme/sentiment@{'a' * 40}"
    reviews, base = f"nomoat:dataset:acme/reviews@{'b' * 40}", f"nomoat:model:acme/base@{'c' * 40}"
    assert made["dependencies"][0] == {"ref": model, "dependsOn": [reviews, base]}  # type: ignore[index]
    assert made["compositions"] == [{"aggregate": "unknown", "assemblies": [model]}]
    incomplete = bill_of_materials({**TOLD, "withheld": 1}, 1_800_000_000.0)
    assert incomplete["compositions"] == [{"aggregate": "incomplete", "assemblies": [model]}]
    assert bill_of_materials(TOLD, 1.0)["serialNumber"] == made["serialNumber"] != ""


def test_there_is_no_bill_of_a_dataset() -> None:
    with pytest.raises(Malformed, match="of a version of a model"):
        bill_of_materials({**TOLD, "kind": "dataset"}, 1.0)


def test_what_is_wrong_is_said_in_words(live: Live, admin: Caller) -> None:
    live.declare(admin, '[[model]]\nname = "acme/untraced"\nclassification = "internal"')
    missing = admin.nomoat("lineage", "acme/untraced")
    assert (missing.code, "Repository not found" in missing.err) == (1, True)
    wrong = admin.nomoat("lineage", "acme/untraced", "--contributor", "emil")
    assert (wrong.code, "person:NAME or workload:NAME" in wrong.err) == (2, True) or wrong.code == 1
    assert admin.nomoat("lower", "acme/untraced", "abc", "--to", "public", "--reason", "x").code == 2
