"""Retrieval: two people ask the same question and are answered from what each may read; then a page's label is raised.

Rules: as for the attacks. What somebody does not find is seen to be there, for somebody else.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final, cast

from examples.pipeline.ledger import Expected
from examples.pipeline.serving import CODER
from examples.pipeline.stage import DemoFailed
from examples.pipeline.story import Scene

PAGES: Final = Path(__file__).parents[1] / "handbook"
INDEX: Final = "handbook"
CHAT: Final = "acme/chat"
QUESTION: Final = "what is the budget for changes of the pitch limits"
CLOSED: Final = "finance/turbine.md"
RAISED: Final = '\n[[file]]\npath = "pitch.md"\nclassification = "confidential"\n'
WHAT, READERS = "ReadPassages", "index-readers-read-what-is-open-or-shared"


def kept(scene: Scene) -> Path:
    """An engineer has the handbook put into the index that her group keeps; returns where her copy of it is."""
    folder = scene.stage.directory / "handbook"
    shutil.copytree(PAGES, folder)
    after = scene.line.newest()
    done = scene.stage.nomoat("engineer", "index", "add", INDEX, str(folder))
    scene.ledger.expect(
        Expected(after, "person engineer@*", "WriteDocuments", INDEX, "allowed", "owners-keep-their-indexes")
    )
    scene.say(f"engineer: {done['sent']} pages of the handbook are in its index, in {done['passages']} passages")
    return folder


def asked_by_two(scene: Scene) -> None:
    """The same question, and two answers: each from what its asker may read, with what it was answered from."""
    for who, model, finds in (("developer", CODER, True), ("colleague", CHAT, False)):
        after = scene.line.newest()
        cited = _asked(scene, who, model)
        held = (CLOSED in cited) is finds and "pitch.md" in cited
        scene.ledger.expect(
            Expected(
                *(after, f"person {who}@*", WHAT, f"{INDEX}@*", "allowed", READERS),
                ending="complete",
                note=f"answered from {', '.join(cited)}",
                also=held,
            )
        )
    scene.say("developer, colleague: one question, two answers, each from what its asker may read")


def raised(scene: Scene, folder: Path) -> None:
    """A page's label is raised; the very next question is answered without it, for who is not cleared for it."""
    with (folder / ".access.toml").open("a") as rules:
        rules.write(RAISED)
    done = scene.stage.nomoat("engineer", "index", "add", INDEX, str(folder))
    if done["sent"] != 1:
        raise DemoFailed(f"{done['sent']} pages were sent where one has another label")
    after = scene.line.newest()
    cited = _asked(scene, "colleague", CHAT)
    scene.ledger.expect(
        Expected(
            *(after, "person colleague@*", WHAT, f"{INDEX}@*", "allowed", READERS),
            ending="complete",
            note=f"the page that was raised is not among {', '.join(cited)}",
            also=bool(cited) and "pitch.md" not in cited,
        )
    )
    scene.say("colleague: a page whose label was raised is not there for the next question")


def _asked(scene: Scene, who: str, model: str) -> Sequence[str]:
    """The documents that an answer is from."""
    done = scene.stage.finish(scene.stage.program(who, "question.py", INDEX, model, QUESTION, tool="openai"))
    if done.code:
        raise DemoFailed(f"{who} was not answered: {done.err.strip()[-2000:]}")
    return [str(each["document"]) for each in cast("list[dict[str, object]]", json.loads(done.out))]
