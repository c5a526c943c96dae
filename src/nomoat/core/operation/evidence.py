"""The log as evidence: taking its provable part away, proving a record."""

from dataclasses import dataclass

from nomoat.core.operation.base import Operation


@dataclass(frozen=True, slots=True)
class ReadEntries(Operation):
    """Read the provable entries of bundle `index` (256 records each), its first `width`."""

    index: int
    width: int

    @property
    def requested(self) -> str:
        return f"entries/{self.index}"


@dataclass(frozen=True, slots=True)
class ProveOwnRecord(Operation):
    """Prove that record `number`, of the caller's own access, is in the log; nothing of its content is disclosed."""

    number: int

    @property
    def requested(self) -> str:
        return f"record {self.number}"


@dataclass(frozen=True, slots=True)
class ProveRecord(Operation):
    """Prove that record `number` is in the log; with `disclose`, also what opens its readable content."""

    number: int
    disclose: bool

    @property
    def requested(self) -> str:
        return f"record {self.number}"
