"""What a scan of published contents leads to: who publishes hears it, and what is refused is kept nowhere.

Rules: a content is scanned once, as it comes, by a process that has no keys (`server/scanning.py`). A report only gets
worse on the way: by the name that a content is published under. `unscannable` is not clean, and says so.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from nomoat.core.errors import Rejected
from nomoat.core.verdict import Finding, Report, Scannable, Verdict

Scan: TypeAlias = Callable[[Sequence[Scannable]], Awaitable[list[Report]]]
"""Looks at contents of one author, together."""

Judge: TypeAlias = Callable[[str, Report], Report]
"""What the report of a content becomes under a path."""


def in_memory(content: bytes) -> Scannable:
    """A content that came with a commit."""

    def read(offset: int, length: int) -> bytes:
        return content[offset : offset + length]

    return Scannable(len(content), read)


def require_acceptable(reports: Mapping[str, Report]) -> None:
    """Raise `Rejected` when a content (by what it is called) is refused."""
    for name, report in reports.items():
        if report.verdict is Verdict.REFUSED:
            raise Rejected(f"{name} was not accepted: {said(report.findings)}", rule=report.findings[0].rule)


def said(findings: Iterable[Finding]) -> str:
    """The worst finding in a sentence."""
    for finding in findings:
        where = f" in {finding.where}" if finding.where else ""
        return f"{finding.rule}{where} ({finding.what})"
    return "nothing was found"
