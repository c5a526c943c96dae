"""A lineage as a bill of materials: CycloneDX 1.6 (ECMA-424), JSON, with a model card.

Rules: pure. It says what the gateway saw being read, as far as whoever asked may know; the composition says `incomplete`
where something was withheld, and `unknown` otherwise, because what a run had from elsewhere nobody saw.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, cast
from uuid import NAMESPACE_URL, uuid5

from nomoat import __version__
from nomoat.core.errors import Malformed

SPECIFICATION: Final = "1.6"
TYPES: Final[Mapping[str, str]] = {"model": "machine-learning-model", "dataset": "data"}

Told = Mapping[str, object]
Json = dict[str, object]


def bill_of_materials(told: Told, at: float) -> Json:
    """Write the lineage of a model's version (the answer to `ReadLineage`) as an ML-BOM; `at` is Unix seconds.

    The same answer has the same serial number. Raises `Malformed` when it is not of a version of a model.
    """
    if told.get("kind") != "model" or not told.get("commit"):
        raise Malformed("a bill of materials is of a version of a model, and there is none")
    above = cast("list[Told]", told.get("came_of") or [])
    model = _reference(told)
    direct = [_reference(each) for each in above if each.get("direct")]
    incomplete = bool(told.get("withheld") or told.get("more"))
    return {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPECIFICATION}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPECIFICATION,
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, ' '.join([model, *sorted(map(_reference, above))]))}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "tools": {"components": [{"type": "application", "name": "nomoat", "version": __version__}]},
            "component": {**_component(told), "modelCard": _card(above), "properties": _labels(told)},
        },
        "components": [_component(each) | {"properties": _seen(each)} for each in above],
        "dependencies": [
            {"ref": model, "dependsOn": direct},
            *({"ref": _reference(each)} for each in above),
        ],
        "compositions": [{"aggregate": "incomplete" if incomplete else "unknown", "assemblies": [model]}],
    }


def _reference(of: Told) -> str:
    return f"nomoat:{of.get('kind')}:{of.get('repository')}@{of.get('commit')}"


def _component(of: Told) -> Json:
    group, _, name = str(of.get("repository")).partition("/")
    component: Json = {
        "type": TYPES.get(str(of.get("kind")), "data"),
        "bom-ref": _reference(of),
        "group": group,
        "name": name,
        "version": str(of.get("commit")),
    }
    if component["type"] == "data":
        component["data"] = [{"type": "dataset", "name": str(of.get("repository"))}]
    return component


def _card(above: list[Told]) -> Json:
    datasets = [{"ref": _reference(each)} for each in above if each.get("kind") == "dataset"]
    return {"modelParameters": {"datasets": datasets}} if datasets else {"modelParameters": {}}


def _labels(told: Told) -> list[Json]:
    label = cast("Told", told.get("label") or {})
    named = [("nomoat:classification", str(label.get("classification", "")))]
    named += [("nomoat:label", str(each)) for each in cast("list[object]", label.get("labels") or [])]
    return [{"name": name, "value": value} for name, value in named]


def _seen(each: Told) -> list[Json]:
    named = [("nomoat:direct", str(bool(each.get("direct"))).lower()), ("nomoat:record", str(each.get("record", "")))]
    return [{"name": name, "value": value} for name, value in named]
