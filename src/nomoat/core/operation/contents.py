"""Contents of prompts and answers, where they are kept: reading them."""

from dataclasses import dataclass

from nomoat.core.operation.base import Operation


@dataclass(frozen=True, slots=True)
class ReadContents(Operation):
    """Read what was asked of a model, and what it said, in the access whose opening is record `number`."""

    number: int

    @property
    def requested(self) -> str:
        return f"contents of record {self.number}"
