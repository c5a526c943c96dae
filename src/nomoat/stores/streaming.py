"""Tink's AES-GCM-HKDF streaming format: a ciphertext of any length, every segment of it authenticated.

    ciphertext  header, then segments of 64 KiB; the first one shares its 64 KiB with the header
    header      1 byte its own length (40), 32 bytes salt, 7 bytes nonce prefix
    key         HKDF-SHA256(key, salt, associated data), 32 bytes, for AES-256-GCM
    nonce       nonce prefix, segment's number (32 bits, big-endian), 1 if it is the last one, else 0

Source: https://developers.google.com/tink/streaming-aead/aes_gcm_hkdf_streaming (the parameters of
AES256_GCM_HKDF_1MB, with segments of 64 KiB); after Hoang, Reyhanitabar, Rogaway and Vizár, "Online
Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance" (2015), STREAM.

Rules: pure, no input or output. A segment's place and being the last are in its nonce, so reordered,
dropped and added segments do not open. Whoever wants truncation refused before the first byte is
used opens the last segment first. GCM does not commit to its key: what the ciphertext is must be in
the associated data.
"""

import secrets
from struct import Struct
from typing import Final, TypeAlias, final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from nomoat.core.errors import Corrupt, Misuse

SEGMENT: Final = 64 * 1024  # bytes of ciphertext
KEY_SIZE: Final = 32
TAG_SIZE: Final = 16
HEADER_SIZE: Final = 40

_SALT_SIZE: Final = 32
_PREFIX_SIZE: Final = 7
_FULL: Final = SEGMENT - TAG_SIZE  # bytes of plaintext in a full segment …
_FIRST: Final = _FULL - HEADER_SIZE  # … and in the first one
_NONCE_END: Final = Struct(">I?")

MAX_SIZE: Final = _FIRST + (2**32 - 1) * _FULL  # bytes of plaintext: segment numbers have 32 bits

Bytes: TypeAlias = bytes | bytearray | memoryview


def segment_count(size: int) -> int:
    """Return how many segments hold `size` bytes of plaintext: at least one, never an empty one after it."""
    return 1 if size <= _FIRST else 1 - (_FIRST - size) // _FULL


def segment_at(offset: int) -> tuple[int, int]:
    """Return the number of the segment that holds the plaintext byte at `offset`, and where in it."""
    if offset < _FIRST:
        return 0, offset
    number, inside = divmod(offset - _FIRST, _FULL)
    return number + 1, inside


def plaintext_size(number: int, size: int) -> int:
    """Return how many of `size` bytes of plaintext are in segment `number`."""
    if number == 0:
        return min(size, _FIRST)
    return min(size - _FIRST - (number - 1) * _FULL, _FULL)


def ciphertext_span(number: int, size: int) -> tuple[int, int]:
    """Return where segment `number` begins in the ciphertext of `size` bytes of plaintext, and its length."""
    return (number * SEGMENT or HEADER_SIZE), plaintext_size(number, size) + TAG_SIZE


def ciphertext_size(size: int) -> int:
    """Return the length of the ciphertext of `size` bytes of plaintext."""
    return HEADER_SIZE + size + segment_count(size) * TAG_SIZE


@final
class Sealer:
    """Encrypts one plaintext of a known size, segment after segment. `header` comes before the first."""

    __slots__ = ("_aead", "_last", "_number", "_prefix", "header")

    def __init__(self, key: bytes, associated_data: bytes, size: int) -> None:
        salt, self._prefix = secrets.token_bytes(_SALT_SIZE), secrets.token_bytes(_PREFIX_SIZE)
        self.header = bytes([HEADER_SIZE]) + salt + self._prefix
        self._aead = _derive(key, salt, associated_data)
        self._number = 0
        self._last = segment_count(size) - 1

    def seal(self, plaintext: Bytes, into: memoryview) -> int:
        """Encrypt the next segment to the start of `into`; return how many bytes that took.

        The caller gives each segment its `plaintext_size`; `Misuse` after the last one.
        """
        if self._number > self._last:
            raise Misuse("a segment after the last one")
        length = len(plaintext) + TAG_SIZE
        nonce = self._prefix + _NONCE_END.pack(self._number, self._number == self._last)
        self._aead.encrypt_into(nonce, plaintext, None, into[:length])
        self._number += 1
        return length


@final
class Opener:
    """Decrypts the segments of one ciphertext, in any order. `header` is the ciphertext's."""

    __slots__ = ("_aead", "_last", "_prefix", "header")

    def __init__(self, key: bytes, associated_data: bytes, header: bytes, size: int) -> None:
        """Take the ciphertext's header and the plaintext's size; raise `Corrupt` when it is no header."""
        if len(header) != HEADER_SIZE or header[0] != HEADER_SIZE:
            raise Corrupt("the header of a ciphertext")
        self.header = header
        self._prefix = header[1 + _SALT_SIZE :]
        self._aead = _derive(key, header[1 : 1 + _SALT_SIZE], associated_data)
        self._last = segment_count(size) - 1

    def open(self, number: int, ciphertext: Bytes) -> bytes:
        """Return the plaintext of segment `number`; raise `Corrupt` unless every bit of it is as sealed."""
        nonce = self._prefix + _NONCE_END.pack(number, number == self._last)
        try:
            return self._aead.decrypt(nonce, ciphertext, None)
        except InvalidTag:
            raise Corrupt(f"segment {number} of a ciphertext") from None


def _derive(key: bytes, salt: bytes, associated_data: bytes) -> AESGCM:
    if len(key) != KEY_SIZE:
        raise Misuse(f"a key of {len(key)} bytes instead of {KEY_SIZE}")
    return AESGCM(HKDF(SHA256(), length=KEY_SIZE, salt=salt, info=associated_data).derive(key))
