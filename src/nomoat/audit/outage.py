"""Outages: the time in which the log could not take every record, and what was refused in it.

Rules: pure. An outage ends as one SYSTEM record, written before anything else is accepted.
"""

from dataclasses import dataclass
from enum import Enum

from nomoat.core.record import Json, Record, system_record


class Mode(Enum):
    """What the log takes. With a full disk, closings and priority records live on the reserve."""

    NORMAL = "everything"
    RESERVED = "outcomes and priority records"
    DOWN = "nothing"


@dataclass(slots=True)
class Outage:
    """Since when (a record's time), which part failed and how, and how many records were refused.

    `lost` counts outcomes for which memory had no room; their accesses close as interrupted at the
    next start.
    """

    part: str
    reason: str
    since: str
    refused: int = 0
    lost: int = 0

    def record(self) -> Record:
        """The record that the outage leaves."""
        content: dict[str, Json] = {
            "part": self.part,
            "why": self.reason,
            "since": self.since,
            "refused": self.refused,
            "outcomes_lost": self.lost,
        }
        return system_record("LogOutage", content)
