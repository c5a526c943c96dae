"""Records as people read them: entry and sealed content in one, or what became of the content.

Rules: content shows only if it opens beside its entry and matches the commitment. What does not is
shown as forgotten when its time is over, as erased when its subject was (and the box is as it was
written), as damaged otherwise, and is never left out. So a lost key does not pass for an erasure, nor a returned subject's new key for damage.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Final, final

from nomoat.audit.entries import Pseudonyms, SubjectKeys, open_box
from nomoat.audit.forgotten import Forgotten
from nomoat.core.errors import Corrupt
from nomoat.core.record import SYSTEM, Json

UNAUTHENTICATED: Final = "unauthenticated"
_CACHED_KEYS: Final = 1024
_SHOWN: Final = ("n", "at", "enforcer", "kind", "what", "decision", "of")

Fields = Mapping[str, Json]


def nameless(pseudonyms: Pseudonyms) -> Mapping[str, str]:
    """Return the subjects that have no name in the content: nobody was there, or nobody but the log."""
    return {pseudonyms.subject(kind): kind for kind in (SYSTEM, UNAUTHENTICATED)}


@final
class Opener:
    """Opens the records of one log for one reading: it keeps the keys that it needed. Not safe for threads."""

    def __init__(
        self,
        origin: str,
        keys: SubjectKeys,
        nobody: Mapping[str, str],
        forgotten: Callable[[], Forgotten] = Forgotten,
    ) -> None:
        self._origin = origin
        self._read_forgotten = forgotten
        self._forgotten = forgotten()
        self._nameless = nobody
        # A few subjects have nearly all records; their keys are fetched once.
        self._find_key = lru_cache(maxsize=_CACHED_KEYS)(keys.find)
        self._find_erasure = lru_cache(maxsize=_CACHED_KEYS)(keys.erased)

    def readable(self, fields: Fields, box: bytes) -> dict[str, Json]:
        """Return a record as people read it. Raises `Unavailable` when the keys cannot be read."""
        entry = {name: value for name in _SHOWN if (value := fields.get(name)) is not None}
        pseudonym = str(fields["who"])
        nobody: dict[str, Json] = {"kind": self._nameless.get(pseudonym, ""), "pseudonym": pseudonym}
        # What the tree proves comes before what the content says.
        return entry | {"who": nobody} | self.content(fields, box) | entry

    def content(self, fields: Fields, box: bytes) -> dict[str, Json]:
        """Return what the box holds, or what happened to it."""
        if self._forgotten.covers(fields):
            return {"forgotten": True}
        pseudonym = str(fields["who"])
        key = self._find_key(pseudonym)
        try:
            if key is not None:
                return dict(open_box(self._origin, fields, box, key))
            lost = f"the key of record {fields.get('n')}"
        except Corrupt as error:
            lost = error.what
        # The tree covers the box's hash: one that is as it was written, and does not open, was sealed with another key.
        record = self._find_erasure(pseudonym) if sha256(box).hexdigest() == fields.get("sealed") else None
        if record is not None:
            return {"erased": True, "erased_by": record}
        return {"damaged": f"{lost} {'is missing' if key is None else 'failed verification'}"}

    def renew(self) -> None:
        """Look anew at what was erased and forgotten: a subject may have been erased meanwhile, or be back."""
        self._forgotten = self._read_forgotten()
        self._find_key.cache_clear()
        self._find_erasure.cache_clear()
