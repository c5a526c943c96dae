"""Checkpoints: signed tree heads as C2SP signed notes, their keys, and witnesses' cosignatures.

Rules: pure. c2sp.org/signed-note, /tlog-checkpoint and /tlog-cosignature, Ed25519 only, no extension
lines. A signature by an unknown key is ignored, a bad one by a known key rejects the note. Parsing
never repairs: other base64, other numbers, other line ends are refused.
"""

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from nomoat.audit.tree import HASH_SIZE, Head
from nomoat.core.errors import Corrupt, Malformed

LOG_KEY: Final = 0x01
"""Signature type of a log: plain Ed25519 over the note's text."""
WITNESS_KEY: Final = 0x04
"""Signature type of a witness: Ed25519 over a time and the note's text."""

_WHOSE: Final = {LOG_KEY: "a log's", WITNESS_KEY: "a witness's"}

NOTE_LIMIT: Final = 16 * 1024
_SIGNATURES_LIMIT: Final = 32
_DASH: Final = "\N{EM DASH} "


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line: the key's name and id, and what follows them."""

    name: str
    key_id: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A signed note that parsed: nothing of it may be believed before `verify_` returned it.

    `text` is what was signed, `note` everything.
    """

    origin: str
    head: Head
    text: bytes
    signatures: tuple[Signature, ...]
    note: bytes

    @property
    def size(self) -> int:
        """The number of records it covers."""
        return self.head.size


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A log's or a witness's public key with its name (c2sp.org/signed-note, verifier keys)."""

    name: str
    kind: int
    public: bytes

    @property
    def key_id(self) -> bytes:
        """The first four bytes of SHA-256 over name, type and key."""
        return sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{b64encode(bytes([self.kind]) + self.public).decode()}"


class NoteSigner:
    """A private Ed25519 key with a name, for a log (`LOG_KEY`) or a witness (`WITNESS_KEY`)."""

    def __init__(self, name: str, private: bytes, kind: int = LOG_KEY) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(private)
        self.key = VerifierKey(_parse_key_name(name), kind, self._private.public_key().public_bytes_raw())
        self._key_id = self.key.key_id

    def sign(self, text: bytes) -> bytes:
        """Return a log's signature line over a note's text."""
        return self._line(self._private.sign(text))

    def cosign(self, text: bytes, at: int) -> bytes:
        """Return a witness's signature line: it saw this head, consistent, at Unix second `at`."""
        return self._line(at.to_bytes(8, "big") + self._private.sign(_cosigned(text, at)))

    def _line(self, value: bytes) -> bytes:
        return f"{_DASH}{self.key.name} {b64encode(self._key_id + value).decode()}\n".encode()


def checkpoint_text(origin: str, head: Head) -> bytes:
    """Return the text of a checkpoint: origin, size and root, a line each."""
    return f"{origin}\n{head.size}\n{b64encode(head.root).decode()}\n".encode()


def sign_checkpoint(signer: NoteSigner, head: Head) -> bytes:
    """Return the whole signed note of `head` for the log that `signer` is."""
    text = checkpoint_text(signer.key.name, head)
    return text + b"\n" + signer.sign(text)


def parse_verifier_key(text: str, kind: int = LOG_KEY) -> VerifierKey:
    """Parse `name+keyid+base64(type, key)`; its id must be that of its key. Raises `Malformed`."""
    parts = text.strip().split("+", 2)
    if len(parts) != 3:
        raise Malformed("a verifier key is written NAME+ID+KEY")
    name, key_id, encoded = _parse_key_name(parts[0]), parts[1], _decode(parts[2])
    if len(encoded) != 1 + HASH_SIZE or encoded[0] not in _WHOSE:
        raise Malformed(f"the verifier key of {name} is not an Ed25519 key of a log or a witness")
    if encoded[0] != kind:
        raise Malformed(f"the verifier key of {name} is {_WHOSE[encoded[0]]}, and {_WHOSE[kind]} is needed")
    key = VerifierKey(name, kind, encoded[1:])
    if key.key_id.hex() != key_id:
        raise Malformed(f"the verifier key of {name} does not match its id")
    return key


def parse_checkpoint(note: bytes) -> Checkpoint:
    """Parse a signed note whose text is a checkpoint; nothing is verified. Raises `Malformed`."""
    if len(note) > NOTE_LIMIT:
        raise Malformed(f"a checkpoint has at most {NOTE_LIMIT} bytes")
    try:
        whole = note.decode()
    except UnicodeDecodeError:
        raise Malformed("a checkpoint is UTF-8 text") from None
    if any(character < " " and character != "\n" for character in whole):
        raise Malformed("a checkpoint has no control characters")
    head, blank, rest = whole.rpartition("\n\n")
    if not blank or not rest.endswith("\n"):
        raise Malformed("a checkpoint is text, an empty line and signatures")
    lines = head.split("\n")
    if len(lines) != 3 or not all(lines):
        raise Malformed("a checkpoint is an origin, a size and a root")
    origin, size, root = lines
    return Checkpoint(
        _parse_key_name(origin),
        Head(parse_size(size), _decode(root, HASH_SIZE)),
        (head + "\n").encode(),
        _parse_signatures(rest),
        note,
    )


def verify_checkpoint(note: bytes, key: VerifierKey) -> Checkpoint:
    """Parse a checkpoint and check that the log `key` signed it, for its own origin.

    Raises `Malformed` when it does not parse, `Corrupt` when it is of another log or not signed by it.
    """
    checkpoint = parse_checkpoint(note)
    if checkpoint.origin != key.name:
        raise Corrupt("a checkpoint of another log")
    if not _signed(checkpoint, key, HASH_SIZE * 2):
        raise Corrupt("a checkpoint without a signature of this log's key")
    return checkpoint


def verify_note(note: bytes, key: VerifierKey) -> bytes:
    """Return the text of a signed note of any kind that the log `key` signed; what it says is the caller's to parse.

    Raises `Malformed` when it is no signed note, `Corrupt` when it is not signed by that log.
    """
    text, blank, rest = note.rpartition(b"\n\n")
    if len(note) > NOTE_LIMIT or not blank or not rest.endswith(b"\n"):
        raise Malformed("a signed note is text, an empty line and signatures")
    try:
        signatures = _parse_signatures(rest.decode())
    except UnicodeDecodeError:
        raise Malformed("a signed note is UTF-8 text") from None
    whole = Checkpoint("", Head(0, b""), text + b"\n", signatures, note)
    if not _signed(whole, key, HASH_SIZE * 2):
        raise Corrupt("a note without a signature of this log's key")
    return whole.text


def verify_cosignature(checkpoint: Checkpoint, key: VerifierKey) -> int:
    """Check that the witness `key` cosigned; return when (Unix seconds). Raises `Corrupt`."""
    values = _signed(checkpoint, key, 8 + HASH_SIZE * 2)
    if not values:
        raise Corrupt(f"a checkpoint without a signature of witness {key.name}")
    return max(int.from_bytes(value[:8], "big") for value in values)


def add_signatures(checkpoint: Checkpoint, lines: bytes) -> Checkpoint:
    """Return the checkpoint with further signature lines, as a witness answered them. Raises `Malformed`."""
    if lines and not lines.endswith(b"\n"):
        raise Malformed("a signature line ends in a newline")
    return parse_checkpoint(checkpoint.note + lines)


def parse_size(text: str) -> int:
    """Parse a tree size: decimal without leading zeroes, below 2^63. Raises `Malformed`."""
    if not (text.isascii() and text.isdigit() and len(text) <= 19) or (text[0] == "0" and text != "0"):
        raise Malformed("a tree size is a decimal number without leading zeroes")
    if (size := int(text)) >= 1 << 63:
        raise Malformed("a tree size is below 2^63")
    return size


def parse_hash(text: str) -> bytes:
    """Parse one base64 hash of 32 bytes. Raises `Malformed`."""
    return _decode(text, HASH_SIZE)


def _signed(checkpoint: Checkpoint, key: VerifierKey, length: int) -> list[bytes]:
    """Return the values of every signature by `key`; raise `Corrupt` if one of them is bad."""
    key_id, public = key.key_id, Ed25519PublicKey.from_public_bytes(key.public)
    values: list[bytes] = []
    for signature in checkpoint.signatures:
        if (signature.name, signature.key_id) != (key.name, key_id):
            continue
        value = signature.value
        try:
            if len(value) != length:
                raise InvalidSignature
            if key.kind == WITNESS_KEY:
                public.verify(value[8:], _cosigned(checkpoint.text, int.from_bytes(value[:8], "big")))
            else:
                public.verify(value, checkpoint.text)
        except InvalidSignature:
            raise Corrupt(f"the signature of {key.name} on a checkpoint") from None
        values.append(value)
    return values


def _cosigned(text: bytes, at: int) -> bytes:
    return b"cosignature/v1\ntime %d\n" % at + text


def _parse_key_name(name: str) -> str:
    if not name or "+" in name or len(name) > 255 or not name.isprintable() or any(map(str.isspace, name)):
        raise Malformed("a key's name has no spaces, no '+', and at most 255 characters")
    return name


def _parse_signatures(text: str) -> tuple[Signature, ...]:
    lines: Sequence[str] = text[:-1].split("\n")
    if len(lines) > _SIGNATURES_LIMIT:
        raise Malformed(f"a checkpoint has at most {_SIGNATURES_LIMIT} signatures")
    signatures: list[Signature] = []
    for line in lines:
        name, space, encoded = line.removeprefix(_DASH).partition(" ")
        if not line.startswith(_DASH) or not space:
            raise Malformed("a signature line is a dash, a key's name and a signature")
        value = _decode(encoded)
        if len(value) < 5:
            raise Malformed("a signature has a key id of four bytes before it")
        signatures.append(Signature(_parse_key_name(name), value[:4], value[4:]))
    return tuple(signatures)


def _decode(text: str, length: int | None = None) -> bytes:
    try:
        value = b64decode(text, validate=True)
    except (Base64Error, ValueError):
        raise Malformed("not base64 (RFC 4648, section 4)") from None
    if b64encode(value).decode() != text or (length is not None and len(value) != length):
        raise Malformed("not the base64 of the expected length")
    return value
