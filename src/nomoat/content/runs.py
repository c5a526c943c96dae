"""Texts that follow each other in a request: what was split over messages is looked at together.

Rules: texts of one role are a run, whatever others say between them. A run is looked at in parts that stay the same when
messages are added, so that what was looked at before need not be again.
"""

from collections.abc import Iterator, Mapping
from typing import Final, cast

from nomoat.content.texts import Text, texts_of, units_of

LONGEST: Final = 2_000  # characters of a text that is looked at with others; what is longer says enough by itself
STRIDE: Final = 24  # texts after which a part begins; each has twice as many
PROTOCOL: Final = frozenset({"type", "role", "id", "name", "model", "tool_call_id", "tool_use_id", "call_id", "status"})
"""Keys of what protocols say beside what somebody wrote."""
LONG_KEY: Final = 24  # characters of a key that may be more than a name
LONG_WORD: Final = 64  # characters of what stands in the place of a word of a protocol, and may be more


def is_said(text: Text) -> bool:
    """Whether a text is what somebody wrote, and not a word of the protocol that it came by."""
    if text.path is None:
        return len(text.text) > LONG_KEY
    return not text.path or text.path[-1] not in PROTOCOL or len(text.text) > LONG_WORD


def runs_of(body: Mapping[str, object]) -> Iterator[tuple[Text, ...]]:
    """The parts of each run of short texts of a request that has more than one."""
    runs: dict[tuple[object, object], list[Text]] = {}
    for path, unit in units_of(body):
        if len(path) < 2:
            continue
        run = runs.setdefault((path[0], _role(unit)), [])
        run += [text for text in texts_of(unit) if len(text.text) <= LONGEST and is_said(text)]
    for run in runs.values():
        if len(run) > 1:
            for start in range(0, max(1, len(run) - STRIDE), STRIDE):
                yield tuple(run[start : start + 2 * STRIDE])


def _role(unit: object) -> object:
    role = cast("dict[str, object]", unit).get("role") if isinstance(unit, dict) else ""
    return role if isinstance(role, str) else ""
