"""What one set of policies allows and another does not, over all requests: proposed by z3, decided by Cedar.

Rules: nothing is told that Cedar did not decide under both sets. "Nothing found" is said to be a proof only
where every policy that could matter is inside of what formulas say, and every search ended.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Final, NamedTuple, TypeAlias

from nomoat.core.decision import Allow
from nomoat.core.names import Classification
from nomoat.core.operation import Target
from nomoat.core.principal import PrincipalKind
from nomoat.policy import cedar
from nomoat.policy.cedar import PERSON, WORKLOAD
from nomoat.policy.compilation import compile_policies
from nomoat.policy.engine import decide_again
from nomoat.policy.question import Question
from nomoat.policy.replay import Turn
from nomoat.policy.snapshot import PolicySnapshot
from nomoat.policy.symbolic import allows
from nomoat.policy.unknowns import BINDINGS, SUBJECTS, Request, Shape, Words, load
from nomoat.policy.variations import addresses

Facts: TypeAlias = tuple[tuple[str, str | int | bool], ...]

TRIES: Final = 24  # proposals of one search that Cedar may reject
PATIENCE_MS: Final = 5_000  # of one search
ELSEWHERE: Final = "192.0.2.1"  # an address for documentation (RFC 5737)
RESOURCES: Final = (
    *("Dataset", "Model", "File", "View", "Endpoint", "Upstream", "Source", "Index", "Document"),
    *("Directory", "PolicySet", "Log", "LogRecord", "Gateway", "Identity"),
)
PARENTS: Final[dict[str, tuple[str, ...]]] = {
    "File": ("Dataset", "Model"),
    "View": ("Dataset",),
    "Document": ("Index",),
}
FACTS: Final[dict[str, Facts]] = {
    "Upstream": (("cleared", 0), ("external", False), ("redacted", False), ("region", ""), ("retention", False)),
    "Document": (("listed", False), ("owned", False), ("shared", False)),
    "Directory": (("widens_self", False),),
    "LogRecord": (("subject", ""),),
    "Identity": (("subject_kind", "person"), ("subject", "person:a")),
}
EVERYTHING: Final = '@id("everything") permit (principal, action, resource);'


class Example(NamedTuple):
    """A request that the sets decide differently: `turn` is what the new one does; decided by these policies."""

    turn: Turn
    question: Question
    policies: tuple[str, ...]


@dataclass(slots=True)
class Analysis:
    """What was found. `outside` are policies that formulas do not say in full; `undecided` searches without an end."""

    examples: list[Example] = field(default_factory=list[Example])
    outside: set[str] = field(default_factory=set[str])
    undecided: int = 0
    searches: int = 0

    @property
    def proven(self) -> bool:
        """Whether what was not found does not exist."""
        return not self.outside and not self.undecided


def analyse(old: PolicySnapshot, new: PolicySnapshot) -> Analysis:
    """Search each shape of request for one that is newly allowed and one that is newly refused.

    Raises `Unavailable` where z3 is not installed.
    """
    z3 = load()
    words = Words([*old.policies.values(), *new.policies.values()])
    found = Analysis()
    near = sorted({ELSEWHERE, *addresses([*old.policies.values(), *new.policies.values()])})
    for shape in shapes():
        request = Request(z3, shape, words)
        (before, outside_before), (after, outside_after) = allows(request, old), allows(request, new)
        differ = {name for name in outside_before | outside_after if old.policies.get(name) != new.policies.get(name)}
        for turn, formula in (
            ("allowed", z3.And(after, z3.Not(before))),
            ("refused", z3.And(before, z3.Not(after))),
        ):
            found.searches += 1
            solver = z3.Solver()
            solver.set("timeout", PATIENCE_MS)
            solver.add(request.possible(), formula)
            example, ended = _search(solver, request, (old, new), near)
            if example is not None and example.turn == turn:
                found.examples.append(example)
            elif not ended:
                found.undecided += 1
                found.outside |= outside_before | outside_after
        # Without an example, an address or a pattern may still tell them apart: say whose.
        found.outside |= differ
    return found


def _search(
    solver: Any, request: Request, sets: tuple[PolicySnapshot, PolicySnapshot], near: list[str]
) -> tuple[Example | None, bool]:
    """An example that Cedar confirms, if one is found; and whether the search came to an end."""
    z3 = request.z3
    for _ in range(TRIES):
        answer = solver.check()
        if answer == z3.unsat:
            return None, True
        if answer != z3.sat:
            return None, False
        model = solver.model()
        for address in near:
            question = concrete(request, model, address)
            was, now = (decide_again(each, question) for each in sets)
            if isinstance(was, Allow) is not isinstance(now, Allow):
                turn: Turn = "allowed" if isinstance(now, Allow) else "refused"
                return Example(turn, question, now.policies), True
        if not request.free:
            return None, False
        guessed = [variable == model.eval(variable, model_completion=True) for variable in request.free.values()]
        solver.add(z3.Not(z3.And(*guessed)))
    return None, False


class _Chosen:
    """What a model says of the variables of a request."""

    def __init__(self, request: Request, model: Any) -> None:
        self.request = request
        self._model = model

    def number(self, variable: Any) -> int:
        return int(self._model.eval(variable, model_completion=True).as_long())

    def truth(self, variable: Any) -> bool:
        return bool(self.request.z3.is_true(self._model.eval(variable, model_completion=True)))

    def text(self, variable: Any) -> str:
        return self.request.words.text(self.number(variable))

    def subject(self) -> str:
        value = self.number(self.request.subject_of)
        kind = "person" if self.request.shape.principal == PERSON else "workload"
        words = self.request.words
        return f"{kind}:{words.text(value - SUBJECTS)}" if value >= SUBJECTS else words.text(value)

    def circumstance(self, variable: Any) -> str:
        found = self.text(variable)
        return found if found in BINDINGS else BINDINGS[0]

    def facts(self, resource: str) -> Facts:
        """The facts of a target of this kind."""
        request = self.request
        match resource:
            case "Upstream":
                return (
                    ("cleared", self.number(request.cleared)),
                    *((name, self.truth(request.truths[name])) for name in ("external", "redacted", "retention")),
                    ("region", self.text(request.region)),
                    *((("stage", self.text(request.stage)),) if self.truth(request.versioned) else ()),
                )
            case "Directory" | "Document":
                return tuple([(name, self.truth(request.truths[name])) for name, _ in FACTS[resource]])
            case "LogRecord":
                return (("subject", self.subject()),)
            case "Identity":
                return ("subject_kind", self.text(request.subject_kind)), ("subject", self.subject())
            case "Dataset" | "Model" | "File" | "View" if self.truth(request.versioned):
                return self._of_version(resource)
            case _:
                return ()

    def _of_version(self, resource: str) -> Facts:
        request = self.request
        told = ("authored", "publisher_signed") if request.shape.repository_kind == "model" else ("authored",)
        stood: Facts = (
            ("stage", self.text(request.stage)),
            *((name, self.truth(request.truths[name])) for name in told),
        )
        examined = resource == "File" and self.truth(request.examined)
        return (*stood, ("verdict", self.text(request.verdict))) if examined else stood


def concrete(request: Request, model: Any, address: str) -> Question:
    """The request of a model, as Cedar is asked it."""
    shape, words, chosen = request.shape, request.words, _Chosen(request, model)
    number, truth, text = chosen.number, chosen.truth, chosen.text
    kind = PrincipalKind.PERSON if shape.principal == PERSON else PrincipalKind.WORKLOAD
    groups = frozenset(group for group, variable in request.member.items() if truth(variable))
    who = (kind, text(request.name), groups, Classification(number(request.clearance)), text(request.segment))
    resource, name = shape.resource.removeprefix("NoMoat::"), text(request.resource)
    target = Target(
        kind=resource,
        id=name,
        name=name,
        classification=Classification(number(request.classification)),
        labels=frozenset(label for label, variable in request.label.items() if truth(variable)),
        owner_group=words.groups[number(request.owner_group)] if truth(request.owned_by_group) else "",
        owner_person=text(request.owner_person) if truth(request.owned_by_person) else "",
        parents=((shape.parent.removeprefix("NoMoat::"), text(request.parent)),) if shape.parent else (),
        facts=chosen.facts(resource),
    )
    given: dict[str, str | int] = {
        "at": number(request.at),
        "binding": chosen.circumstance(request.binding),
        "obtained": chosen.circumstance(request.obtained),
        "auth_age": number(request.auth_age),
        "source": address,
        "session": text(request.session),
    }
    return Question(who, shape.action, (target,), given)


def shapes() -> tuple[Shape, ...]:
    """Every shape that a request can have: those that Cedar takes by the schema."""
    return tuple(_shapes())


def _shapes() -> Iterator[Shape]:
    everything = compile_policies({"everything.cedar": EVERYTHING})
    given: dict[str, str | int] = {
        "at": 0,
        "binding": "mtls",
        "obtained": "mtls",
        "auth_age": 0,
        "source": ELSEWHERE,
        "session": "",
    }
    principals = ((PERSON, PrincipalKind.PERSON), (WORKLOAD, PrincipalKind.WORKLOAD))
    for action, (principal, kind), resource in product(sorted(cedar.groups_of_actions()), principals, RESOURCES):
        for parent in PARENTS.get(resource, ("",)):
            facts = FACTS.get(resource, ())
            target = Target(resource, "x", "x", parents=((parent, "y"),) if parent else (), facts=facts)
            who = (kind, "a", frozenset[str](), Classification.PUBLIC, "")
            if isinstance(decide_again(everything, Question(who, action, (target,), given)), Allow):
                above = f"NoMoat::{parent}" if parent else ""
                yield Shape(principal, action, f"NoMoat::{resource}", above)
