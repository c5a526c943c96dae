"""The state's generation in the log: the record that it moved, and what the newest of them says.

Rules: pure. The state commits first and the log learns after, so the log is never ahead of the newest
state; a state that is behind the log is an older copy of it. The number lies in the sealed content,
which the leaf commits to: nobody can change it, and whoever takes the record away shortens the log.
"""

from collections.abc import Mapping
from typing import Final

from nomoat.audit.entries import SubjectKeys, open_box
from nomoat.core.errors import Corrupt, Unavailable
from nomoat.core.record import Record, RecordKind, system_record

ADVANCED: Final = "StateAdvanced"


def advanced(generation: int) -> Record:
    """The record that the state got as far as `generation`."""
    return system_record(ADVANCED, {"generation": generation})


def says_generation(entry: Mapping[str, object]) -> bool:
    """Whether the entry is of such a record."""
    return entry.get("what") == ADVANCED and entry.get("kind") == RecordKind.SYSTEM


def read_generation(origin: str, entry: Mapping[str, object], box: bytes, keys: SubjectKeys) -> int:
    """Return the generation that a record says.

    Raises `Corrupt` when its box does not open, `Unavailable` when the keys cannot be read or there is
    none for it: the keys lie in the state, and this one is older than the log itself.
    """
    key = keys.find(str(entry.get("who")))
    if key is None:
        raise Unavailable("state", "the database is not the one of this log, or far older: put the newest one back")
    generation = open_box(origin, entry, box, key).get("generation")
    if not isinstance(generation, int):
        raise Corrupt(f"the content of record {entry.get('n')}")
    return generation


def require_current(found: int, known: int) -> None:
    """Raise `Unavailable` when the state is at generation `found` and the log knows of a later one."""
    if found < known:
        raise Unavailable(
            "state",
            f"the database is an older copy: it is at generation {found}, and the log knows of {known}, so "
            "revocations, policies or declarations would be undone. Put the newest state.db back, with the "
            "state.db-wal that belongs to it if there is one; if it is lost, start over from this one with: "
            "nomoat recover DIRECTORY NAME --older-state",
        )
