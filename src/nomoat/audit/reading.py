"""Reading the log with the keys: records as people read them, newest first, within a limit.

Rules: reads only what is durable. Content shows only if it opens beside its entry and matches the
commitment; what does not is shown as damaged, what has no key any more as erased, never left out.
Memory holds one segment and the results. Reading changes nothing; whoever reads is recorded elsewhere.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, cast, final

import orjson

from nomoat.audit.entries import Pseudonyms, SubjectKeys, open_box
from nomoat.audit.outage import SYSTEM
from nomoat.audit.query import Query
from nomoat.audit.segments import FrameKind, iterate_frames, list_segments, read_header
from nomoat.core.errors import Corrupt
from nomoat.core.record import Json, RecordKind

UNAUTHENTICATED: Final = "unauthenticated"
_CLOCK_TOLERANCE_S: Final = 5

Fields = Mapping[str, Json]


class _Found(NamedTuple):
    """A record that matches, and the outcome of its access once that is seen."""

    fields: Fields
    content: Fields


@dataclass(slots=True)
class _Search:
    """One search under way: from the newest segment back."""

    query: Query
    after: int
    size: int
    outcomes: dict[int, dict[str, Json]]


@final
class Reader:
    """Reads one log's directory; any thread may use it.

    `origin` names the log; `pseudonyms` and `keys` are those it is written with.
    """

    def __init__(self, directory: Path, origin: str, pseudonyms: Pseudonyms, keys: SubjectKeys) -> None:
        self._directory = directory
        self._origin = origin
        self._keys = keys
        # These subjects have no name in the content: nobody was there, or nobody but the log.
        self._nameless = {pseudonyms.subject(kind): kind for kind in (SYSTEM, UNAUTHENTICATED)}

    def search(self, query: Query, *, after: int, limit: int, size: int) -> list[dict[str, Json]]:
        """Return the newest `limit` records that match, oldest of them first.

        Only records after number `after` and below `size` (the log's durable size) count. How an
        access ended stands in its opening's record, under `outcome`; outcomes are no records of
        their own here unless asked for by number. Raises `Unavailable` when the keys cannot be read.
        """
        search = _Search(query, after, size, {})
        found: list[dict[str, Json]] = []
        for _, path in reversed(list_segments(self._directory)):
            data = path.read_bytes()
            header, start = read_header(data)
            found = self._search_segment(search, data, start, limit - len(found)) + found
            reached = header.frontier.size
            older = header.latest / 1000 + _CLOCK_TOLERANCE_S
            if len(found) >= limit or reached <= after + 1 or older < query.since:
                break
            if query.record is not None and reached <= query.record:
                break
        return found

    def _search_segment(self, search: _Search, data: bytes, start: int, limit: int) -> list[dict[str, Json]]:
        found: deque[dict[str, Json]] = deque(maxlen=limit)
        for frame in iterate_frames(data, start):
            if frame.kind != FrameKind.RECORD:
                continue
            fields = cast("Fields", orjson.loads(frame.entry))
            number, of = fields["n"], fields.get("of")
            if not isinstance(number, int) or not search.after < number < search.size:
                continue
    ...
