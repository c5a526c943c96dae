"""Why a prompt or an answer was refused for what is in it, from its record: to auditors all of it, to who sent it what they may know.

Rules: pure. Who sent it is told of findings by forms that everybody knows, and that there is registered source code in it; never whose
that is, nor of values and canaries: whoever carries one off is not to learn what it was.
"""

from collections.abc import Mapping, Sequence
from typing import Final, cast

from nomoat.core.content import KNOWN_FORMS
from nomoat.core.decision import Allow
from nomoat.core.operation import InvokeModel, ReleaseAnswer
from nomoat.policy.engine import decide_again
from nomoat.policy.question import Question
from nomoat.policy.replay import names, number_of, part
from nomoat.policy.snapshot import PolicySnapshot

SOURCE: Final = "source:"
CANARY: Final = "canary:"
SOURCE_TARGET: Final = "Source"
UNNAMED: Final = "registered source code"
TAKE_IT_OUT: Final = "take it out, or ask its owners to be cleared for it"

Answer = dict[str, object]
Record = Mapping[str, object]


def is_about_content(record: Record) -> bool:
    """Whether a record is of a prompt, or of an answer in which something was found."""
    return record.get("what") in {InvokeModel.action, ReleaseAnswer.action}


def hides(record: Record, question: Question, sets: Sequence[PolicySnapshot]) -> bool:
    """Whether what was read for a decision is not for who asked, by one of these policies: whose source it is, what an answer has."""
    if record.get("what") == ReleaseAnswer.action and not all(map(_is_known, _found(record))):
        return True
    sources = [each for each in question.targets if each.kind == SOURCE_TARGET]
    alone = [Question(question.who, question.action, (each,), question.given) for each in sources]
    return not all(isinstance(decide_again(policies, asked), Allow) for policies in sets for asked in alone)


def hidden(record: Record) -> Answer:
    """What is told instead of what was read."""
    found = _told(_found(record))
    return {"found": found, "next": TAKE_IT_OUT if UNNAMED in found else _ask(record)}


def rejection(record: Record, *, own: bool) -> Answer:
    """What is told of an allowed request that was refused then: what was found, which policies kept it from which server, what to do."""
    facts = part(part(record, "outcome"), "facts")
    if facts.get("quota"):
        return {"next": "nomoat quotas tells what is left, and of what"}
    answered = str(facts.get("answer_found", ""))
    found = answered.split() or _found(record)
    withheld = [] if answered else _withheld(record)
    if not own:
        return {"found": found, "withheld": withheld, "next": _for_auditors(record, found, withheld)}
    told: Answer = {"found": _told(found)}
    if not all(_is_known(each) or each.startswith(SOURCE) for each in found):
        return {**told, "next": _ask(record)}
    # Which servers there are is not theirs to know; by which policies none of them may have it, is.
    distinct = {tuple(cast("list[str]", each["policies"])): None for each in withheld}
    told["withheld"] = [{"policies": list(policies)} for policies in distinct]
    model = "ask a model whose servers are cleared for it"
    return {**told, "next": f"take out what was found, or {model}" if found else _ask(record)}


def _for_auditors(record: Record, found: Sequence[str], withheld: Sequence[Answer]) -> str:
    if any(each.startswith(CANARY) for each in found):
        session = part(record, "who").get("session", "")
        return f"somebody has read what nobody should; what else they did: nomoat audit search 'session {session}'"
    if withheld:
        return "it goes to a server that a policy permits SendPrompt for and none forbids: nomoat policy show"
    return ""


def _ask(record: Record) -> str:
    return f"ask an auditor, to whom record {number_of(record)} says more"


def _found(record: Record) -> list[str]:
    return str(part(record, "asked").get("found", "")).split()


def _is_known(rule: str) -> bool:
    return rule.startswith(KNOWN_FORMS)


def _told(found: Sequence[str]) -> list[str]:
    """What was found, as who sent it may know it."""
    known = [each for each in found if _is_known(each)]
    return [*known, UNNAMED] if any(each.startswith(SOURCE) for each in found) else known


def _withheld(record: Record) -> list[Answer]:
    """The servers that it might not be sent to, and the policies that forbade it."""
    obligations = record.get("obligations")
    parts = [
        cast("Record", each)
        for obligation in cast("list[Record]", obligations if isinstance(obligations, list) else [])
        for each in cast("list[object]", obligation.get("withhold") or [])
        if isinstance(each, Mapping) and "upstream" in each
    ]
    return [
        {
            "upstream": each["upstream"],
            "redacted": each.get("redacted") is True,
            "classification": each.get("classification"),
            "labels": each.get("labels"),
            "policies": list(names(each.get("policies"))),
        }
        for each in parts
    ]
