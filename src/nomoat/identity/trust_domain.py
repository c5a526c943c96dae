"""The trust domain and its SPIFFE IDs: who a certificate or token speaks of, as one exact string.

Rules: building and parsing are inverse, so each caller has exactly one ID and each accepted ID one
caller. A path segment of a SPIFFE ID holds only letters, digits, '.', '-' and '_' (SPIFFE ID, section
2.2), and people are often called by an e-mail address: '@' is written `_40` and '+' is written `_2b`
(and a '_' that could be mistaken for the start of one of these is written `_5f`).
"""

import re
from dataclasses import dataclass
from typing import Final

from nomoat.core.errors import Malformed, Unauthenticated
from nomoat.core.names import parse_subject_name, parse_trust_domain
from nomoat.core.principal import PrincipalKind

LONGEST_ID: Final = 2048  # bytes; SPIFFE ID, section 2.3

_FORM: Final = re.compile(r"spiffe://([a-z0-9._-]{1,255})((?:/[A-Za-z0-9._-]+)*)")
_DEVICE: Final = re.compile(r"d-[a-z2-7]{16}")
_NEEDS_ESCAPE: Final = re.compile(r"[@+]|_(?=40|2b|5f)")
_ESCAPED: Final = re.compile(r"_(40|2b|5f)")


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a SPIFFE ID names: a workload, a person, or one device of a person (`device` not '')."""

    kind: PrincipalKind
    name: str
    device: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


@dataclass(frozen=True, slots=True)
class TrustDomain:
    """A trust domain; `name` is its lower-case name. Raises `Malformed` for any other name."""

    name: str

    def __post_init__(self) -> None:
        parse_trust_domain(self.name)

    @property
    def id(self) -> str:
        """The domain's own SPIFFE ID: the CA's name, the issuer and the audience of access tokens."""
        return f"spiffe://{self.name}"

    def spiffe_id(self, subject: Subject) -> str:
        """Build the SPIFFE ID of `subject`; raise `Malformed` for a name that is not one."""
        name = _NEEDS_ESCAPE.sub(lambda match: f"_{ord(match[0]):02x}", parse_subject_name(subject.name))
        if subject.kind is PrincipalKind.WORKLOAD:
            return f"{self.id}/{name}"
        if not subject.device:
            return f"{self.id}/person/{name}"
        if not _DEVICE.fullmatch(subject.device):
            raise Malformed("a device is called d- and 16 characters of a-z and 2-7")
        return f"{self.id}/person/{name}/device/{subject.device}"

    def parse(self, text: str) -> Subject:
        """Parse a SPIFFE ID of this trust domain.

        Raises `Unauthenticated`: `wrong-trust-domain` for another domain's ID, `malformed` for what
        is no ID or none that this domain gives out.
        """
        form = _FORM.fullmatch(text) if len(text) <= LONGEST_ID else None
        if form is None:
            raise Unauthenticated("the credential does not carry a SPIFFE ID", kind="malformed")
        if form[1] != self.name:
            raise Unauthenticated("the credential is of another trust domain", kind="wrong-trust-domain")
        match form[2].split("/")[1:]:
            case [name]:
                subject = Subject(PrincipalKind.WORKLOAD, _unescape(name))
            case ["person", name]:
                subject = Subject(PrincipalKind.PERSON, _unescape(name))
            case ["person", name, "device", device]:
                subject = Subject(PrincipalKind.PERSON, _unescape(name), device)
            case _:
                raise Unauthenticated("the SPIFFE ID names neither a workload nor a person", kind="malformed")
        try:
            canonical = self.spiffe_id(subject)
        except Malformed as error:
            raise Unauthenticated(error.reason, kind="malformed") from None
        if canonical != text:
            raise Unauthenticated("the SPIFFE ID is not written the one way", kind="malformed")
        return subject


def _unescape(segment: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), segment)
