"""What a verification found: counts, gaps, and problems that name records.

Rules: pure. No problem and no kept checkpoint does not mean complete: an intact log whose newest
records were cut off, or a whole older copy, looks the same from inside. The status says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from nomoat.audit.tree import Head


class Fault(StrEnum):
    """What kind of problem it is."""

    DAMAGED = "damaged"  # a frame's bytes are not what was written (torn, rotten, flipped)
    ALTERED = "altered"  # the record is not the one that was signed, though its frame is whole
    CONTENT = "content"  # the sealed content is not the one that the record commits to
    MISSING = "missing"  # records that a signed checkpoint covers are not there
    DUPLICATED = "duplicated"  # a record is there twice
    REORDERED = "reordered"  # records stand in another order than that of their numbers
    FOREIGN = "foreign"  # a record or segment that is not of this place or log
    CHECKPOINT = "checkpoint"  # a checkpoint is not signed by this log's key, or contradicts the records
    HEADER = "header"  # a segment does not start with what came before it
    ROLLED_BACK = "rolled back"  # a kept checkpoint covers more records than there are
    FORKED = "forked"  # a kept checkpoint was signed over other records
    TIME = "time"  # time goes back between records by more than a clock may
    UNWITNESSED = "unwitnessed"  # no checkpoint was cosigned by as many witnesses as have to
    KEPT = "kept"  # a kept checkpoint does not verify, or cannot be compared


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding. `first` to `last` are record numbers: the smallest range known to hold it."""

    fault: Fault
    first: int
    last: int
    detail: str

    def __str__(self) -> str:
        where = f"record {self.first}" if self.first == self.last else f"records {self.first} to {self.last}"
        return f"{where}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Report:
    """The result of verifying one directory.

    `head` is the tree over the records that a checkpoint of the log covers and that check out;
    `unsigned` counts records behind it (never acknowledged), `unfinished` the bytes of a write that
    did not finish. `open` counts accesses without an outcome. `proven` is the size of the largest
    kept checkpoint that is a prefix of this log, `witnessed` that of the largest one that enough
    of the given witnesses cosigned; None when there was none. `forgotten` counts records whose content was blanked
    because its time was over, as the log's signed statement says.
    """

    origin: str
    head: Head
    records: int
    segments: int
    checkpoints: int
    unsigned: int
    unfinished: int
    open: int
    oldest: str
    newest: str
    problems: Sequence[Problem]
    proven: int | None
    witnessed: int | None
    forgotten: int = 0

    @property
    def gaps(self) -> Sequence[tuple[int, int]]:
        """Ranges (first, last) of records that are missing."""
        return [(problem.first, problem.last) for problem in self.problems if problem.fault is Fault.MISSING]

    @property
    def first_bad(self) -> Problem | None:
        """The problem with the lowest record number."""
        return min(self.problems, key=lambda problem: (problem.first, problem.last), default=None)

    @property
    def consistent(self) -> bool:
        """Whether nothing contradicts anything."""
        return not self.problems

    @property
    def status(self) -> str:
        """The result in words."""
        if not self.consistent:
            return f"not verified: {self.first_bad}"
        if self.proven is None:
            return "consistent, completeness unproven"
        return f"verified, complete up to the kept checkpoint of {self.proven} records"
