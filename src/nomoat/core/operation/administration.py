"""Administering: who there is, what they may, what they did."""

from dataclasses import dataclass, field
from typing import ClassVar

from nomoat.core.operation.base import Operation


@dataclass(frozen=True, slots=True)
class Enroll(Operation):
    """Make a one-time code for a declared person or workload (`person:NAME`, `workload:NAME`)."""

    subject: str

    @property
    def requested(self) -> str:
        return self.subject


@dataclass(frozen=True, slots=True)
class Revoke(Operation):
    """End a `person`, `workload`, `device` or `session` (`kind`) called `name`, everywhere, now."""

    priority: ClassVar[bool] = True
    kind: str
    name: str

    @property
    def requested(self) -> str:
        return f"{self.kind}:{self.name}"


@dataclass(frozen=True, slots=True)
class ApplyDirectory(Operation):
    """Declare people, groups, workloads, repositories and labels; only plan it when `dry_run`.

    `document` is the TOML text; `base` the directory generation that a plan was made against
    (None: any).
    """

    priority: ClassVar[bool] = True
    document: str = field(repr=False)
    dry_run: bool
    base: int | None = None


@dataclass(frozen=True, slots=True)
class ApplyPolicy(Operation):
    """Replace the active policies; only plan it when `dry_run`.

    `files` are (name, Cedar text) pairs; `base` the digest of the set that the plan was made
    against ('' : any).
    """

    priority: ClassVar[bool] = True
    files: tuple[tuple[str, str], ...] = field(repr=False)
    dry_run: bool
    base: str = ""


@dataclass(frozen=True, slots=True)
class ReadStatus(Operation):
    """See how the gateway itself is: counts, sizes and times, and no names."""


@dataclass(frozen=True, slots=True)
class ReadLog(Operation):
    """Read records, newest `limit` matching `query` after index `after` (-1: from the start).

    `scan` reads the log itself, every record of it, and does not ask the index.
    """

    query: str
    after: int
    limit: int
    scan: bool = False

    @property
    def requested(self) -> str:
        return self.query


@dataclass(frozen=True, slots=True)
class ExportLog(Operation):
    """Take away every record matching `query` after index `after` (-1: from the start) in one `form`at."""

    form: str
    query: str
    after: int

    @property
    def requested(self) -> str:
        return f"{self.form}: {self.query}"


@dataclass(frozen=True, slots=True)
class ReportLog(Operation):
    """Count the accesses matching `query` by one or a few of their properties (`by`, with commas), `limit` rows.

    With `wait`, not before every record of now can be counted.
    """

    by: str
    query: str
    limit: int
    wait: bool = False

    @property
    def requested(self) -> str:
        return f"by {self.by}: {self.query}"


@dataclass(frozen=True, slots=True)
class EraseContent(Operation):
    """Destroy what every record of a `subject` (`person:NAME`, `workload:NAME`) says; what proves them stays."""

    priority: ClassVar[bool] = True
    subject: str

    @property
    def requested(self) -> str:
        return self.subject
