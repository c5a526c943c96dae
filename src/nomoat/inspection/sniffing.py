"""What a content is, by its bytes."""

import struct
import tarfile
from collections.abc import Callable
from typing import Final

from nomoat.inspection.content import BLOCK, Bytes
from nomoat.inspection.onnx import is_onnx
from nomoat.inspection.rules import RULES
from nomoat.inspection.safetensors import is_safetensors
from nomoat.inspection.texts import is_text

_HEAD: Final = 4096
_MAGIC: Final = (
    (b"GGUF", "gguf"),
    (b"PAR1", "parquet"),
    (b"PARE", "parquet"),
    (b"\x93NUMPY", "npy"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
    (b"\x7fELF", "elf"),
    (b"\xfe\xed\xfa\xce", "mach-o"),
    (b"\xfe\xed\xfa\xcf", "mach-o"),
    (b"\xce\xfa\xed\xfe", "mach-o"),
    (b"\xcf\xfa\xed\xfe", "mach-o"),
    (b"\xca\xfe\xba\xbe", "java-or-mach-o"),
    (b"\0asm", "wasm"),
    (b"dex\n", "dex"),
)
JUDGED: Final = {
    **dict.fromkeys(("elf", "mach-o", "java-or-mach-o", "wasm", "dex", "pe"), "native.executable"),
    "bytecode": "python.bytecode",
    "hdf5": "hdf5.opaque",
}
MALFORMED: Final = frozenset(rule for rule in RULES if rule.endswith(".malformed"))


def format_of(content: Bytes) -> str:
    """The format that a content begins as, 'unknown' if none that is known."""
    head = content.at(0, min(_HEAD, content.size))
    for magic, form in _MAGIC:
        if head.startswith(magic):
            return form
    return next((form for form, is_one in _TESTS if is_one(content, head)), "unknown")


def _is_pickle(_: Bytes, head: bytes) -> bool:
    """Of protocol 2 to 5; older ones have no beginning that tells them."""
    return head[:1] == b"\x80" and len(head) > 2 and 2 <= head[1] <= 5


def _is_bytecode(_: Bytes, head: bytes) -> bool:
    """A magic number, a line break, and a code object behind 4, 8 or 12 bytes more (Python 2 to 3)."""
    return head[2:4] == b"\r\n" and not {0xE3, 0x63}.isdisjoint({*head[8:9], *head[12:13], *head[16:17]})


def _is_zlib(_: Bytes, head: bytes) -> bool:
    """RFC 1950: deflate, a window of at most 32 KiB, a check, no dictionary."""
    return (
        len(head) > 2
        and head[0] & 0x0F == 8
        and head[0] >> 4 <= 7
        and int.from_bytes(head[:2], "big") % 31 == 0
        and not head[1] & 0x20
    )


def _is_lzma(_: Bytes, head: bytes) -> bool:
    """LZMA alone: its usual properties, and a dictionary of a power of two."""
    return head[:3] == b"\x5d\0\0" and len(head) > 13


def _is_tar(_: Bytes, head: bytes) -> bool:
    """A header with the magic of POSIX, or, from before, with a checksum."""
    if head[257:262] == b"ustar":
        return True
    if len(head) < 512 or not head[0]:
        return False
    try:
        tarfile.TarInfo.frombuf(head[:512], "utf-8", "surrogateescape")
    except tarfile.TarError:
        return False
    return True


def _has_user_block(content: Bytes, _: bytes) -> bool:
    """HDF5 may begin at byte 512, 1024, 2048 and so on."""
    place = 512
    while place + 8 <= min(content.size, BLOCK):
        if content.at(place, 8) == b"\x89HDF\r\n\x1a\n":
            return True
        place *= 2
    return False


def ends_as_zip(content: Bytes) -> bool:
    """Whether a content has the end record of a zip, whose directory lies where a reader would look for it."""
    count = min(content.size, 65_535 + 22)
    tail = content.at(content.size - count, count)
    found = tail.rfind(b"PK\x05\x06")
    while found >= 0:
        if found + 22 <= len(tail):
            entries, size, offset = struct.unpack_from("<HLL", tail, found + 10)
            place = content.size - count + found - size
            zip64 = 0xFFFFFFFF in {size, offset} or entries == 0xFFFF
            if zip64 or (entries and place >= 0 and content.at(place, 4) == b"PK\x01\x02"):
                return True
        found = tail.rfind(b"PK\x05\x06", 0, found)
    return False


# In this order: what tells itself by more comes first.
_TESTS: Final[tuple[tuple[str, Callable[[Bytes, bytes], bool]], ...]] = (
    ("pickle", _is_pickle),
    ("safetensors", is_safetensors),
    ("tar", _is_tar),
    ("text", lambda _, head: is_text(head)),
    ("pe", lambda _, head: head.startswith(b"MZ")),
    ("bytecode", _is_bytecode),
    ("zlib", _is_zlib),
    ("onnx", is_onnx),
    ("xz", _is_lzma),
    ("hdf5", _has_user_block),
)
