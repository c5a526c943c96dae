"""The rules of a `.gitignore` that comes with an upload: which files the client is told to leave out.

Rules: after gitignore(5), without character-class ranges of its own: the last rule that matches holds,
and nothing in an ignored folder can be brought back. This spares an author from sending what they
meant to keep; it is no protection against one who means to send it.
"""

import re
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache
from typing import Final

from nomoat.core.errors import TooLarge
from nomoat.resources.repositories.labels import matches

MOST_RULES: Final = 256
LONGEST_TEXT: Final = 64 * 1024  # characters


@dataclass(frozen=True, slots=True)
class _Rule:
    """One line. Unanchored, `glob` is about the last segment of a path; anchored, about all of it."""

    glob: str
    anchored: bool
    folders_only: bool
    brings_back: bool

    def matches(self, path: str, *, is_folder: bool) -> bool:
        if self.folders_only and not is_folder:
            return False
        if self.anchored:
            return matches(self.glob, path)
        return _compiled(self.glob).match(path.rpartition("/")[2]) is not None


class IgnoreRules:
    """The rules of one `.gitignore`. Raises `TooLarge` when there are too many."""

    def __init__(self, text: str) -> None:
        lines = [line for line in text[: LONGEST_TEXT + 1].splitlines() if line.strip() and not line.startswith("#")]
        if len(text) > LONGEST_TEXT or len(lines) > MOST_RULES:
            raise TooLarge(f"a .gitignore has at most {MOST_RULES} rules here")
        self._rules = [_parse(line) for line in lines]
        self._folders: dict[str, bool] = {"": False}

    def ignores(self, path: str) -> bool:
        """Whether the file at `path` is left out."""
        folder = path.rpartition("/")[0]
        return self._ignores_folder(folder) or self._decide(path, is_folder=False)

    def _ignores_folder(self, folder: str) -> bool:
        if folder not in self._folders:
            above = self._ignores_folder(folder.rpartition("/")[0])
            self._folders[folder] = above or self._decide(folder, is_folder=True)
        return self._folders[folder]

    def _decide(self, path: str, *, is_folder: bool) -> bool:
        for rule in reversed(self._rules):
            if rule.matches(path, is_folder=is_folder):
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
    return _Rule(glob, anchored, folders_only, brings_back)


@lru_cache(maxsize=1024)
def _compiled(glob: str) -> re.Pattern[str]:
    return re.compile(translate(glob))
