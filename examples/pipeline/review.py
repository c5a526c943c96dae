"""Versions of the model: what nobody approved is not served, and whoever wrote a version does not approve it."""

from collections.abc import Mapping
from typing import Final, cast

from examples.pipeline.ledger import Expected
from examples.pipeline.stage import DemoFailed, nomoat_command
from examples.pipeline.story import MODEL, Scene, forget_downloads, run

MALICIOUS: Final = "pickle.dangerous-global"
UNAPPROVED: Final = "only-approved-versions-are-read"


def unapproved(scene: Scene) -> None:
    """What training published is a candidate: a deployment has none of it until another than its author approves it."""
    commit, stage = newest(scene)
    if stage != "candidate":
        raise DemoFailed(f"what training published is {stage}, not a candidate")
    not_deployed(scene, commit, "a candidate")
    approve(scene, commit, "--check", "accuracy")
    if served(scene) != commit:
        raise DemoFailed("what was approved is not served")
    scene.say("approver: a candidate was not deployed before somebody approved it")


def malicious(scene: Scene) -> None:
    """The training job, taken over, publishes a pickle that runs a command: it is kept nowhere."""
    before, after = newest(scene), scene.line.newest()
    done = scene.stage.finish(scene.stage.program("train", "checkpoint.py", "backdoor"))
    told = MALICIOUS in done.err
    scene.ledger.expect(
        Expected(
            *(after, "workload train", "UploadBlob", f"{MODEL}*", "allowed", "training-publishes-models"),
            ending="refused",
            note=f"the content was not accepted: {MALICIOUS}" if told else "IT WAS NOT TOLD WHY",
            also=bool(done.code) and told and newest(scene) == before,
        )
    )
    scene.say(f"a pickle that runs a command was not accepted: {MALICIOUS}")


def quarantined(scene: Scene) -> None:
    """The ML engineer publishes a pickle that nobody knows; another person's word, with a reason, lets it be served."""
    good, after = served(scene), scene.line.newest()
    scene.say(f"modeler: {publish(scene)}")
    commit, stage = newest(scene)
    scene.ledger.expect(
        Expected(
            *(after, "person modeler@*", "WriteFile", f"{MODEL}*", "allowed", "ml-engineers-keep-their-models"),
            note=f"the version is {stage}, and not served",
            also=stage == "quarantined" and served(scene) == good,
        )
    )
    not_deployed(scene, commit, "in quarantine")

    after = scene.line.newest()
    own = scene.stage.run("modeler", nomoat_command("approve", MODEL, commit, "--reason", "I wrote it"))
    what = "ApproveVersion"
    scene.ledger.expect(
        Expected(
            *(after, "person modeler@*", what, f"{MODEL}*", "refused", "authors-do-not-approve"),
            also=own.code == 1,
        )
    )
    approve(scene, commit, "--reason", "it makes an address, nothing else")
    if served(scene) != commit:
        raise DemoFailed("what was approved is not served")
    deployed(scene, "the newest approved version")

    after = scene.line.newest()
    scene.stage.nomoat("approver", "withdraw", MODEL, commit, "--reason", "no pickles in production")
    scene.ledger.expect(
        Expected(
            *(after, "person approver@*", "WithdrawVersion", f"{MODEL}*", "allowed", "approvers-judge-versions"),
            note="the one before is served again",
            also=served(scene) == good,
        )
    )
    not_deployed(scene, commit, "withdrawn")
    deployed(scene, "the version before")
    scene.say("a pickle nobody knows was served on another person's word only, and not after it was withdrawn")


def publish(scene: Scene) -> str:
    """Have the ML engineer publish her optimizer's state; returns what the program printed."""
    done = scene.stage.finish(scene.stage.program("modeler", "checkpoint.py", "optimizer"))
    if done.code:
        raise DemoFailed(f"checkpoint.py failed ({done.code}):\n{done.err.strip()[-4000:]}")
    return done.out.strip()


def approve(scene: Scene, commit: str, *options: str, name: str = MODEL) -> None:
    """Have somebody who wrote nothing of it approve a version, and expect a record of it."""
    after = scene.line.newest()
    scene.stage.nomoat("approver", "approve", name, commit, *options)
    scene.ledger.expect(
        Expected(after, "person approver@*", "ApproveVersion", f"{name}*", "allowed", "approvers-judge-versions")
    )


def deployed(scene: Scene, note: str) -> None:
    """The deployment reads the weights that the main branch means."""
    forget_downloads(scene.stage, "deploy")
    after = scene.line.newest()
    run(scene, "deploy")
    weights = f"{MODEL}@{served(scene)[:8]}*:model.safetensors"
    scene.ledger.expect(
        Expected(
            *(after, "workload deploy", "ReadFile", weights, "allowed", "deployment-reads-models"),
            ending="complete",
            note=note,
        )
    )


def not_deployed(scene: Scene, commit: str, note: str) -> None:
    """The deployment asks for a version by its id, and does not get it."""
    forget_downloads(scene.stage, "deploy")
    after = scene.line.newest()
    done = scene.stage.finish(scene.stage.program("deploy", "deploy.py", commit))
    scene.ledger.expect(
        Expected(
            *(after, "workload deploy", "DescribeFile", f"{MODEL}@{commit[:8]}*:model.safetensors", "refused"),
            *(UNAPPROVED, "", "", "", f"the version is {note}"),
            also=bool(done.code),
        )
    )


def newest(scene: Scene, *of: str) -> tuple[str, str]:
    """The newest version's commit id, and its stage; `of` is what `nomoat versions` takes [default: the model]."""
    line = _versions(scene, *of)[0]
    return str(line["commit"]), str(line["stage"])


def served(scene: Scene, *of: str) -> str:
    """The commit id of the version that is served."""
    return next(str(line["commit"]) for line in _versions(scene, *of) if line["served"])


def _versions(scene: Scene, *of: str) -> list[Mapping[str, object]]:
    told = scene.stage.nomoat("approver", "versions", *(of or (MODEL,)))
    return cast("list[Mapping[str, object]]", told["versions"])
