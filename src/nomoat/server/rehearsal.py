"""Rehearsal: tests of policies, decided offline from files of policies, a declaration and expectations.

Rules: the same compiler, the same labels and the same engine as the gateway's; nothing is simulated but
that nobody asked. A test that names what is not declared is a mistake of the test and refused: it would
pass for the wrong reason. A file without tests is refused, too.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Final, cast

from nomoat.core.decision import Allow, Context, Decision
from nomoat.core.directory import Directory
from nomoat.core.errors import Malformed
from nomoat.core.names import RepositoryKind, parse_path, parse_repository_name
from nomoat.core.operation import Target
from nomoat.core.principal import Binding, PrincipalKind
from nomoat.policy import PolicySnapshot, cedar, decide_again
from nomoat.policy.entities import Caller, circumstances
from nomoat.policy.question import Question
from nomoat.resources.directory.document import merge, parse_declarations
from nomoat.resources.repositories.labels import file_target, repository_target

FIELDS: Final = frozenset({"name", "who", "what", "on", "decision", "by", "context", "facts"})
CIRCUMSTANCES: Final = frozenset({"binding", "obtained", "auth_age", "source", "at", "session"})
OWN: Final = {"directory": "Directory", "policies": "PolicySet", "log": "Log"}
OF_REPOSITORIES: Final = frozenset({"DescribeRepository", "ListFiles", "CreateRepository", "GrantUpload", "UploadBlob"})
DECISIONS: Final = {"allowed": True, "refused": False}
MOST_CASES: Final = 100_000
BEGUN: Final = Directory(groups=frozenset({"administrators", "auditors"}))  # `nomoat init` declares these
_HEADING: Final = re.compile(r"^[ \t]*\[\[[ \t]*test[ \t]*\]\]", re.MULTILINE)

Table = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Expectation:
    """One line of a test: who does what to what, and what is to come of it. `by` None: whichever policies."""

    place: str
    name: str
    who: str
    what: str
    on: str
    question: Question = field(repr=False)
    allowed: bool
    by: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Result:
    """An expectation and what the policies decide."""

    expectation: Expectation
    decision: Decision

    @property
    def holds(self) -> bool:
        """Whether the decision is the expected one, and for the expected reason where one is given."""
        expected = self.expectation
        same = isinstance(self.decision, Allow) is expected.allowed
        return same and (expected.by is None or self.decision.policies == expected.by)


def declared(documents: Sequence[str]) -> Directory:
    """The directory that declarations (TOML texts, in order) make. Raises `Malformed`."""
    directory = BEGUN
    for text in documents:
        directory = merge(directory, parse_declarations(text))
    return directory


def rehearse(snapshot: PolicySnapshot, expectations: Sequence[Expectation]) -> list[Result]:
    """Decide every expectation."""
    return [Result(each, decide_again(snapshot, each.question)) for each in expectations]


def parse_tests(file: str, text: str, directory: Directory, now: int) -> list[Expectation]:
    """Parse a test file (TOML); `now` is the time of tests that say none (Unix seconds).

    Raises `Malformed` with the file, the line of the test, and what to do.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Malformed(f"{file} is not TOML: {error}") from None
    tests = document.get("test")
    if set(document) - {"test", "declared"} or not isinstance(tests, list) or not tests:
        raise Malformed(
            f"{file}: write [[test]] with two brackets, once for each test (and declared = […] before them)"
        )
    lines = [text[: found.start()].count("\n") + 1 for found in _HEADING.finditer(text)]
    found: list[Expectation] = []
    for number, test in enumerate(cast("list[object]", tests)):
        place = f"{file}:{lines[number]}" if number < len(lines) else file
        try:
            found.extend(_expectations(place, _table(test, "a test"), directory, now))
        except Malformed as error:
            raise Malformed(f"{place}: {error.reason}") from None
        if len(found) > MOST_CASES:
            raise Malformed(f"{file}: more than {MOST_CASES} cases")
    return found


def declarations_of(file: str, text: str) -> tuple[str, ...]:
    """The declaration files that a test file names itself. Raises `Malformed`."""
    try:
        return _words(tomllib.loads(text).get("declared", []), "declared")
    except tomllib.TOMLDecodeError as error:
        raise Malformed(f"{file} is not TOML: {error}") from None


def _expectations(place: str, test: Table, directory: Directory, now: int) -> Iterator[Expectation]:
    if unknown := set(test) - FIELDS:
        raise Malformed(f"no field {min(unknown)!r:.80}; a test has {', '.join(sorted(FIELDS))}")
    if missing := {"who", "what", "on", "decision"} - set(test):
        raise Malformed(f"{min(missing)} is missing; a test says who, what, on and decision")
    said = str(test["decision"])
    if said not in DECISIONS:
        raise Malformed(f'decision is "allowed" or "refused", not {said!r:.80}')
    by = tuple(sorted(_words(test["by"], "by"))) if "by" in test else None
    given = _context(_table(test.get("context", {}), "context"), now)
    facts = tuple(sorted(_table(test.get("facts", {}), "facts").items()))
    ways = product(_words(test["who"], "who"), _words(test["what"], "what"), _words(test["on"], "on"))
    for who, what, on in ways:
        if what not in cedar.groups_of_actions():
            raise Malformed(f"there is no operation {what!r:.80}; docs/reference/operations.md lists them")
        target = _target(on, what, directory)
        target = target._replace(facts=(*target.facts, *cast("tuple[tuple[str, str | int | bool], ...]", facts)))
        question = Question(_caller(who, directory), what, (target,), circumstances(given))
        yield Expectation(place, str(test.get("name", "")), who, what, on, question, DECISIONS[said], by)


def _caller(who: str, directory: Directory) -> Caller:
    """A declared person or workload; `person:NAME` and `workload:NAME` tell apart who has the same name."""
    kind, _, rest = who.partition(":")
    name = rest if kind in {"person", "workload"} and rest else who
    person = directory.people.get(name) if kind != "workload" or not rest else None
    workload = directory.workloads.get(name) if kind != "person" or not rest else None
    if person is not None and workload is not None:
        raise Malformed(f"{name} is a person and a workload; write person:{name} or workload:{name}")
    if person is not None:
        return PrincipalKind.PERSON, name, person.groups, person.clearance, ""
    if workload is not None:
        return PrincipalKind.WORKLOAD, name, workload.groups, workload.clearance, workload.segment
    raise Malformed(f"nobody called {who!r:.200} is declared; declare them in a file that `declared` names")


def _target(on: str, what: str, directory: Directory) -> Target:
    """What a test is about: a repository, a file in one, an identity, or one of the gateway's own."""
    if on in OWN:
        return Target(OWN[on], on, on)
    kind, _, rest = on.partition(" ")
    if kind == "identity":
        subject, _, _ = rest.partition(":")
        return Target("Identity", rest, rest, facts=(("subject_kind", subject), ("subject", rest)))
    if kind == "records":  # `records` of anyone, `records person:NAME` of one
        return Target("Record", "records", on, facts=(("subject", rest),))
    kinds = [RepositoryKind(kind)] if kind in set(RepositoryKind) and rest else list(RepositoryKind)
    name, _, path = (rest if len(kinds) == 1 else on).partition(":")
    found = [
        repository
        for each in kinds
        if (repository := directory.repositories.get(parse_repository_name(each, name))) is not None
    ]
    if len(found) != 1:
        problem = "is a dataset and a model; write dataset or model before it" if found else "is not declared"
        raise Malformed(f"{name:.200} {problem}")
    if path and what in OF_REPOSITORIES:
        raise Malformed(f"{what} is about a repository, and {on:.200} is a file")
    return file_target(found[0], parse_path(path)) if path else repository_target(found[0])


def _context(said: Table, now: int) -> Context:
    if unknown := set(said) - CIRCUMSTANCES:
        raise Malformed(f"no field {min(unknown)!r:.80} in context; it has {', '.join(sorted(CIRCUMSTANCES))}")
    try:
        binding = Binding(str(said.get("binding", "mtls")))
        obtained = Binding(str(said.get("obtained", binding.value)))
    except ValueError:
        raise Malformed(f"binding and obtained are one of {', '.join(Binding)}") from None
    at, auth_age = said.get("at", now), said.get("auth_age", 60)
    if type(at) is not int or type(auth_age) is not int:
        raise Malformed("at and auth_age are whole numbers of seconds")
    source, session = str(said.get("source", "127.0.0.1")), str(said.get("session", "test"))
    return Context(at, binding, obtained, auth_age, source, session)


def _table(value: object, what: str) -> Table:
    if not isinstance(value, Mapping):
        raise Malformed(f"{what} is a table")
    return cast("Table", value)


def _words(value: object, what: str) -> tuple[str, ...]:
    """A text, or a list of texts."""
    values = cast("list[object]", value) if isinstance(value, list) else [value]
    if not all(isinstance(each, str) for each in values):
        raise Malformed(f"{what} is a text or a list of texts")
    return tuple(str(each) for each in values)
