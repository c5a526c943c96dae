"""Lineage both ways: what went into the model, and which models ate the dataset, from what the gateway saw being read."""

from collections.abc import Mapping, Sequence
from typing import Final, cast

from examples.pipeline.ledger import Expected
from examples.pipeline.review import served
from examples.pipeline.story import DATASET, MODEL, Scene

POLICY: Final = "auditors-trace"

Told = Mapping[str, object]


def both_ways(scene: Scene) -> None:
    """An auditor asks what the served model came of, then which models came of the dataset; nobody ever declared either."""
    commit, after = served(scene), scene.line.newest()
    model = scene.stage.nomoat("admin", "lineage", MODEL)
    came = [f"{each['repository']}@{str(each['commit'])[:8]}" for each in _rows(model, "came_of")]
    inherited = str(cast("Told", model["inherited"])["classification"])
    scene.ledger.expect(
        Expected(
            *(after, "person admin@*", "ReadLineage", f"{MODEL}@{commit[:8]}*", "allowed", POLICY),
            note=f"it came of {', '.join(came)}, and inherits {inherited}",
            also=model["commit"] == commit and any(each.startswith(DATASET) for each in came),
        )
    )
    after = scene.line.newest()
    dataset = scene.stage.nomoat("admin", "lineage", DATASET, "--dataset")
    went = [str(each["commit"]) for each in _rows(dataset, "went_into") if each["repository"] == MODEL]
    scene.ledger.expect(
        Expected(
            *(after, "person admin@*", "ReadLineage", f"{DATASET}*", "allowed", POLICY),
            note=f"it went into {', '.join(f'{MODEL}@{each[:8]}' for each in went)}",
            also=commit in went,
        )
    )
    scene.say(f"auditor: the model that is served came of {', '.join(came)}")


def _rows(told: Told, name: str) -> Sequence[Told]:
    return cast("Sequence[Told]", told[name])
