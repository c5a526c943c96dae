"""Replay: recorded decisions, taken again under other policies, and told where they differ.

Rules: every difference is Cedar's own answer to what was recorded. What cannot be asked again is counted
and said, never taken for unchanged. Differences are grouped by who, what and on what, with the numbers
of some records each; all of them count, also where a group is not told any more.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, TypeAlias, cast, final

from nomoat.core.decision import Allow
from nomoat.core.operation import OPERATIONS, Operation
from nomoat.policy.engine import decide_again
from nomoat.policy.question import Question, Unanswerable, is_decision, question_of
from nomoat.policy.snapshot import PolicySnapshot

MOST_GROUPS: Final = 1_000
EXAMPLES: Final = 5  # records of a group that are named

Turn: TypeAlias = Literal["allowed", "refused"]
Record = Mapping[str, object]


class Key(NamedTuple):
    """What a group of differences has in common. `policies` are those that decide now."""

    turn: Turn
    who: str
    what: str
    on: str
    policies: tuple[str, ...]


@dataclass(slots=True)
class Group:
    """Decisions that differ alike: how many, and the newest of them by number."""

    count: int = 0
    records: list[int] = field(default_factory=list[int])


@final
class Tally:
    """Counts differences."""

    def __init__(self) -> None:
        self.groups: dict[Key, Group] = {}
        self.turned: dict[Turn, int] = {"allowed": 0, "refused": 0}
        self.untold = 0

    def add(self, record: Record, *, allowed: bool, policies: tuple[str, ...]) -> None:
        """Take a record whose decision is another one now."""
        turn: Turn = "allowed" if allowed else "refused"
        self.turned[turn] += 1
        key = Key(turn, _who(record), str(record.get("what")), _on(record), policies)
        if key not in self.groups and len(self.groups) >= MOST_GROUPS:
            self.untold += 1
            return
        group = self.groups.setdefault(key, Group())
        group.count += 1
        if len(group.records) < EXAMPLES:
            group.records.append(number_of(record))

    def described(self) -> list[dict[str, object]]:
        """The groups as JSON: what is newly allowed first, the largest of each first."""
        ordered = sorted(self.groups.items(), key=lambda item: (item[0].turn, -item[1].count, item[0]))
        return [
            {**key._asdict(), "policies": list(key.policies), "count": group.count, "records": group.records}
            for key, group in ordered
        ]


@final
class Replay:
    """Takes records one by one. `before` None: what was recorded is what `after` is compared with."""

    def __init__(self, after: PolicySnapshot, before: PolicySnapshot | None = None) -> None:
        self._after = after
        self._before = before
        self.tally = Tally()
        self.decided = self.unasked = self.unanswerable = 0

    def take(self, record: Record) -> None:
        """Decide a readable record of a decision again."""
        if not is_decision(record):
            self.unasked += 1
            return
        sets = [self._after] if self._before is None else [self._after, self._before]
        try:
            question = answerable(record, *sets)
        except Unanswerable:
            self.unanswerable += 1
            return
        self.decided += 1
        if self._before is None:
            was = record["decision"] == "allow"
        else:
            was = isinstance(decide_again(self._before, question), Allow)
        now = decide_again(self._after, question)
        if isinstance(now, Allow) is not was:
            self.tally.add(record, allowed=isinstance(now, Allow), policies=now.policies)


def answerable(record: Record, *sets: PolicySnapshot) -> Question:
    """What was asked, if these policies can be asked exactly that. Raises `Unanswerable`."""
    question = question_of(record)
    if question.sampled and any(each.index.names_any(f"NoMoat::{question.targets[0].kind}") for each in sets):
        raise Unanswerable("not all of its targets are recorded by id, and a policy names one by its id")
    return question


def number_of(record: Record) -> int:
    """A record's number in the log."""
    number = record.get("n")
    return number if isinstance(number, int) else -1


@final
class Usage:
    """Which grants of a set were used, by deciding what was recorded again. Records come newest first."""

    def __init__(self, policies: PolicySnapshot) -> None:
        self._policies = policies
        self.grants = tuple(name for name in policies.ids if policies.policies[name]["effect"] == "permit")
        self.last: dict[str, Record] = {}
        self.count: dict[str, int] = dict.fromkeys(self.grants, 0)
        self.decided = self.unanswerable = 0

    def take(self, record: Record) -> None:
        """Note what a readable record of a decision used: also the grant to know of a thing, asked for when refused."""
        if not is_decision(record):
            return
        try:
            question = answerable(record, self._policies)
        except Unanswerable:
            self.unanswerable += 1
            # Nobody knows what it needed: whatever it named then counts as used.
            self._note(record, names(record.get("policies")))
            return
        self.decided += 1
        for used in _grants(self._policies, question):
            self._note(record, used)

    def _note(self, record: Record, used: tuple[str, ...]) -> None:
        for name in used:
            if name in self.count:
                self.count[name] += 1
                self.last.setdefault(name, record)


def changes_nothing(record: Record, before: PolicySnapshot, after: PolicySnapshot) -> bool:
    """Whether two sets answer a record alike: its decision, and whether its caller may know of what it refused."""
    if not is_decision(record):
        return True
    try:
        question = answerable(record, before, after)
    except Unanswerable:
        return True
    return all(
        isinstance(decide_again(before, asked), Allow) is isinstance(decide_again(after, asked), Allow)
        for asked in (question, *discoveries(question))
    )


def discoveries(question: Question) -> Iterator[Question]:
    """The question of discovery that is asked before a refusal is worded, if there is one."""
    if question.discovery is not None:
        asked = OPERATIONS.get(question.action, Operation).discover
        yield Question(question.who, asked, (question.discovery,), question.given)


def _grants(policies: PolicySnapshot, question: Question) -> Iterator[tuple[str, ...]]:
    decision = decide_again(policies, question)
    if isinstance(decision, Allow):
        yield decision.policies
    for asked in discoveries(question):
        known = decide_again(policies, asked)
        if isinstance(known, Allow):
            yield known.policies


def part(record: Record, name: str) -> Record:
    """A part of a record that has parts of its own; empty where there is none."""
    value = record.get(name)
    return cast("Record", value) if isinstance(value, Mapping) else {}


def names(value: object) -> tuple[str, ...]:
    """A list of names in a record; empty where there is none."""
    return tuple(str(each) for each in cast("list[object]", value)) if isinstance(value, list) else ()


def _who(record: Record) -> str:
    who = part(record, "who")
    return f"{who.get('kind', '')} {who.get('name', '')}".strip()


def _on(record: Record) -> str:
    """The repository of a file, or the thing itself: files one by one would be as many groups."""
    on = part(record, "on")
    above = on.get("in")
    if isinstance(above, list) and above:
        return " ".join(names(cast("list[object]", above)[0]))
    return f"{on.get('kind', '')} {on.get('id', '')}".strip()
