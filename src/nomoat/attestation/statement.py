"""in-toto statements: what is said (a predicate) of what (subjects, by digest). in-toto Attestation Framework, v1.

Rules: an unknown version of the statement is refused; fields that v1 does not know are passed over, as its
parsing rules want: they cannot take back what the others say.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from nomoat.attestation.fields import Fields, encode_object, parse_object
from nomoat.core.errors import Malformed

VERSION: Final = "https://in-toto.io/Statement/v1"
STATEMENT_LIMIT: Final = 24 << 20  # bytes: a hundred thousand files with long names
SUBJECTS_LIMIT: Final = 1024

_ALGORITHM: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,31}")
_HEX: Final = re.compile(r"(?:[0-9a-f]{2}){16,64}")


@dataclass(frozen=True, slots=True)
class Resource:
    """A thing by its digests (algorithm → lower-case hex), and what it is called: a `ResourceDescriptor` of in-toto."""

    name: str = ""
    uri: str = ""
    digest: Mapping[str, str] = field(default_factory=dict[str, str])

    def encode(self) -> Mapping[str, object]:
        """Return it as JSON fields."""
        fields: dict[str, object] = {"name": self.name, "uri": self.uri, "digest": dict(self.digest)}
        return {name: value for name, value in fields.items() if value}


def parse_resource(value: object, what: str, *, digest: bool = True) -> Resource:
    """Parse a resource descriptor, which needs a digest unless `digest` is False. Raises `Malformed`."""
    fields = Fields(value, what)
    name = fields.text("name") if "name" in fields else ""
    uri = fields.text("uri") if "uri" in fields else ""
    found: dict[str, str] = {}
    if digest or "digest" in fields:
        digests = fields.object("digest")
        found = {algorithm: digests.text(algorithm) for algorithm in digests.value}
    if digest and not found:
        raise Malformed(f"{what} has no digest")
    for algorithm, hexadecimal in found.items():
        if not _ALGORITHM.fullmatch(algorithm) or not _HEX.fullmatch(hexadecimal):
            raise Malformed(f"{what}: {algorithm!r:.40} is no algorithm with a digest in lower-case hexadecimal digits")
    if not (name or uri or found):
        raise Malformed(f"{what} has neither a name, nor an address, nor a digest")
    return Resource(name, uri, found)


@dataclass(frozen=True, slots=True)
class Statement:
    """What is said of the subjects: a predicate, whose meaning `predicate_type` (a URI) gives."""

    subjects: tuple[Resource, ...]
    predicate_type: str
    predicate: Mapping[str, object]

    def encode(self) -> bytes:
        """Return the statement's bytes, always the same for the same statement."""
        return encode_object(
            {
                "_type": VERSION,
                "subject": [subject.encode() for subject in self.subjects],
                "predicateType": self.predicate_type,
                "predicate": self.predicate,
            }
        )

    def require(self, predicate_type: str) -> Fields:
        """Return the predicate's fields if it is of the type that is meant; raise `Malformed` otherwise."""
        if self.predicate_type != predicate_type:
            raise Malformed(f"the statement is a {self.predicate_type!r:.120}, and no {predicate_type}")
        return Fields(self.predicate, "the predicate")

    def only_subject(self) -> Resource:
        """Return the one subject; raise `Malformed` if there are more."""
        if len(self.subjects) != 1:
            raise Malformed(f"the statement is about {len(self.subjects)} things, and not about one")
        return self.subjects[0]


def parse_statement(data: bytes) -> Statement:
    """Parse a statement. Raises `Malformed`, `TooLarge`; who said it is for `verification` to tell."""
    fields = Fields(parse_object(data, "the statement", STATEMENT_LIMIT), "the statement")
    if fields.value.get("_type") != VERSION:
        raise Malformed(f"the statement is of an unknown version: only {VERSION} is understood")
    subjects = [parse_resource(each, "a subject") for each in fields.items("subject", SUBJECTS_LIMIT)]
    if not subjects:
        raise Malformed("the statement is about nothing")
    return Statement(tuple(subjects), fields.text("predicateType"), fields.object("predicate").value)
