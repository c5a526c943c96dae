"""Rules by which a stretch of a text is recognised: a pattern, and a check of what it matched.

Rules: patterns are RE2's, whose time is linear in the text whatever it says. They are matched against UTF-8, byte by byte;
a check sees a bounded stretch. Several rules are one compiled pattern, a family; the first one that matches takes its
stretch, so rules that may overlap and disagree are of different families.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, cast, final

from re2 import Options, compile  # type: ignore[import-untyped]  # noqa: A004  # pyright: ignore[reportMissingTypeStubs]

from nomoat.core.content import Finding

MEMORY: Final = 1 << 20  # bytes that the automata of one family may take; beyond, they are made anew
LONGEST_CHECKED: Final = 4096  # bytes of a match that a check sees


class Span(NamedTuple):
    """A stretch of a text, and what it is."""

    start: int
    end: int
    finding: Finding


Check = Callable[[bytes, int, int], tuple[int, int] | None]
"""(text, start, end) of a match → the stretch of it that counts; None where it is none after all."""


@dataclass(frozen=True, slots=True)
class Rule:
    """`name` is the last part of a finding's. Of a pattern's one group, if it has one, what that matched is meant."""

    name: str
    pattern: str
    check: Check | None = None


class _Match(Protocol):
    lastindex: int

    def span(self, group: int = 0) -> tuple[int, int]: ...


class _Compiled(Protocol):
    groups: int

    def finditer(self, text: bytes) -> Iterator[_Match]: ...


@final
class Family:
    """Rules that are one compiled pattern. `kind` is the first part of the names of what they find."""

    def __init__(self, rules: Sequence[tuple[Rule, Finding]]) -> None:
        self._pattern = "|".join(f"({rule.pattern})" for rule, _ in rules)
        self._compiled: _Compiled | None = None
        self._by_group: dict[int, tuple[Rule, Finding, int]] = {}
        number = 1
        for rule, finding in rules:
            inner = _groups(rule.pattern)
            self._by_group[number] = (rule, finding, inner)
            number += 1 + inner

    def find(self, text: bytes) -> Iterator[Span]:
        """What the rules find, by offsets of bytes, in order."""
        compiled = self._compiled = self._compiled or compiled_of(self._pattern)
        for match in compiled.finditer(text):
            number = match.lastindex
            rule, finding, inner = self._by_group[number]
            start, end = match.span(number)
            if inner:
                start, end = next(
                    span for each in range(number + 1, number + inner + 1) if (span := match.span(each))[0] >= 0
                )
            if rule.check is None:
                yield Span(start, end, finding)
            elif (counts := rule.check(text, start, seen := min(end, start + LONGEST_CHECKED))) is not None:
                yield Span(counts[0], end if counts[1] == seen else counts[1], finding)


def compiled_of(pattern: str) -> _Compiled:
    """A pattern, compiled for bytes."""
    options = Options()
    options.max_mem = MEMORY
    options.log_errors = False
    return cast("_Compiled", compile(pattern.encode("ascii"), options))


def _groups(pattern: str) -> int:
    """How many groups of a pattern are captured."""
    return pattern.replace("\\(", "").replace("(?", "").count("(")
