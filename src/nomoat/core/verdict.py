"""Verdicts: what an inspection says of a content, and why.

Rules: a verdict is never better than its worst finding; what could not be examined whole is `UNSCANNABLE`, and
that is not `CLEAN`. The rules that findings name are listed in docs/reference/scanning.md.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

MOST_FINDINGS: Final = 32  # of one report
LONGEST_WHAT: Final = 200  # characters


class Verdict(StrEnum):
    """What may be made of a content, from the best to the worst."""

    CLEAN = "clean"
    CONTAINS_CODE = "contains-code"
    QUARANTINED = "quarantined"
    UNSCANNABLE = "unscannable"
    REFUSED = "refused"

    __hash__ = str.__hash__  # hashed for every request, as `Classification` is

    @property
    def severity(self) -> int:
        """The place in the order, 0 for `CLEAN`."""
        return tuple(Verdict).index(self)

    @staticmethod
    def worst(verdicts: Iterable["Verdict"]) -> "Verdict":
        """The worst of some verdicts, `CLEAN` of none."""
        return max(verdicts, key=lambda verdict: verdict.severity, default=Verdict.CLEAN)


class Finding(NamedTuple):
    """One thing that was found.

    `rule` is its stable id, `where` the path of the member inside the content ('' for the content itself), `what` a
    short text that is safe to print.
    """

    verdict: Verdict
    rule: str
    where: str
    what: str


@dataclass(frozen=True, slots=True)
class Report:
    """What an inspection found. `format` is what the content is by its bytes, 'unknown' if that is not known."""

    verdict: Verdict
    format: str
    findings: tuple[Finding, ...] = ()

    @classmethod
    def of(cls, format_: str, findings: Iterable[Finding]) -> "Report":
        """The report of some findings: as bad as the worst of all, listing the worst."""
        ordered = sorted(dict.fromkeys(findings), key=lambda finding: -finding.verdict.severity)
        verdict = Verdict.worst(finding.verdict for finding in ordered)
        return cls(verdict, format_, tuple(ordered[:MOST_FINDINGS]))


def printable(text: str) -> str:
    """A text from a content, made safe to print: escaped, and cut at `LONGEST_WHAT` characters."""
    shown = "".join(each if " " <= each <= "~" else ascii(each)[1:-1] for each in text[:LONGEST_WHAT])
    return shown if len(shown) <= LONGEST_WHAT else shown[: LONGEST_WHAT - 3] + "..."


class Scannable(NamedTuple):
    """A content to look at: its size in bytes, and what reads `length` bytes of it from `offset`."""

    size: int
    read: Callable[[int, int], bytes]
