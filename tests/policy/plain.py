"""Cedar's own answer, from the texts of the policies: no index, no slice, no cache, nothing of ours but the schema."""

from collections.abc import Mapping

import cedarpy
import orjson

from nomoat.core.operation import Target
from nomoat.policy import cedar
from nomoat.policy.question import Question


class PlainCedar:
    """One set of policies, by its texts."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._policies = cedarpy.PolicySet.from_str("\n".join(files.values()))

    def allows(self, asked: Question) -> bool:
        """Whether every target is permitted, none forbidden, and nothing errs."""
        return all(self._allows(asked, target) for target in asked.targets)

    def _allows(self, asked: Question, target: Target) -> bool:
        kind, name, groups, clearance, segment = asked.who
        who = {"type": f"NoMoat::{kind.value.title()}", "id": name}
        uid = {"type": f"NoMoat::{target.kind}", "id": target.id}
        whole = target.parents[0][0] if target.parents else target.kind
        attributes: dict[str, object] = {
            "classification": int(target.classification),
            "labels": sorted(target.labels),
            "repository_kind": {"Dataset": "dataset", "Model": "model"}.get(whole, ""),
            **dict(target.facts),
        }
        if target.owner_group:
            attributes["owner_group"] = {"type": "NoMoat::Group", "id": target.owner_group}
        if target.owner_person:
            attributes["owner_person"] = {"type": "NoMoat::Person", "id": target.owner_person}
        entities = [
            {
                "uid": who,
                "attrs": {"subject": f"{kind.value}:{name}", "clearance": int(clearance), "segment": segment},
                "parents": [{"type": "NoMoat::Group", "id": group} for group in sorted(groups)],
            },
            {
                "uid": uid,
                "attrs": attributes,
                "parents": [{"type": f"NoMoat::{above}", "id": each} for above, each in target.parents],
            },
        ]
        given = {**asked.given, "source": {"__extn": {"fn": "ip", "arg": asked.given["source"]}}}
        request = {
            "principal": who,
            "action": {"type": "NoMoat::Action", "id": asked.action},
            "resource": uid,
            "context": orjson.dumps(given).decode(),
        }
        there = cedarpy.Entities.from_json_str(orjson.dumps(entities).decode(), cedar.SCHEMA)
        answer = cedarpy.is_authorized(request, self._policies, there, cedar.SCHEMA)
        return answer.allowed and not answer.diagnostics.errors
