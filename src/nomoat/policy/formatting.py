"""Formatting: each policy as Cedar's own formatter writes it, what stands between them left alone.

Rules: what is written means the same, or nothing is: the policies are compared before it is returned.
Comments of a file stay where they are; Cedar's formatter alone would glue a file's heading to its first
policy.
"""

import re
from typing import Final

from nomoat.core.errors import Malformed
from nomoat.policy import cedar
from nomoat.policy.source import clauses

_BLANKS: Final = re.compile(r"\n\s*\n")


def format_file(file: str, text: str) -> str:
    """Format one file. Raises `Malformed` with the position for what does not parse."""
    parts: list[str] = []
    done = 0
    for clause in clauses(file, text):
        start = text.index(clause.text, done)
        try:
            formatted = cedar.format_text(clause.text)
        except ValueError as error:
            raise Malformed(f"{clause.position(str(error))}: {error!s:.400}") from None
        parts += [_between(text[done:start]), formatted.rstrip()]
        done = start + len(clause.text)
    written = ("".join(parts).lstrip("\n") + _between(text[done:])).rstrip() + "\n"
    try:
        same = cedar.parse_text(written) == cedar.parse_text(text)
    except ValueError as error:
        raise Malformed(f"{file}: {error!s:.400}") from None
    if not same:
        raise Malformed(f"{file}: formatting would change what it says; please report it")
    return written


def _between(text: str) -> str:
    """What stands between two policies: at most one blank line in a row, no spaces at the ends of lines."""
    lines = "\n".join(line.rstrip() for line in text.split("\n"))
    return _BLANKS.sub("\n\n", lines) if text.strip() or "\n" in text else "\n"
