"""Texts that follow each other in a request: what was split over messages is looked at together.

Rules: texts of one role are a run, whatever others say between them; so are those of all roles. A run is looked at
in parts that stay the same when messages are added, so that what was looked at before need not be again; no more of it is
held than the next part has.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final, cast, final

from nomoat.content.texts import Text, texts_of, units_of

LONGEST: Final = 2_000  # characters of a text that is looked at with others; what is longer says enough by itself
STRIDE: Final = 24  # texts after which a part begins; each has twice as many
PROTOCOL: Final = frozenset({"type", "role", "id", "name", "model", "tool_call_id", "tool_use_id", "call_id", "status"})
"""Keys of what protocols say beside what somebody wrote."""
MOST_ROLES: Final = 16  # that have a run of their own
BETWEEN: Final = 1024  # texts and messages after which others run
LONG_KEY: Final = 24  # characters of a key that may be more than a name
WORD: Final = re.compile(r"[\w.:/@+-]{0,64}")
"""What stands in the place of a word of a protocol, and is one; anything else may be more."""


def is_said(text: Text) -> bool:
    """Whether a text is what somebody wrote, and not a word of the protocol that it came by."""
    if text.path is None:
        return len(text.text) > LONG_KEY
    return not text.path or text.path[-1] not in PROTOCOL or not WORD.fullmatch(text.text)


class _Run:
    """Texts of one or of several roles that follow each other, of which no more is held than the next part has."""

    def __init__(self) -> None:
        self._texts: list[Text] = []
        self._roles: list[object] = []
        self._parts = 0

    def add(self, text: Text, role: object) -> tuple[Text, ...]:
        """The part that is full with this text; nothing where none is."""
        self._texts.append(text)
        self._roles.append(role)
        if len(self._texts) < 2 * STRIDE:
            return ()
        part = self._part()
        del self._texts[:STRIDE], self._roles[:STRIDE]
        self._parts += 1
        return part

    def rest(self) -> tuple[Text, ...]:
        """What no part had yet, with what came before it."""
        return self._part() if len(self._texts) > (STRIDE if self._parts else 1) else ()

    def _part(self) -> tuple[Text, ...]:
        return tuple(self._texts)


@final
class _Dialogue(_Run):
    """Texts of all roles: what they say in turn. Where one says all, it is that one's run."""

    def _part(self) -> tuple[Text, ...]:
        return super()._part() if len(set(self._roles)) > 1 else ()


def runs_of(body: Mapping[str, object]) -> Iterator[tuple[Text, ...]]:
    """The parts of each run of short texts of a request that has more than one; () now and then, for others to run."""
    runs: dict[tuple[object, object], _Run] = {}
    roles: set[object] = set()
    seen = 0
    for path, unit in units_of(body):
        if len(path) < 2:
            continue
        seen += 1
        if seen > BETWEEN:
            seen = 0
            yield ()
        role = _role(unit)
        if role not in roles:
            role = role if len(roles) < MOST_ROLES else ""
            roles.add(role)
        own = runs.setdefault((path[0], role), _Run())
        all_of = runs.setdefault((path[0], None), _Dialogue())
        for text in texts_of(unit):
            seen += 1
            if seen > BETWEEN:
                seen = 0
                yield ()
            if len(text.text) <= LONGEST and is_said(text):
                yield from filter(None, (own.add(text, role), all_of.add(text, role)))
    for run in runs.values():
        yield run.rest()


def _role(unit: object) -> object:
    role = cast("dict[str, object]", unit).get("role") if isinstance(unit, dict) else ""
    return role if isinstance(role, str) else ""
