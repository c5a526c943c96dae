"""Names and their grammar: everything a client may call a thing, parsed once, strictly.

Rules: a parsed name is safe to log sealed, to compare and to put into an entity id. Parsing never
repairs: what is not exactly a name is refused.
"""

import re
from enum import IntEnum, StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

from nomoat.core.errors import Malformed


class Classification(IntEnum):
    """How confidential a thing is, and how far a principal is cleared. Ordered."""

    PUBLIC = 0
    INTERNAL = 1
    CONFIDENTIAL = 2
    RESTRICTED = 3

    __hash__ = int.__hash__  # hashed for every decision; Enum's own is five times slower


def parse_classification(text: str) -> Classification:
    """Parse `public`, `internal`, `confidential` or `restricted`; raise `Malformed` otherwise."""
    for level in Classification:
        if text == level.name.lower():
            return level
    raise Malformed(f"{text!r:.40} is not a classification (public, internal, confidential, restricted)")


class RepositoryKind(StrEnum):
    """What a repository holds."""

    DATASET = "dataset"
    MODEL = "model"

    __hash__ = str.__hash__  # a part of every key that names a repository; see above


CANDIDATE: Final = "candidate"
"""The revision that is newest on the main branch, in whatever stage; no branch and no tag is called so."""
_SEGMENT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?")
_REVISION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,198}[A-Za-z0-9])?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_SUBJECT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._@+-]{0,126}[A-Za-z0-9])?")
_SUBJECT_KINDS = frozenset({"person", "workload", "group"})
_ENDPOINT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}")
_INDEX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_VIEW = re.compile(r"[a-z][a-z0-9_]{0,62}")
_TRUST_DOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,253}[a-z0-9])?")


class RepositoryName(NamedTuple):
    """A dataset's or model's name: `namespace/name`, unique within its kind."""

    kind: RepositoryKind
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@lru_cache(maxsize=4096)
def parse_repository_name(kind: RepositoryKind, text: str) -> RepositoryName:
    """Parse `namespace/name` by the Hub's rules (96 characters each, no `--`, no `..`)."""
    namespace, slash, name = text.partition("/")
    if not slash or not _SEGMENT.fullmatch(namespace) or not _SEGMENT.fullmatch(name) or "--" in text or ".." in text:
        raise Malformed("a repository is named namespace/name, with letters, digits, '.', '_' and '-'")
    return RepositoryName(kind, namespace, name)


def parse_path(text: str) -> str:
    """Parse a file's path inside a repository: relative, normalised, printable, at most 512 bytes.

    Refuses empty, `.` and `..` segments, backslashes, control characters and `.git`.
    """
    if not text or len(text.encode("utf-8", "surrogatepass")) > 512 or not text.isprintable() or "\\" in text:
        raise Malformed("a file's path is at most 512 bytes of printable characters without a backslash")
    parts = text.lower().split("/")
    if "" in parts or "." in parts or ".." in parts or ".git" in parts:
        raise Malformed("a file's path has no empty, '.', '..' or '.git' segment")
    return text


def parse_revision(text: str) -> str:
    """Parse the name of a branch or tag, or a commit id."""
    if not _REVISION.fullmatch(text) or ".." in text or "//" in text:
        raise Malformed("a revision is the name of a branch or tag, or a commit id")
    return text


def parse_reference(text: str) -> str:
    """Parse the name of a branch or tag that is to be made: a revision that means nothing else (a commit id, `refs/`)."""
    name = parse_revision(text)
    if name == CANDIDATE:
        raise Malformed(f"{CANDIDATE!r} means the newest version of main, whatever its stage: choose another name")
    if is_commit_id(name) or name.startswith("refs/") or name.endswith(".lock") or "/." in name or "./" in name:
        raise Malformed("a branch or tag is named with letters, digits, '.', '_', '-' and '/', and not like a commit")
    return name


def is_commit_id(text: str) -> bool:
    """Whether `text` has the form of a commit id (40 lower-case hexadecimal digits)."""
    return _COMMIT.fullmatch(text) is not None


def parse_digest(text: str) -> str:
    """Parse a SHA-256 digest: 64 lower-case hexadecimal digits."""
    if not _DIGEST.fullmatch(text):
        raise Malformed("a digest is 64 lower-case hexadecimal digits (SHA-256)")
    return text


def parse_subject(text: str) -> str:
    """Parse who may read or own something: `person:NAME`, `workload:NAME` or `group:NAME`; raise `Malformed` otherwise."""
    kind, colon, name = text.partition(":")
    if not colon or kind not in _SUBJECT_KINDS:
        raise Malformed(f"{text!r:.80} is nobody: write person:NAME, workload:NAME or group:NAME")
    return f"{kind}:{parse_subject_name(name)}"


def parse_subject_name(text: str) -> str:
    """Parse a person's, workload's or group's name (128 characters; letters, digits, `._@+-`)."""
    if not _SUBJECT.fullmatch(text):
        raise Malformed(
            "a name has at most 128 letters, digits and '._@+-', and starts and ends with a letter or digit"
        )
    return text


def parse_view_name(text: str) -> str:
    """Parse a view's name: what SQL takes for a table's without quotes (63 characters)."""
    if not _VIEW.fullmatch(text):
        raise Malformed("a view is named with lower-case letters, digits and '_', and begins with a letter")
    return text


def parse_index_name(text: str) -> str:
    """Parse an index's name, which is a part of URLs (64 characters). Raises `Malformed`."""
    if not _INDEX.fullmatch(text):
        raise Malformed("an index is named with at most 64 letters, digits, '.', '_' and '-', a letter or digit first")
    return text


def parse_document_name(text: str) -> str:
    """Parse a document's name in its index: as a file's path. Raises `Malformed`."""
    if "#" in text or "@" in text:
        raise Malformed("a document's name has no '#' and no '@': they stand before a passage's number and version")
    return parse_path(text)


def parse_endpoint_name(text: str) -> str:
    """Parse what a client calls a model: as providers name theirs, with `/`, `:` and `.` in it. Raises `Malformed`."""
    if not _ENDPOINT.fullmatch(text):
        raise Malformed(
            "a model's name has 1 to 128 of the characters A-Z, a-z, 0-9 and . _ : / @ -, a letter or digit first"
        )
    return text


def parse_trust_domain(text: str) -> str:
    """Parse a trust domain's name (SPIFFE ID specification, section 2.1)."""
    if not _TRUST_DOMAIN.fullmatch(text):
        raise Malformed("a trust domain is lower-case letters, digits, '.', '-' and '_'")
    return text
