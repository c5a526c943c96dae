"""Records as events that stand alone: an outcome is told with the access that it ends.

Rules: pure. Memory is bounded: of an access whose opening is too long ago, or was never seen (a walk
that began behind it), the outcome says only its opening's number. Nothing is invented.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Final, final

from nomoat.audit.query import Query
from nomoat.core.record import Json, RecordKind

REMEMBERED: Final = 16 * 1024
"""Openings whose outcome is still to come."""
_TOLD: Final = ("who", "on", "all", "context", "request")

ReadableRecord = Mapping[str, Json]


@final
class Events:
    """One walk's records on the way out, in their order."""

    def __init__(self) -> None:
        self._open: OrderedDict[int, ReadableRecord] = OrderedDict()

    def tell(self, records: Iterable[ReadableRecord], query: Query) -> list[ReadableRecord]:
        """Return the events that match: those of accesses that do, and of how they ended."""
        earliest, latest = query.earliest, query.latest
        return [
            event
            for record in records
            if earliest <= str((event := self._complete(record)).get("at")) <= latest and _matches(event, query)
        ]

    def _complete(self, record: ReadableRecord) -> ReadableRecord:
        number, of = record.get("n"), record.get("of")
        if isinstance(of, int):
            opening = self._open.pop(of, None)
            # An access that has an outcome was allowed; what it brought may have been refused then.
            return {**record, "decision": record.get("decision") or "allow", **(opening or {})}
        if isinstance(number, int) and record.get("kind") == RecordKind.OPENING and record.get("decision") == "allow":
            told = {name: record[name] for name in _TOLD if name in record}
            asked = record.get("asked")
            if isinstance(asked, Mapping) and "found" in asked:
                told["asked"] = {"found": asked["found"]}
            self._open[number] = told
            if len(self._open) > REMEMBERED:
                self._open.popitem(last=False)
        return record


def _matches(event: ReadableRecord, query: Query) -> bool:
    number = event.get("of", event.get("n"))
    return (
        isinstance(number, int)
        and query.matches_entry(number, str(event.get("what")), str(event.get("decision")))
        and query.matches_content(event)
        and query.matches_ending(event)
    )
