"""A coding assistant on a proprietary repository: which model it may ask, who else may, and how its answers end.

Rules: as for the attacks. What is refused is first seen to work, for somebody or with something else.
"""

import re
import shutil
from keyword import iskeyword
from pathlib import Path
from typing import Final

from examples.pipeline.attacks import recorded_at
from examples.pipeline.gateway import wait_for
from examples.pipeline.ledger import Expected
from examples.pipeline.serving import CODER, WEIGHTS, Serving, answered, ask
from examples.pipeline.story import Scene

SCHEDULE: Final = Path(__file__).parents[1] / "turbine" / "schedule.py"
BEGINS: Final = "GAINS: Final = (\n"
MEASURED: Final = "    Gain(1.93, 0.84, 0.071),"  # what was measured, which is the team's alone
DEVELOPER, WHAT, USERS = "person developer@*", "InvokeModel", "model-users-invoke-models"
CHAT: Final = "acme/chat"
ELSEWHERE: Final = "acme/coder-elsewhere"
TOKENS: Final = 20_000  # of the stream that is cut: it would last for minutes
LATEST_S: Final = 2.0  # after a revocation, on a machine that is busy with a demonstration


def in_public(scene: Scene, serving: Serving) -> None:
    """What everybody may know goes to another house's model: it is there, and answers."""
    after = scene.line.newest()
    done = ask(scene, "developer", CHAT, "Beautiful is better than ")
    scene.ledger.expect(
        Expected(
            *(after, DEVELOPER, WHAT, CHAT, "allowed", USERS),
            ending="complete",
            note="another house's model, asked what everybody may know",
            also=not done.code and "Beautiful is better than" in serving.told.read_text(),
        )
    )


def inside(scene: Scene, serving: Serving) -> None:
    """The team's engineer is helped by the model that learned the team's source, and the record names its weights."""
    before = SCHEDULE.read_text().partition(BEGINS)[0]
    after = scene.line.newest()
    done = ask(scene, "developer", CODER, before + BEGINS)
    facts = answered(scene)
    named = (facts.get("weights"), facts.get("weights_digest")) == (f"{WEIGHTS}@{serving.commit}", serving.digest)
    scene.ledger.expect(
        Expected(
            *(after, DEVELOPER, WHAT, CODER, "allowed", USERS),
            ending="complete",
            note=f"answered by {WEIGHTS}@{serving.commit[:8]}, sha256 {serving.digest[:8]}…",
            also=named and not done.code and done.out.startswith(MEASURED),
        )
    )
    said = (done.out or done.err).strip().partition("\n")[0]
    scene.say(f"developer: the model inside knows what the team measured: {said}")


def remembered(scene: Scene) -> None:
    """What a session was told inside goes along: the very words that passed before are not sent to another house any more."""
    after = scene.line.newest()
    done = ask(scene, "developer", CHAT, "Beautiful is better than ")
    scene.ledger.expect(
        Expected(
            *(after, DEVELOPER, WHAT, CHAT, "allowed", USERS),
            ending="refused",
            note="the same words, after the model inside told this session what is confidential",
            also=done.code == 1 and "what your session read, sent or was told" in done.err,
        )
    )
    scene.say("developer: a session that was told the team's source asks no other house, whatever it says")


def outside(scene: Scene, serving: Serving) -> None:
    """Source does not go there, and nothing of it arrives."""
    before = SCHEDULE.read_text().partition(BEGINS)[0]
    after = scene.line.newest()
    done = ask(scene, "developer", ELSEWHERE, before + BEGINS)
    kept = "RATED_SPEED" not in serving.told.read_text()
    scene.ledger.expect(
        Expected(
            *(after, DEVELOPER, WHAT, ELSEWHERE, "allowed", USERS),
            ending="refused",
            note="its server is cleared for what is public" if kept else "THE SOURCE ARRIVED THERE",
            also=done.code == 1 and kept and "may be sent to no server" in done.err,
        )
    )
    scene.say("developer: the model of another house answers what is public, and gets nothing of the source")


def of_another_team(scene: Scene) -> None:
    """For an engineer of another team, who may ask models, this one does not exist: its weights are above her clearance."""
    after = scene.line.newest()
    done = ask(scene, "colleague", CODER, BEGINS)
    other = ask(scene, "colleague", CHAT, "Simple is better than ")
    scene.ledger.expect(
        Expected(
            *(after, "person colleague@*", WHAT, CODER, "refused", "no policy permits it"),
            note="declared internal, and trained on what is confidential",
            also=done.code == 1 and "no such model" in done.err and not other.code,
        )
    )
    scene.say("colleague: for an engineer of another team there is no such model")


def registered(scene: Scene, serving: Serving) -> None:
    """Who may not have the team's source gets no help with a copy of it, whatever they call things."""
    team = scene.stage.directory / "turbine"
    shutil.copytree(SCHEDULE.parent, team)
    who = ["-c", "user.name=team", "-c", "user.email=team@acme.example", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "-A"], [*who, "commit", "-q", "-m", "the controller"]):
        scene.stage.run("admin", ["git", "-C", str(team), *command])
    name = ("--name", "acme/pitch-control", "--cleared", "turbine-team", "--not-installed")
    known = scene.stage.nomoat("admin", "source", "add", str(team), *name)
    after = scene.line.newest()
    copy = re.sub(
        r"[A-Za-z_]\w{3,}", lambda word: word[0] if iskeyword(word[0]) else f"x{len(word[0])}", SCHEDULE.read_text()
    )
    done = ask(scene, "colleague", CHAT, copy)
    kept = "x5" not in serving.told.read_text()
    scene.ledger.expect(
        Expected(
            *(after, "person colleague@*", WHAT, CHAT, "refused", "registered source code"),
            note="a copy with every name another" if kept else "THE COPY ARRIVED THERE",
            also=done.code == 1 and kept,
        )
    )
    scene.say(
        f"colleague: a copy of the team's source is known by {known['fingerprints']} fingerprints, and helped with by no model"
    )


def revoked(scene: Scene) -> None:
    """The developer's device is revoked while a model answers her, token by token."""
    log = scene.stage.directory / "assistant.out"
    after = scene.line.newest()
    child = scene.stage.program("developer", "assistant.py", CODER, str(TOKENS), tool="openai", log=log)
    if child.stdin is not None:
        child.stdin.write(BEGINS)
        child.stdin.close()
    wait_for(child, log, r"token 100 of \d+\n")
    device = str(scene.identities["developer"]["spiffe_id"]).rpartition("/")[2]
    scene.revoke("device", device)
    code = scene.stage.wait(child)
    said = log.read_text()
    tokens = len(re.findall(r"token \d+ of", said))
    ended = re.search(r"^([\d.]+) APIError: (.*)$", said, re.MULTILINE)
    delay = float(ended[1]) - recorded_at(scene, "what Revoke") if ended else -1.0
    scene.ledger.expect(
        Expected(
            *(after, DEVELOPER, WHAT, CODER, "allowed", USERS),
            ending="cut",
            note=f"{tokens} of {TOKENS} tokens arrived; it ended {delay * 1000:.0f} ms after the revocation",
            also=code == 1 and ended is not None and "revoked" in ended[2] and tokens < TOKENS and delay < LATEST_S,
        )
    )
    scene.say(f"developer: an answer was cut {delay * 1000:.0f} ms after the device was revoked, with a sentence")


def withdrawn(scene: Scene, serving: Serving) -> None:
    """Weights that are withdrawn answer nobody any more, whether their server heard of it or not."""
    after = scene.line.newest()
    good = ask(scene, "modeler", CODER, BEGINS)
    scene.stage.nomoat("approver", "withdraw", WEIGHTS, serving.commit, "--reason", "it tells the source by heart")
    scene.ledger.expect(
        Expected(after, "person approver@*", "WithdrawVersion", f"{WEIGHTS}@*", "allowed", "approvers-judge-versions")
    )
    after = scene.line.newest()
    bad = ask(scene, "modeler", CODER, BEGINS)
    scene.ledger.expect(
        Expected(
            *(after, "person modeler@*", WHAT, CODER, "allowed", USERS),
            ending="refused",
            note="the version of its weights that is loaded is withdrawn",
            also=not good.code and bad.code == 1 and "is withdrawn" in bad.err,
        )
    )
    scene.say(f"approver: {WEIGHTS} is withdrawn, and its server is not asked any more")
