"""What a content is, by its bytes."""

import struct
import tarfile
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
}
MALFORMED: Final = frozenset(rule for rule in RULES if rule.endswith(".malformed"))


def format_of(content: Bytes) -> str:
    """The format that a content begins as, 'unknown' if none that is known."""
    head = content.at(0, min(_HEAD, content.size))
    for magic, form in _MAGIC:
        if head.startswith(magic):
            return form
    if head[:1] == b"\x80" and len(head) > 2 and 2 <= head[1] <= 5:
        return "pickle"
    if is_safetensors(content, head):
        return "safetensors"
    if head[257:262] == b"ustar" or _is_old_tar(head):
        return "tar"
    if is_text(head):
        return "text"
    if head.startswith(b"MZ"):
        return "pe"
    if head[2:4] == b"\r\n" and {0xE3, 0x63} & {*head[8:9], *head[12:13], *head[16:17]}:
        return "bytecode"
    if (
        len(head) > 2
        and head[0] & 0x0F == 8
        and head[0] >> 4 <= 7
        and int.from_bytes(head[:2], "big") % 31 == 0
        and not head[1] & 0x20
    ):
        return "zlib"
    if is_onnx(content, head):
        return "onnx"
    if head[:1] == b"\x5d" and head[1:4] == b"\0\0" + head[3:4]:
        return "xz"  # lzma alone
    return "hdf5" if _has_user_block(content) else "unknown"


def _is_old_tar(head: bytes) -> bool:
    """A header of a tar archive from before POSIX: no magic, but a checksum."""
    if len(head) < 512 or not head[0]:
        return False
    try:
        tarfile.TarInfo.frombuf(head[:512], "utf-8", "surrogateescape")
    except tarfile.TarError:
        return False
    return True


def _has_user_block(content: Bytes) -> bool:
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


def holds_lambda(content: Bytes) -> bool:
    """Whether the first MiB has the configuration of a Keras model with a Lambda layer."""
    begin = content.at(0, min(content.size, 1 << 20))
    return b'"Lambda"' in begin or b"__lambda__" in begin
