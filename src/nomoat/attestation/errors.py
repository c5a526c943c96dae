"""What is wrong with a signature, in words that name the thing.

Corrupt
└── NotVerified     the signature, the signer or the statement is not what was demanded
    └── FilesDiffer     the files are not those that were signed; says which
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from nomoat.core.errors import Corrupt

SHOWN = 5


class Reason(StrEnum):
    """Why something does not verify, for programs."""

    UNSIGNED = "unsigned"  # there is no signature
    MALFORMED = "malformed"  # it does not parse
    SIGNATURE = "signature"  # it is not by the key that it names
    SIGNER = "signer"  # it is by somebody else than who was demanded
    EXPIRED = "expired"  # the certificate was not valid at that time
    STATEMENT = "statement"  # it is about something else, or says no
    FILES = "files"  # the files are not those that were signed


class NotVerified(Corrupt):
    """It does not verify; the message is the whole sentence."""

    def __init__(self, sentence: str, reason: Reason) -> None:
        super().__init__("the signature")
        self.args = (sentence,)
        self.sentence = sentence
        self.reason = reason


class Fault(StrEnum):
    """How a file differs from what was signed."""

    MISSING = "missing"  # signed, and not there
    UNSIGNED = "unsigned"  # there, and not signed
    CHANGED = "changed"  # there with another content


@dataclass(frozen=True, slots=True)
class Difference:
    """One file that is not as it was signed."""

    path: str
    fault: Fault

    def __str__(self) -> str:
        return f"{self.path!r} is {self.fault}"


class FilesDiffer(NotVerified):
    """Files are missing, changed, or there without being signed."""

    def __init__(self, differences: Sequence[Difference]) -> None:
        shown = ", ".join(str(each) for each in differences[:SHOWN])
        more = f", and {len(differences) - SHOWN} more" if len(differences) > SHOWN else ""
        super().__init__(f"these are not the files that were signed: {shown}{more}", Reason.FILES)
        self.differences = tuple(differences)
