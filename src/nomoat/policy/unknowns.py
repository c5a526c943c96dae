"""One request whose every part is a variable, and what holds of all requests of its shape.

Rules: strings are numbers: policies compare them for equality alone. Every string that some policy of either
set names has one; a number beyond them is a string that none names.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final, TypeAlias, final

from nomoat.core.errors import Unavailable
from nomoat.core.lifecycle import Stage
from nomoat.core.principal import Binding
from nomoat.core.verdict import Verdict
from nomoat.policy.cedar import ACTION, GROUP, PERSON, Est, Policy
from nomoat.policy.syntax import entities, literals

Formula: TypeAlias = Any  # z3 ships no complete types; what comes of its expressions is checked by Cedar
BINDINGS: Final = tuple(binding.value for binding in Binding)
STAGES: Final = tuple(stage.value for stage in Stage)
VERDICTS: Final = tuple(verdict.value for verdict in Verdict)
SUBJECT_KINDS: Final = ("person", "workload", "device", "session")
SUBJECTS: Final = 1_000_000  # where the numbers of subjects that no policy names begin
OTHER: Final = "some-other"  # stands for every group that no policy names


def load() -> Any:
    """z3, or `Unavailable` with how to get it."""
    try:
        return import_module("z3")
    except ImportError:
        raise Unavailable("analysis", "it needs z3; run: pip install 'nomoat[analysis]'") from None


@dataclass(frozen=True, slots=True)
class Shape:
    """What does not vary within a search: types of caller and target, the action, what the target lies in."""

    principal: str
    action: str
    resource: str
    parent: str = ""

    @property
    def repository_kind(self) -> str:
        """`dataset`, `model` or ''."""
        whole = self.parent or self.resource
        return {"NoMoat::Dataset": "dataset", "NoMoat::Model": "model"}.get(whole, "")


@final
class Words:
    """Numbers for strings, and back: those that policies name first, then others."""

    def __init__(self, policies: Iterable[Policy]) -> None:
        named: set[str] = {OTHER, "", *BINDINGS, *SUBJECT_KINDS, *STAGES, *VERDICTS, "dataset", "model"}
        labels: set[str] = set()
        groups: set[str] = {OTHER}
        for policy in policies:
            texts = {value for value in literals(policy["conditions"]) if isinstance(value, str)}
            labels |= texts
            for kind, name in entities(policy):
                if kind == GROUP:
                    groups.add(name)
                elif kind != ACTION:
                    named.add(name)
            named |= texts
        for kind in ("person", "workload"):  # a subject is made of a name
            prefix = f"{kind}:"
            named |= {text.removeprefix(prefix) for text in named if text.startswith(prefix)}
        self.names = tuple(sorted(named))
        self.groups = tuple(sorted(groups))
        self.labels = tuple(sorted(labels))
        self._numbers = {name: number for number, name in enumerate(self.names)}

    def number(self, text: str) -> int:
        """The number of a string that policies name."""
        return self._numbers[text]

    def text(self, number: int) -> str:
        """The string of a number; one that no policy names is made up."""
        return self.names[number] if 0 <= number < len(self.names) else f"someone-{number}"


@final
class Request:
    """The variables of one request of a shape, and what holds of every such request."""

    def __init__(self, z3: Any, shape: Shape, words: Words) -> None:
        self.z3, self.shape, self.words = z3, shape, words
        person = shape.principal == PERSON
        self.name, self.clearance = z3.Int("name"), z3.Int("clearance")
        self.segment = z3.IntVal(words.number("")) if person else z3.Int("segment")
        self.member = {group: z3.Bool(f"in {group}") for group in words.groups}
        self.resource, self.parent = z3.Int("resource"), z3.Int("parent")
        self.classification, self.cleared, self.region = z3.Int("classification"), z3.Int("cleared"), z3.Int("region")
        self.label = {label: z3.Bool(f"label {label}") for label in words.labels}
        self.owned_by_group, self.owned_by_person = z3.Bool("owner_group?"), z3.Bool("owner_person?")
        self.owner_group, self.owner_person = z3.Int("owner_group"), z3.Int("owner_person")
        self.subject_of, self.subject_kind = z3.Int("subject of"), z3.Int("subject_kind")
        said = [
            "widens_self",
            "authored",
            "publisher_signed",
            "external",
            "redacted",
            "retention",
            "listed",
            "owned",
            "shared",
        ]
        self.truths = {name: z3.Bool(name) for name in said}
        self.versioned, self.examined = z3.Bool("stage?"), z3.Bool("verdict?")
        self.stage, self.verdict = z3.Int("stage"), z3.Int("verdict")
        self.binding, self.obtained = z3.Int("binding"), z3.Int("obtained")
        self.at, self.auth_age, self.session = z3.Int("at"), z3.Int("auth_age"), z3.Int("session")
        self.free: dict[str, Formula] = {}

    def possible(self) -> Formula:
        """What holds of every request."""
        z3, words = self.z3, self.words
        bindings = [words.number(binding) for binding in BINDINGS]
        levels = [z3.And(level >= 0, level <= 3) for level in (self.clearance, self.classification, self.cleared)]
        texts = (self.name, self.resource, self.parent, self.owner_person, self.session, self.segment, self.region)
        most = len(words.names) + 8
        return z3.And(
            *levels,
            *(z3.And(number >= 0, number < most) for number in texts),
            z3.Or(
                z3.And(self.subject_of >= 0, self.subject_of < most),
                z3.And(self.subject_of >= SUBJECTS, self.subject_of < SUBJECTS + most),
            ),
            self.name != words.number(""),
            self.resource != words.number(""),
            self.parent != words.number(""),
            self.owner_person != words.number(""),
            self.owner_group >= 0,
            self.owner_group < len(words.groups),
            *(z3.Or(*(number == each for each in bindings)) for number in (self.binding, self.obtained)),
            z3.Or(*(self.subject_kind == words.number(kind) for kind in SUBJECT_KINDS)),
            z3.Or(*(self.stage == words.number(stage) for stage in STAGES)),
            z3.Or(*(self.verdict == words.number(verdict) for verdict in VERDICTS)),
            z3.Implies(self.examined, self.versioned),
            self.at >= 0,
            self.auth_age >= 0,
            z3.Not(z3.And(self.owned_by_group, self.owned_by_person)),  # a thing has one owner
        )

    def unknown(self, part: Est) -> Formula:
        """A free truth value for a condition that formulas do not say; the same for the same condition."""
        written = json.dumps(part, sort_keys=True)
        return self.free.setdefault(written, self.z3.Bool(f"free {len(self.free)}"))

    def in_group(self, number: Formula) -> Formula:
        """Whether the caller is in the group of a number."""
        z3 = self.z3
        return z3.Or(*(z3.And(number == place, self.member[group]) for place, group in enumerate(self.words.groups)))
