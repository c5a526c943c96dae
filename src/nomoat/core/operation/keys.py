"""The keys that everything at rest is encrypted by: seeing what wraps them, and having it done anew."""

from dataclasses import dataclass

from nomoat.core.operation.base import Operation


@dataclass(frozen=True, slots=True)
class ReadKeys(Operation):
    """See which versions of the key-encryption key there are, and how many keys each wraps. No key is told."""


@dataclass(frozen=True, slots=True)
class RotateKeys(Operation):
    """Make a new version of the key-encryption key, and wrap everything by it while serving."""
