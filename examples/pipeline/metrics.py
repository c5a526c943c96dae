"""Metrics: the scientist is told of images in sum, with noise, until the privacy budget has run out."""

from collections.abc import Mapping
from typing import Final, cast

from examples.pipeline.ledger import Expected
from examples.pipeline.stage import DemoFailed, nomoat_command
from examples.pipeline.story import DATASET, Scene

ALLOWED: Final = "scientists-read-noisy-metrics"
WHO: Final = "person scientist@*"


def budget(scene: Scene) -> None:
    """Two questions are answered, asking one again costs nothing and tells nothing new, and a third is too many."""
    ink = _told(scene, "ink", "cost epsilon 0.5")
    _told(scene, "images-by-digit", "cost epsilon 0.5")
    again = scene.stage.nomoat("scientist", "metric", DATASET, "ink")
    if again["groups"] != ink["groups"] or again["charged"]:
        raise DemoFailed("a metric that was told is not told again as it was")

    after = scene.line.newest()
    done = scene.stage.run("scientist", nomoat_command("metric", DATASET, "shades"))
    told = "has 0 of 1 left, and this costs 0.5" in done.err
    scene.ledger.expect(
        Expected(
            *(after, WHO, "ReadMetric", f"{DATASET}@*", "allowed", ALLOWED),
            ending="failed",
            note="the privacy budget has run out" if told else "IT WAS NOT TOLD WHY",
            also=bool(done.code) and told,
        )
    )
    (cell,) = cast("list[Mapping[str, float]]", ink["groups"])
    scene.say(
        f"scientist: a pixel in the middle is {cell['value']:.2f} dark (within {cell['accuracy']:.2f}); "
        "the third metric was refused: the privacy budget has run out"
    )


def _told(scene: Scene, metric: str, note: str) -> Mapping[str, object]:
    after = scene.line.newest()
    told = scene.stage.nomoat("scientist", "metric", DATASET, metric)
    scene.ledger.expect(
        Expected(
            *(after, WHO, "ReadMetric", f"{DATASET}@*", "allowed", ALLOWED),
            ending="complete",
            note=note,
            also=told["charged"] == 0.5,
        )
    )
    return told
