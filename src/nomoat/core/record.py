"""Records: what the log keeps of an access, and the receipt that proves it was kept.

Rules: the readable content is sealed; the provable leaf holds pseudonyms and a salted commitment.
No secret, capability URL or query string ever enters a record.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple, TypeAlias

SYSTEM: Final = "system"
"""The subject of what the gateway itself did."""
REFUSED: Final = "refused"
"""How an allowed access ends whose content is not accepted: its outcome is a refusal too."""

Json: TypeAlias = "str | int | bool | Sequence[Json] | Mapping[str, Json] | None"


class RecordKind(StrEnum):
    """What a record is."""

    OPENING = "opening"  # a decision: durable before anything is served
    OUTCOME = "outcome"  # how an allowed access ended; names its opening
    COALESCED = "coalesced"  # many unauthenticated refusals of one source, counted
    SYSTEM = "system"  # start, stop, recovery, refusals while the log could not write


class Record(NamedTuple):
    """One record before it is sealed.

    `subject` (`person:NAME`, `workload:NAME`, `unauthenticated`, `system`) and `on` become
    pseudonyms in the leaf; `what` and `decision` (`allow`, `deny`, '') stay readable there; an outcome
    has `deny` where a content was refused.
    `content` is the readable part. `of` is the index of the opening that an outcome closes.
    `priority` records may use the reserved space of a full disk.
    """

    kind: RecordKind
    subject: str
    what: str
    on: str
    decision: str
    content: Mapping[str, Json]
    of: int | None = None
    priority: bool = False


def system_record(what: str, content: Mapping[str, Json]) -> Record:
    """The record of something that the gateway itself did."""
    body: dict[str, Json] = {"who": {"kind": SYSTEM}, "what": what, **content}
    return Record(RecordKind.SYSTEM, SYSTEM, what, on="", decision="", content=body, priority=True)


@dataclass(frozen=True, slots=True)
class Receipt:
    """Proof of keeping: the record's index in the log and its leaf hash (32 bytes)."""

    index: int
    leaf: bytes
