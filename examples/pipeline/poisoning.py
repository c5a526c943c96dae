"""Versions of the dataset: nobody trains on one that no second person looked at, and looking shows a flood."""

from collections.abc import Sequence
from typing import Final, cast

from examples.pipeline.ledger import Expected
from examples.pipeline.review import approve, newest, served
from examples.pipeline.stage import DemoFailed
from examples.pipeline.story import DATASET, Scene, forget_downloads

OF: Final = (DATASET, "--dataset")
POISON: Final = "data/more.parquet"
FLOOD: Final = "near duplicates"


def approved(scene: Scene) -> None:
    """What the ingestion job published is approved by somebody else, before anybody trains on it."""
    approve(scene, newest(scene, *OF)[0], "--dataset", "--check", "looked at the rows", name=DATASET)


def held_back(scene: Scene) -> None:
    """An engineer adds a flood with one wrong label; the reviewer sees it in the difference, and withdraws it."""
    good, after = served(scene, *OF), scene.line.newest()
    done = scene.stage.finish(scene.stage.program("engineer", "poison.py"))
    if done.code:
        raise DemoFailed(f"poison.py failed ({done.code}):\n{done.err.strip()[-4000:]}")
    commit, stage = newest(scene, *OF)
    scene.ledger.expect(
        Expected(
            *(after, "person engineer@*", "WriteFile", f"{DATASET}:{POISON}", "allowed"),
            *("engineers-keep-their-datasets", "", "", ""),
            note=f"the version is a {stage}",
            also=stage == "candidate" and served(scene, *OF) == good,
        )
    )
    after = scene.line.newest()
    compared = scene.stage.nomoat("approver", "dataset", "diff", DATASET)
    flags = [str(each) for each in cast("Sequence[object]", compared["flags"])]
    flood = next((each for each in flags if FLOOD in each), "THE FLOOD WAS NOT SEEN")
    scene.ledger.expect(
        Expected(
            *(after, "person approver@*", "DiffVersions", f"{DATASET}@{commit[:8]}*", "allowed"),
            *("approvers-compare-versions", "", "", ""),
            note=flood,
            also=FLOOD in flood,
        )
    )
    scene.say(f"approver: the new version of the dataset: {flood}")
    after = scene.line.newest()
    scene.stage.nomoat("approver", "withdraw", DATASET, commit, "--dataset", "--reason", "one image, flooded")
    scene.ledger.expect(
        Expected(
            *(after, "person approver@*", "WithdrawVersion", f"{DATASET}@{commit[:8]}*", "allowed"),
            *("approvers-judge-versions", "", "", ""),
            note="nobody ever trained on it",
            also=served(scene, *OF) == good,
        )
    )
    _trains_on(scene, good)


def _trains_on(scene: Scene, good: str) -> None:
    """The training job goes on reading the version that was approved; the one that was withdrawn has its file for nobody."""
    forget_downloads(scene.stage, "train")
    after = scene.line.newest()
    hub = ("-m", "huggingface_hub.cli.hf", "download", DATASET, "--repo-type", "dataset", "--include", "data/*.parquet")
    done = scene.stage.finish(scene.stage.program("train", *hub))
    found = {path.name for path in scene.stage.home("train").rglob("*.parquet")}
    scene.ledger.expect(
        Expected(
            *(after, "workload train", "ReadFile", f"{DATASET}@{good[:8]}*:data/train.parquet", "allowed"),
            *("training-reads-datasets", "complete", "", ""),
            note="training goes on with the approved version",
            also=not done.code and "train.parquet" in found and "more.parquet" not in found,
        )
    )
