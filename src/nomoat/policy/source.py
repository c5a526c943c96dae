"""Cedar text, cut into its policies with their positions, so that a mistake can be pointed at.

Rules: Cedar's own parser decides what a policy is; this only finds where each one lies. The two must
agree on the number of policies (`compilation.py` checks), so a disagreement refuses.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

# What can hide a semicolon: a string with escapes, a comment to the end of the line.
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\r\n]*|;|\s+|[^\s;"/]+|.', re.DOTALL)
_QUOTED: Final = re.compile(r"`([^`]+)`")


@dataclass(frozen=True, slots=True)
class Clause:
    """The text of one policy, and where it starts in its file (line and column from 1)."""

    file: str
    text: str
    line: int
    column: int

    def position(self, message: str = "") -> str:
        """`FILE:LINE:COLUMN` of what `message` quotes, if that stands in the policy exactly once."""
        for quoted in _QUOTED.findall(message):
            places = [found.start() for found in re.finditer(_whole(quoted), self.text)]
            if len(places) == 1:
                before = self.text[: places[0]]
                lines = before.count("\n")
                column = len(before) - before.rfind("\n") if lines else self.column + len(before)
                return f"{self.file}:{self.line + lines}:{column}"
        return f"{self.file}:{self.line}:{self.column}"


def clauses(file: str, text: str) -> Iterator[Clause]:
    """Cut a file into its policies; what follows the last `;` is one more, unless it is blank."""
    line = column = 1
    start: tuple[int, int, int] | None = None
    for token in _TOKEN.finditer(text):
        found = token[0]
        if start is None and not found.isspace() and not found.startswith("//"):
            start = (token.start(), line, column)
        if found == ";" and start is not None:
            yield Clause(file, text[start[0] : token.end()], start[1], start[2])
            start = None
        newlines = found.count("\n")
        line += newlines
        column = len(found) - found.rfind("\n") if newlines else column + len(found)
    if start is not None:
        yield Clause(file, text[start[0] :], start[1], start[2])


def _whole(word: str) -> str:
    """A pattern for `word` that does not match inside a longer name."""
    return rf"(?<!\w){re.escape(word)}(?!\w)"
