"""The edge to Cedar: the one schema, and typed calls into cedarpy.

Rules: no other module imports cedarpy. Every evaluation passes a schema, so that a request whose
types do not fit is an error and never a decision. Handles are parsed once and reused: parsing is
more than nine tenths of what a decision from text costs.

Two schemas are made from one file. `SCHEMA` is what policies are validated against: every attribute
of the context is there. `REQUESTS` differs in one thing, it lets context attributes be absent, so
that a request need only carry those that its policies read (`index.py`). A policy that reads an
absent one errs, and an error denies.
"""

# pyright: reportUnknownMemberType=false
# cedarpy annotates its wrappers with bare `dict` and `list`; what goes in and comes out is typed here.

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple, TypeAlias, cast

import cedarpy
import orjson

Est: TypeAlias = "str | int | float | bool | Sequence[Est] | Mapping[str, Est] | None"
"""A part of a policy in Cedar's JSON form (the "external syntax tree")."""

Policy: TypeAlias = Mapping[str, Est]
"""One policy in that form."""

Uid: TypeAlias = tuple[str, str]
"""An entity: (type, id)."""

ACTION: Final = "NoMoat::Action"
GROUP: Final = "NoMoat::Group"
PERSON: Final = "NoMoat::Person"
WORKLOAD: Final = "NoMoat::Workload"

FORMAT_WIDTH: Final = 100

Entities: TypeAlias = cedarpy.Entities
PolicySet: TypeAlias = cedarpy.PolicySet

_CIRCUMSTANCES = re.compile(r"(?<=type Circumstances = \{).*?(?=\};)", re.DOTALL)
_ATTRIBUTE = re.compile(r'^(\s*"\w+")(?=:)', re.MULTILINE)

SCHEMA_TEXT: Final = files("nomoat.policy").joinpath("schema.cedarschema").read_text("utf-8")
SCHEMA: Final = cedarpy.Schema.from_str(SCHEMA_TEXT)
REQUESTS: Final = cedarpy.Schema.from_str(
    _CIRCUMSTANCES.sub(lambda block: _ATTRIBUTE.sub(r"\1?", block[0]), SCHEMA_TEXT, count=1)
)


class Evaluation(NamedTuple):
    """What Cedar answered: whether it allowed, the ids that applied (sorted) and what failed.

    `applied` are the permits of an allowing answer, the forbids of a denying one.
    """

    allowed: bool
    applied: tuple[str, ...]
    errors: tuple[str, ...]


class TooDeep(ValueError):
    """A policy whose expressions are nested deeper than a parser of JSON goes."""


def evaluate(request: Mapping[str, object], policies: PolicySet, entities: Entities) -> Evaluation:
    """Ask Cedar. The answer must be read together with its errors: Cedar skips a forbid that fails.

    `request` has `principal`, `action` and `resource` as {type, id} and `context` as JSON text.
    Raises `ValueError` for text that is not Unicode.
    """
    result = cedarpy.is_authorized(cast("dict[str, object]", request), policies, entities, REQUESTS)
    found = result.diagnostics
    return Evaluation(result.allowed, tuple(sorted(found.reasons)), tuple(found.errors))


def parse_entities(entities: list[dict[str, object]]) -> Entities:
    """Make a handle of entities in Cedar's JSON form, checked against the schema.

    Raises `ValueError` when they do not fit, `TypeError` for values that JSON does not have.
    """
    return cedarpy.Entities.from_json_str(orjson.dumps(entities).decode(), SCHEMA)


def parse_policy_set(policies: Mapping[str, Policy]) -> PolicySet:
    """Make a handle of policies in Cedar's JSON form, under the ids of the mapping.

    Raises `TooDeep` for a policy deeper than its parser or ours goes, `ValueError` for what is none.
    """
    document: dict[str, object] = {"staticPolicies": policies, "templates": {}, "templateLinks": []}
    try:
        text = orjson.dumps(document).decode()
    except orjson.JSONEncodeError:
        raise TooDeep from None
    return cedarpy.PolicySet.from_json_str(text)


def parse_text(text: str) -> tuple[list[Policy], int]:
    """Parse Cedar text: its policies in order, in JSON form, and how many templates it has.

    Raises `ValueError` with Cedar's message, `TooDeep` when the JSON form cannot be read back.
    """
    written = cedarpy.policies_to_json_str(text)
    try:
        document = cast("dict[str, dict[str, Policy]]", orjson.loads(written))
    except orjson.JSONDecodeError:
        raise TooDeep from None
    # Cedar names them policy0, policy1 … in the order of the text, but does not write them in it.
    static = sorted(document["staticPolicies"].items(), key=lambda item: int(item[0].removeprefix("policy")))
    return [policy for _, policy in static], len(document["templates"])


def format_text(text: str) -> str:
    """Write Cedar text as Cedar's own formatter does, comments kept. Raises `ValueError` for what is none."""
    return cedarpy.format_policies(text, line_width=FORMAT_WIDTH).rstrip() + "\n"


def validate_text(text: str) -> list[tuple[int, str]]:
    """Check Cedar text against the schema, strictly: (index of the policy in the text, what is wrong)."""
    found = cedarpy.validate_policies(text, SCHEMA)
    problems = [(int(error.policy_id.removeprefix("policy") or 0), error.error) for error in found.errors]
    if not found.validation_passed and not problems:
        problems.append((0, "it does not fit the schema"))
    return problems


@cache
def groups_of_actions() -> Mapping[str, frozenset[str]]:
    """Every action of the schema with itself and the groups that it is in, at any depth."""
    declared = cast("list[dict[str, Est]]", orjson.loads(str(cedarpy.Entities.from_json_str("[]", SCHEMA))))
    parents: dict[str, list[str]] = {}
    for entity in declared:
        uid = cast("dict[str, str]", entity["uid"])
        parents[uid["id"]] = [parent["id"] for parent in cast("list[dict[str, str]]", entity["parents"])]

    def above(action: str) -> frozenset[str]:
        return frozenset({action}).union(*(above(parent) for parent in parents[action]))

    return {action: above(action) for action in parents}
