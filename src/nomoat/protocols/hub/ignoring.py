"""The rules of a `.gitignore` that comes with an upload: which files the client is told to leave out.

Rules: after gitignore(5), without character-class ranges of its own: the last rule that matches holds,
and nothing in an ignored folder can be brought back. This spares an author from sending what they
meant to keep; it is no protection against one who means to send it.
Both rules and paths are the caller's, and nobody has decided yet what that caller may do: the work is
counted and has an end, and nothing of the rules outlives their request.
"""

import re
from dataclasses import dataclass
from fnmatch import translate
from typing import Final

from nomoat.core.errors import TooLarge

MOST_RULES: Final = 256
LONGEST_TEXT: Final = 64 * 1024  # characters
LONGEST_RULE: Final = 512  # characters: no path is longer
MOST_GLOBS: Final = 1024  # segments of all rules together
MOST_STEPS: Final = 400_000  # comparisons of a segment with a glob, for all files of one request together


@dataclass(frozen=True, slots=True)
class _Rule:
    """One line. Unanchored, `globs` is about the last segment of a path; anchored, about all of them.

    A glob is a pattern for one segment, or None (`**`) for any number of them.
    """

    globs: tuple[re.Pattern[str] | None, ...]
    anchored: bool
    folders_only: bool
    brings_back: bool

    def cost(self, parts: int) -> int:
        """The most comparisons that a path of so many segments can take."""
        if not self.anchored:
            return 1
        return len(self.globs) * parts if None in self.globs else len(self.globs)

    def matches(self, parts: list[str], *, is_folder: bool) -> bool:
        if self.folders_only and not is_folder:
            return False
        return _matches(self.globs, parts if self.anchored else parts[-1:])


class IgnoreRules:
    """The rules of one `.gitignore`. Raises `TooLarge` when they are too many, or too long."""

    def __init__(self, text: str) -> None:
        lines = [line for line in text[: LONGEST_TEXT + 1].splitlines() if line.strip() and not line.startswith("#")]
        if len(text) > LONGEST_TEXT or len(lines) > MOST_RULES or any(len(line) > LONGEST_RULE for line in lines):
            raise TooLarge(f"a .gitignore has at most {MOST_RULES} rules of {LONGEST_RULE} characters here")
        if sum(line.count("/") + 1 for line in lines) > MOST_GLOBS:
            raise TooLarge(f"the rules of a .gitignore have at most {MOST_GLOBS} segments here")
        self._rules = [_parse(line) for line in lines]
        self._folders: dict[str, bool] = {"": False}
        self._steps = MOST_STEPS

    def ignores(self, path: str) -> bool:
        """Whether the file at `path` is left out. Raises `TooLarge` when finding that out takes too much work."""
        folder = path.rpartition("/")[0]
        return self._ignores_folder(folder) or self._decide(path, is_folder=False)

    def _ignores_folder(self, folder: str) -> bool:
        if folder not in self._folders:
            above = self._ignores_folder(folder.rpartition("/")[0])
            self._folders[folder] = above or self._decide(folder, is_folder=True)
        return self._folders[folder]

    def _decide(self, path: str, *, is_folder: bool) -> bool:
        parts = path.split("/")
        for rule in reversed(self._rules):
            self._steps -= rule.cost(len(parts))
            if self._steps < 0:
                raise TooLarge("the rules of this .gitignore take too much work on these paths; send fewer at once")
            if rule.matches(parts, is_folder=is_folder):
                return not rule.brings_back
        return False


def _parse(line: str) -> _Rule:
    line = re.sub(r"(?<!\\) +$", "", line)
    brings_back = line.startswith("!")
    pattern = line[1:] if brings_back else line
    folders_only = pattern.endswith("/")
    pattern = pattern.rstrip("/")
    anchored = "/" in pattern
    # fnmatch has no backslash of its own: what it would take for a wildcard goes into brackets.
    glob = re.sub(r"\\([*?[])", r"[\1]", pattern.removeprefix("/")).replace("\\", "")
    globs = tuple(None if part == "**" and anchored else re.compile(translate(part)) for part in glob.split("/"))
    return _Rule(globs, anchored, folders_only, brings_back)


def _matches(globs: tuple[re.Pattern[str] | None, ...], parts: list[str]) -> bool:
    """As `labels.matches`, whose patterns are kept for good: linear in globs times parts."""
    if None not in globs and len(globs) != len(parts):
        return False
    reached = [True] + [False] * len(parts)
    for position, glob in enumerate(globs):
        if glob is not None:
            reached = [False] + [
                before and glob.match(part) is not None for before, part in zip(reached, parts, strict=False)
            ]
        elif True in reached:
            first = reached.index(True) + (position == len(globs) - 1)
            reached = [place >= first for place in range(len(reached))]
    return reached[-1]
