"""The files of an artifact by their digests, and the digests of all of them together.

Rules: two digests. `root` is OpenSSF Model Signing's: SHA-256 over the digests in the order of the paths, in
which no path is contained, so two artifacts that differ in the names of files can share it. `dir_hash` is
in-toto's `dirHash` (Go's Hash1), which contains the paths. A statement that names an artifact by its digest alone
needs both.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Self

from nomoat.attestation.errors import Difference, Fault
from nomoat.attestation.statement import Resource
from nomoat.core.errors import Malformed, TooLarge
from nomoat.core.names import parse_digest, parse_path

FILES_LIMIT: Final = 100_000
ROOT: Final = "sha256"
DIR_HASH: Final = "dirHash"


@dataclass(frozen=True, slots=True)
class Manifest:
    """Paths and SHA-256 digests (hex), ordered by the segments of the paths."""

    files: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, files: Iterable[tuple[str, str]]) -> Self:
        """Make the manifest of (path, SHA-256 hex) pairs.

        Raises `Malformed` for a path or digest that is none, a path that is there twice, or no file at all;
        `TooLarge` for more than a hundred thousand.
        """
        found: dict[str, str] = {}
        for path, digest in files:
            if path in found:
                raise Malformed(f"{path!r:.600} is there twice")
            found[_require_path(path)] = parse_digest(digest)
        if not found:
            raise Malformed("there are no files")
        if len(found) > FILES_LIMIT:
            raise TooLarge(f"an artifact has at most {FILES_LIMIT} files")
        return cls(tuple(sorted(found.items(), key=lambda file: file[0].split("/"))))

    @property
    def root(self) -> str:
        """The root digest of OpenSSF Model Signing (hex)."""
        return sha256(b"".join(bytes.fromhex(digest) for _, digest in self.files)).hexdigest()

    @property
    def dir_hash(self) -> str:
        """The `dirHash` of in-toto (hex)."""
        lines = (f"{digest}  {path}\n" for path, digest in sorted(self.files, key=lambda file: file[0].encode()))
        return sha256("".join(lines).encode()).hexdigest()

    def subject(self, name: str) -> Resource:
        """Return the artifact as the subject of a statement."""
        return Resource(name, digest={ROOT: self.root, DIR_HASH: self.dir_hash})

    def differences(self, found: Mapping[str, str]) -> tuple[Difference, ...]:
        """Return how the files that were found (path → SHA-256 hex) differ from these, by path."""
        expected = dict(self.files)
        faults = [
            *(Difference(path, Fault.MISSING) for path in expected.keys() - found.keys()),
            *(Difference(path, Fault.UNSIGNED) for path in found.keys() - expected.keys()),
            *(
                Difference(path, Fault.CHANGED)
                for path in expected.keys() & found.keys()
                if expected[path] != found[path]
            ),
        ]
        return tuple(sorted(faults, key=lambda each: each.path))


def _require_path(path: str) -> str:
    try:
        return parse_path(path)
    except Malformed as error:
        raise Malformed(f"{path!r:.600}: {error.reason}") from None
