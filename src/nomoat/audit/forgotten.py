"""Statements of what was forgotten: content whose time is over, as the log says and signs.

Rules: pure but for reading one file. A statement says of each action before which time its records'
content is gone, and covers nothing of the log's own life: readers tell none of it from the statement on, blanked or not.
Without one, a blank box is damage: whoever destroys content without the log's key is found.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from nomoat.audit.checkpoint import NoteSigner, VerifierKey, verify_note
from nomoat.core.errors import Corrupt, Malformed
from nomoat.core.record import RecordKind

FORGOTTEN_FILE: Final = "forgotten"
"""The newest statement, beside the segments: a signed note (c2sp.org/signed-note)."""
_KINDS: Final = frozenset({RecordKind.OPENING, RecordKind.OUTCOME, RecordKind.COALESCED})


@dataclass(frozen=True, slots=True)
class Forgotten:
    """A statement: `before` has for each action the time (as records write it) before which content is gone."""

    before: Mapping[str, str] = field(default_factory=dict[str, str])

    def covers(self, entry: Mapping[str, object]) -> bool:
        """Whether it says that the content of the record with this leaf entry is gone."""
        # Times of one fixed width sort as text.
        return entry.get("kind") in _KINDS and str(entry.get("at")) < self.before.get(str(entry.get("what")), "")

    def explains(self, entry: Mapping[str, object], box: bytes) -> bool:
        """Whether this box is blank, and the statement covers its record."""
        return is_blank(box) and self.covers(entry)

    def joined(self, other: "Forgotten") -> "Forgotten":
        """Return a statement that covers what either does: nothing that is gone comes back."""
        names = {*self.before, *other.before}
        return Forgotten({name: max(self.before.get(name, ""), other.before.get(name, "")) for name in names})

    def sign(self, signer: NoteSigner) -> bytes:
        """Return it as a signed note."""
        lines = [f"{name} {self.before[name]}\n" for name in sorted(self.before)]
        text = "".join([_heading(signer.key.name), *lines]).encode()
        return text + b"\n" + signer.sign(text)


def is_blank(box: bytes) -> bool:
    """Whether a sealed box was overwritten: nothing but zeros is left of it."""
    return not box.strip(b"\0")


def read_forgotten(directory: Path, key: VerifierKey) -> Forgotten:
    """Return the statement beside a log; one that covers nothing when there is none.

    Raises `Corrupt` or `Malformed` when what is there was not signed by this log, `OSError` when it cannot be read.
    """
    try:
        note = (directory / FORGOTTEN_FILE).read_bytes()
    except FileNotFoundError:
        return Forgotten()
    heading, *lines = verify_note(note, key).decode().splitlines(keepends=True)
    if heading != _heading(key.name):  # a checkpoint, say: signed by the same key for something else
        raise Corrupt("the log's statement of what it forgot")
    before = dict(line.rstrip("\n").split(" ") for line in lines if line.count(" ") == 1)
    if len(before) != len(lines):
        raise Malformed("a statement of what was forgotten is an action and a time a line")
    return Forgotten(before)


def trusted_forgotten(directory: Path, key: VerifierKey) -> Forgotten:
    """Do as `read_forgotten` does; of what cannot be read or was not signed, return one that covers nothing."""
    try:
        return read_forgotten(directory, key)
    except (OSError, Malformed, Corrupt):  # what it would explain shows as damaged
        return Forgotten()


def _heading(origin: str) -> str:
    return f"{origin}/forgotten\n"
