"""From training to inference: a language model is trained and published here, and a workload serves it behind the gateway.

Rules: the process that answers prompts has no identity and no key. What fetched its weights for it says what it loaded.
"""

import json
import secrets
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, cast

from examples.pipeline.gateway import wait_for
from examples.pipeline.ledger import Expected, Json
from examples.pipeline.review import approve, newest
from examples.pipeline.stage import DemoFailed, Finished, Stage
from examples.pipeline.story import Scene

SOURCE: Final = "acme/pitch-control"
WEIGHTS: Final = "acme/tiny-lm"
CODER: Final = "acme/coder"
DECLARED: Final = Path(__file__).with_name("models.toml")


@dataclass(frozen=True, slots=True)
class Serving:
    """The model that is served: its version, the digest of what was loaded, and the file with what the other house was told."""

    commit: str
    digest: str
    told: Path


def trained(scene: Scene) -> str:
    """The source becomes a dataset, a language model learns it and is published; somebody approves it. Returns its commit."""
    after = scene.line.newest()
    scene.say(f"ingest: {_done(scene.stage, 'ingest', 'collect_source.py')}")
    scene.say(f"train-lm: {_done(scene.stage, 'train-lm', 'train_language.py')}")
    read, write = f"{SOURCE}@*:controller.py", f"{WEIGHTS}*"
    who = "workload train-lm"
    scene.ledger.expect(Expected(after, who, "ReadFile", read, "allowed", "training-reads-datasets", ending="complete"))
    scene.ledger.expect(Expected(after, who, "WriteFile", write, "allowed", "training-publishes-models"))
    commit, _ = newest(scene, WEIGHTS)
    approve(scene, commit, "--check", "loss", name=WEIGHTS)
    return commit


def served(scene: Scene, commit: str) -> Serving:
    """The serving workload fetches the approved weights, verifies them, starts a server, and says what it loaded."""
    stage, after = scene.stage, scene.line.newest()
    weights, other = stage.home("serving") / "weights", stage.home("elsewhere") / "weights"
    hub = ("-m", "huggingface_hub.cli.hf", "download", WEIGHTS, "--revision", commit, "--local-dir", str(weights))
    stage.together(
        partial(_done, stage, "serving", *hub),
        partial(_run, stage, "elsewhere", "-m", "examples.pipeline.elsewhere", str(other)),
    )
    fetched = f"{WEIGHTS}@*:model.safetensors"
    scene.ledger.expect(
        Expected(*(after, "workload serving", "ReadFile", fetched, "allowed", "servers-read-models"), ending="complete")
    )
    verified = stage.nomoat("serving", "verify", str(weights))
    if verified["verified"] is not True:
        raise DemoFailed("the weights that were fetched are not those that were signed")
    told = stage.directory / "elsewhere.told"
    ports = {
        ":8000": _start(scene, "server", weights, "tiny-lm", "serving"),
        ":8001": _start(scene, "elsewhere", other, "zen", "elsewhere", "--told", str(told)),
    }
    document = DECLARED.read_text()
    for written, (port, _) in ports.items():
        document = document.replace(written, port)
    declared = stage.directory / DECLARED.name
    declared.write_text(document)
    stage.nomoat("admin", "apply", str(declared), "--yes")
    for _, (upstream, credential) in ports.values():
        stage.nomoat("admin", "upstream", "credential", upstream, given=f"{credential}\n")
    _not_yet(scene)
    after = scene.line.newest()
    loaded = stage.nomoat("serving", "loaded", WEIGHTS, str(weights), "--revision", commit)
    scene.ledger.expect(
        Expected(
            *(after, "workload serving", "ReportLoad", f"{WEIGHTS}@*", "allowed", "servers-read-models"),
            note=f"{loaded['load']}: its session fetched these very bytes",
            also=loaded["load"] == "verified",
        )
    )
    scene.say(f"serving: verified weights of {WEIGHTS}@{commit[:8]} are loaded, and answer as {CODER}")
    return Serving(commit, str(_outcome(scene, "what ReportLoad")["sha256"]), told)


def ask(scene: Scene, who: str, model: str, text: str) -> Finished:
    """Have an actor's coding assistant ask a model to go on from a text, to its end."""
    child = scene.stage.program(who, "assistant.py", model, tool="openai")
    return scene.stage.finish(child, text)


def answered(scene: Scene) -> Mapping[str, object]:
    """What the record of the newest answer says of its end."""
    return _outcome(scene, "what InvokeModel")


def _not_yet(scene: Scene) -> None:
    """Until its workload says which weights it loaded, a server is not asked."""
    after = scene.line.newest()
    done = ask(scene, "developer", CODER, "def ")
    scene.ledger.expect(
        Expected(
            *(after, "person developer@*", "InvokeModel", CODER, "allowed", "model-users-invoke-models"),
            ending="refused",
            note="no server has said which weights it loaded",
            also=done.code == 1 and "has said which weights it loaded" in done.err,
        )
    )


def _start(
    scene: Scene, who: str, folder: Path, model: str, upstream: str, *options: str
) -> tuple[str, tuple[str, str]]:
    """Start a server that answers whoever shows a credential of its own; returns its port, and whose credential that is."""
    log, credential = scene.stage.directory / f"{who}.out", secrets.token_urlsafe(32)
    command = [sys.executable, "-m", "examples.pipeline.answering", str(folder), "--model", model, *options]
    process: subprocess.Popen[str] = scene.stage.start(who, command, log=log)
    if process.stdin is None:
        raise DemoFailed(f"{who} cannot be told its credential")
    process.stdin.write(f"{credential}\n")
    process.stdin.close()
    url = str(json.loads(wait_for(process, log, r'\{"url": .*\}'))["url"])
    return f":{url.removesuffix('/v1').rpartition(':')[2]}", (upstream, credential)


def _outcome(scene: Scene, query: str) -> Mapping[str, object]:
    found = scene.stage.nomoat("admin", "audit", "search", query, "--limit", "1")
    newest = cast("list[Json]", found["records"])[-1]
    return cast("Mapping[str, object]", cast("Json", newest["outcome"])["facts"])


def _done(stage: Stage, who: str, *command: str) -> str:
    """Run an actor's program, which must succeed; returns what it printed."""
    return _said(command[0], stage.finish(stage.program(who, *command)))


def _run(stage: Stage, who: str, *command: str) -> str:
    """Run a program of somebody who has nothing to do with the gateway."""
    return _said(command[-1], stage.run(who, [sys.executable, *command]))


def _said(what: str, done: Finished) -> str:
    if done.code:
        raise DemoFailed(f"{what} failed ({done.code}):\n{done.err.strip()[-4000:]}")
    return done.out.strip()
