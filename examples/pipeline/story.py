"""The story: four programs of a pipeline, each under its own identity, and what the log must say of them."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, cast

from examples.pipeline.gateway import Gateway, Witness
from examples.pipeline.ledger import Expected, Ledger
from examples.pipeline.line import Line
from examples.pipeline.stage import DemoFailed, Stage

DATASET: Final = "acme/digits"
MODEL: Final = "acme/digit-reader"
REFUSAL: Final = "refused: scientist@acme.example may not"


@dataclass(frozen=True, slots=True)
class Scene:
    """What every step works with.

    `line` and `thief` reach the gateway without any client, from two addresses. `identities` is what
    the log-ins answered, by actor; `say` tells of progress.
    """

    stage: Stage
    gateway: Gateway
    witness: Witness
    line: Line
    thief: Line
    identities: Mapping[str, Mapping[str, object]]
    ledger: Ledger
    say: Callable[[str], None]
    stolen: dict[str, str] = field(default_factory=dict[str, str], repr=False)

    def steal(self, who: str) -> None:
        """Copy the unbound token that an actor's programs are working with."""
        self.stolen[who] = (profile(self.stage, who) / "hub" / "token").read_text()

    def revoke(self, kind: str, name: object) -> None:
        """Have the administrator end something, and expect a record of it."""
        after = self.line.newest()
        self.stage.nomoat("admin", "revoke", kind, str(name))
        self.ledger.expect(
            Expected(after, "person admin@*", "Revoke", f"{kind}:*", "allowed", "administrators-administer")
        )


def profile(stage: Stage, who: str) -> Path:
    """The directory of an actor's profile."""
    return stage.home(who) / "nomoat" / "profiles" / "default"


def run(scene: Scene, who: str) -> str:
    """Run an actor's program to its end and return what it printed; raise `DemoFailed` if it fails."""
    done = scene.stage.finish(scene.stage.program(who, f"{who}.py"))
    if done.code:
        raise DemoFailed(f"{who}.py failed ({done.code}):\n{done.err.strip()[-4000:]}")
    return done.out.strip()


def short_token(scene: Scene) -> None:
    """Somebody copies a token, while the gateway still issues short ones, to try it when it has expired."""
    scene.stage.nomoat("ingest", "env", "hub")
    scene.steal("ingest")
    after = scene.line.newest()
    works = scene.thief.get("/v1/whoami", token=scene.stolen["ingest"]).status == 200
    scene.ledger.expect(
        Expected(
            *(after, "workload ingest", "Whoami", "workload:ingest", "allowed", "everyone-identifies-itself"),
            shown="thief: ingest's bearer, fresh",
            also=works,
        )
    )


def ingest(scene: Scene) -> None:
    """The ingestion job fills the dataset."""
    after = scene.line.newest()
    scene.say(f"ingest: {run(scene, 'ingest')}")
    scene.ledger.expect(
        Expected(after, "workload ingest", "WriteFile", f"{DATASET}*", "allowed", "ingestion-writes-datasets")
    )


def train(scene: Scene) -> None:
    """The training job reads it and publishes a model."""
    after = scene.line.newest()
    scene.say(f"train: {run(scene, 'train')}")
    read = f"{DATASET}@*:data/train.parquet"
    scene.ledger.expect(
        Expected(after, "workload train", "ReadFile", read, "allowed", "training-reads-datasets", ending="complete")
    )
    scene.ledger.expect(
        Expected(after, "workload train", "WriteFile", f"{MODEL}*", "allowed", "training-publishes-models")
    )


def deploy(scene: Scene) -> None:
    """The deployment pulls the weights and reads digits with them; it has no business with the data."""
    after = scene.line.newest()
    scene.say(f"deploy: {run(scene, 'deploy')}")
    weights = f"{MODEL}@*:model.safetensors"
    scene.ledger.expect(
        Expected(after, "workload deploy", "ReadFile", weights, "allowed", "deployment-reads-models", ending="complete")
    )
    after = scene.line.newest()
    hub = ("-m", "huggingface_hub.cli.hf", "download", DATASET, "data/train.parquet", "--repo-type", "dataset")
    curious = scene.stage.finish(scene.stage.program("deploy", *hub))
    scene.ledger.expect(
        Expected(
            *(after, "workload deploy", "DescribeFile", f"{DATASET}@*:data/train.parquet", "refused"),
            "no policy permits it",
            note="it is told that there is no such dataset",
            also=curious.code != 0 and "not found" in curious.err.lower(),
        )
    )


def scientist(scene: Scene) -> None:
    """The scientist reads the metrics, and is told why not the images."""
    after = scene.line.newest()
    done = scene.stage.finish(scene.stage.program("scientist", "scientist.py"))
    told = [line for line in done.err.splitlines() if line.startswith(REFUSAL)]
    if not done.code or not done.out or not told:
        raise DemoFailed(f"the scientist was told nothing useful ({done.code}):\n{done.err.strip()[-4000:]}")
    scene.say(f"scientist: {done.out.strip()}; then {told[0]}")
    person, metrics, images = "person scientist@*", f"{DATASET}@*:metrics.json", f"{DATASET}@*:data/train.parquet"
    scene.ledger.expect(Expected(after, person, "ReadFile", metrics, "allowed", "scientists-read-metrics"))
    reason = "nobody-reads-above-clearance"
    scene.ledger.expect(Expected(after, person, "DescribeFile", images, "refused", reason))


def query(scene: Scene) -> None:
    """The scientist asks the masked rows instead, and is told nothing of the images either way."""
    after = scene.line.newest()
    ask, view = partial(scene.stage.nomoat, "scientist", "query", DATASET), ("--view", "strokes")
    answer = ask("SELECT label, avg(pixel_28) AS ink FROM strokes GROUP BY label ORDER BY ink DESC", *view)
    rows = cast("list[tuple[int, float]]", answer["rows"])
    scene.say(f"scientist: the darkest middle has a {rows[0][0]}, asked of masked rows")
    person, strokes = "person scientist@*", f"{DATASET}@*:strokes"
    allowed = (person, "QueryView", strokes, "allowed", "scientists-query-masked-views")
    scene.ledger.expect(Expected(after, *allowed, ending="complete", also=len(rows) == 10))
    after = scene.line.newest()
    try:
        ask("SELECT * FROM read_parquet('**/*.parquet')", *view)
        escaped = True
    except DemoFailed:
        escaped = False
    note = "SQL that reads files: none is there"
    scene.ledger.expect(Expected(after, *allowed, ending="failed", note=note, also=not escaped))


def forget_downloads(stage: Stage, who: str) -> None:
    """Remove what an actor's client keeps of earlier downloads: a warm cache asks nobody."""
    for cache in stage.home(who).glob("nomoat/profiles/*/hub/cache"):
        shutil.rmtree(cache)
