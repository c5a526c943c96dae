"""Zip archives: every byte belongs to one member or to the one directory, and all headers agree.

Rules: readers differ (Python's zipfile, the miniz of torch, streaming ones), so an archive that two of them could
read differently is refused: hidden or overlapping bytes, duplicate names, headers that contradict each other.
"""

import struct
import zipfile
import zlib
from dataclasses import dataclass
from typing import Final

from nomoat.inspection.content import (
    MOST_INFLATED,
    Bytes,
    Exhausted,
    Held,
    Inspection,
    Malformed,
    Opened,
    Part,
    blocks_of,
    leads_outside,
)

_LOCAL: Final = struct.Struct("<4s5H3L2H")
_DESCRIPTORS: Final = (
    (b"PK\x07\x08", "<LLL"),
    (b"PK\x07\x08", "<LQQ"),
    (b"", "<LLL"),
    (b"", "<LQQ"),
)
_END: Final = b"PK\x05\x06"
_ENCRYPTED: Final = 0x2041  # bits 0, 6 and 13
_MOST_COMMENT: Final = 65_535 + 22
_MOST: Final = (0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)  # where the number stands in the record of zip64
BOMB: Final = 100  # bytes unpacked for one


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a zip: its name, where its data lies, and how it is packed."""

    name: str
    begin: int
    packed: int
    size: int
    checksum: int
    deflated: bool

    def unpacked(self, archive: Bytes, inspection: Inspection) -> Bytes:
        """Its content; deflated ones in memory. Raises `Malformed`, or `Exhausted` for what is too large."""
        packed = Part(archive, self.begin, self.packed)
        if not self.deflated:
            content: Bytes = packed
            checksum = 0
            for begin, count in blocks_of(content):
                checksum = zlib.crc32(content.at(begin, count), checksum)
        else:
            content, checksum = self._inflated(packed, inspection)
        if checksum != self.checksum:
            inspection.find("archive.bad-checksum")
        return content

    def _inflated(self, packed: Bytes, inspection: Inspection) -> tuple[Held, int]:
        if self.size > MOST_INFLATED:
            inspection.find(
                "archive.bomb" if self.size > BOMB * self.packed else "budget.exhausted", f"{self.size} bytes"
            )
            raise Exhausted("a member that is too large")
        inflating = zlib.decompressobj(-15)
        data = bytearray()
        for begin, count in blocks_of(packed):
            try:
                data += inflating.decompress(packed.at(begin, count), self.size + 1 - len(data))
            except zlib.error as error:
                raise Malformed(f"a member does not inflate: {error}") from None
            if len(data) > self.size:
                inspection.find("archive.bomb", f"more than the {self.size} bytes that it says")
                raise Exhausted("a member that says less than it is")
            if inflating.eof or inflating.unconsumed_tail:
                break
        inspection.budget.take_inflated(len(data))
        if not inflating.eof or inflating.unused_data or len(data) != self.size:
            raise Malformed("a member does not end where it says")
        return Held(bytes(data)), zlib.crc32(data)


def members(archive: Bytes, inspection: Inspection) -> list[Member]:
    """The members of a zip in the order of their data. Raises `Malformed`; what contradicts itself is found."""
    listed = _check_end(archive, inspection)
    try:
        with zipfile.ZipFile(Opened(archive)) as opened:
            entries, directory = opened.infolist(), opened.start_dir
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        struct.error,
        UnicodeDecodeError,
        ValueError,
        OverflowError,
    ) as error:
        raise Malformed(f"no zip: {error}") from None
    if listed != len(entries):
        inspection.find("archive.hidden", f"the end says {listed} members, and {len(entries)} are there")
    inspection.budget.members -= len(entries)
    if inspection.budget.members < 0:
        raise Exhausted(f"{len(entries)} members")
    names: set[str] = set()
    for entry in entries:
        name = entry.orig_filename
        if name in names:
            inspection.find("archive.duplicate", name)
        names.add(name)
        if leads_outside(name):
            inspection.find("archive.escape", name)
        if (entry.external_attr >> 16) & 0o170000 == 0o120000 and entry.create_system == 3:
            inspection.find("archive.link", name)
    return _placed(archive, sorted(entries, key=lambda entry: entry.header_offset), directory, inspection)


def _check_end(archive: Bytes, inspection: Inspection) -> int:
    """One end record, at the end, right behind the directory that it says; returns how many members it says."""
    count = min(archive.size, _MOST_COMMENT)
    tail = archive.at(archive.size - count, count)
    found = tail.rfind(_END)
    if found < 0 or found + 22 > len(tail):
        raise Malformed("no end record")
    comment = struct.unpack_from("<H", tail, found + 20)[0]
    if found + 22 + comment != len(tail):
        inspection.find("archive.trailing", f"{len(tail) - found - 22 - comment} bytes")
    if comment and b"PK" in tail[found + 22 :]:
        inspection.find("archive.hidden", "records in the comment")
    disk, first_disk, _, count, size, begin = struct.unpack_from("<4H2L", tail, found + 4)
    end = archive.size - len(tail) + found
    if (large := _large_end(archive, end)) is not None:
        place, said, values = large
        # Python takes the record before the locator, others the one that the locator says.
        agree = all(
            short in {long, most} for short, long, most in zip((count, size, begin), values, _MOST, strict=True)
        )
        if said != place or not agree:
            inspection.find("archive.hidden", "two end records that disagree")
        (count, size, begin), end = values, place
    if disk or first_disk or begin + size != end:
        inspection.find("archive.hidden", f"a directory that ends at byte {begin + size}, not {end}")
    return count


def _large_end(archive: Bytes, end: int) -> tuple[int, int, tuple[int, int, int]] | None:
    """The end record of zip64 before the other one: where it lies, where its locator says so, and its values."""
    if end < 76 or archive.at(end - 20, 4) != b"PK\x06\x07":
        return None
    disk, said, disks = struct.unpack("<LQL", archive.at(end - 16, 16))
    record = archive.at(end - 76, 56)
    length, *numbers, here, count, size, begin = struct.unpack("<Q2H2L4Q", record[4:])
    if record[:4] != b"PK\x06\x06" or length != 44 or disk or disks > 1 or any(numbers[2:]) or here != count:
        raise Malformed("an end record of zip64 that is none")
    return end - 76, said, (count, size, begin)


def _placed(archive: Bytes, entries: list[zipfile.ZipInfo], directory: int, inspection: Inspection) -> list[Member]:
    """The members, after what lies between them was looked at."""
    found: list[Member] = []
    at = 0
    for entry, following in zip(entries, [*(each.header_offset for each in entries[1:]), directory], strict=True):
        if entry.header_offset != at:
            rule = "archive.hidden" if entry.header_offset > at else "archive.overlap"
            inspection.find(rule, f"{abs(entry.header_offset - at)} bytes before {entry.orig_filename}")
        begin = _data(archive, entry, inspection)
        at = begin + entry.compress_size
        if at > following:
            inspection.find("archive.overlap", entry.orig_filename)
        elif entry.flag_bits & 8:
            at += _descriptor(archive, at, following - at, entry)
        if entry.flag_bits & _ENCRYPTED:
            inspection.find("archive.encrypted", entry.orig_filename)
        elif entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            inspection.find("archive.method", f"{entry.orig_filename}: {entry.compress_type}")
        elif entry.compress_type == zipfile.ZIP_STORED and entry.compress_size != entry.file_size:
            inspection.find("archive.different-names", f"{entry.orig_filename}: two sizes")
        elif not entry.is_dir() or entry.compress_size or entry.file_size:
            deflated = entry.compress_type == zipfile.ZIP_DEFLATED
            found.append(Member(entry.orig_filename, begin, entry.compress_size, entry.file_size, entry.CRC, deflated))
    if at != directory:
        inspection.find("archive.hidden", f"{abs(directory - at)} bytes before the directory")
    return found


def _data(archive: Bytes, entry: zipfile.ZipInfo, inspection: Inspection) -> int:
    """Where the data of a member begins. Its own header has to say what the directory says."""
    head = archive.little(entry.header_offset, _LOCAL.size)
    signature, _, flags, method, _, _, checksum, packed, size, name_size, extra_size = _LOCAL.unpack(head)
    if signature != b"PK\x03\x04":
        raise Malformed(f"no header of {entry.orig_filename!r:.60}")
    fields = archive.little(entry.header_offset + _LOCAL.size, name_size + extra_size)
    name, extras = fields[:name_size], _extras(fields[name_size:])
    encoded = entry.orig_filename.encode("utf-8" if entry.flag_bits & 0x800 else "cp437", "replace")
    streamed = bool(flags & 8)
    agree = (
        name == encoded
        and method == entry.compress_type
        and (flags ^ entry.flag_bits) & (_ENCRYPTED | 8) == 0
        and b"\0" not in name
        and (checksum == entry.CRC or (streamed and checksum == 0))
        and _agrees(packed, entry.compress_size, streamed=streamed)
        and _agrees(size, entry.file_size, streamed=streamed)
        and _agrees_at_large(extras.get(b"\1\0"), entry, needed=0xFFFFFFFF in {packed, size}, streamed=streamed)
        and b"up" not in extras.keys() | _extras(entry.extra).keys()  # another name, in UTF-8
    )
    if not agree:
        inspection.find("archive.different-names", entry.orig_filename)
    return entry.header_offset + _LOCAL.size + int(name_size) + int(extra_size)


def _agrees(local: int, directory: int, *, streamed: bool) -> bool:
    """Whether two sizes are one; 0xFFFFFFFF says that it stands among the extras (zip64)."""
    return local in {directory, 0xFFFFFFFF} or (streamed and local == 0)


def _agrees_at_large(extra: bytes | None, entry: zipfile.ZipInfo, *, needed: bool, streamed: bool) -> bool:
    """Whether the sizes among the extras of a member's own header, where they are `needed`, are those of the directory."""
    if not needed:
        return True
    if extra is None or len(extra) < 16:
        return False
    size, packed = struct.unpack_from("<QQ", extra)
    return _agrees(size, entry.file_size, streamed=streamed) and _agrees(packed, entry.compress_size, streamed=streamed)


def _extras(extra: bytes) -> dict[bytes, bytes]:
    """The extra fields of a member by their ids; of two with one id, the first."""
    found: dict[bytes, bytes] = {}
    at = 0
    while at + 4 <= len(extra):
        size = int.from_bytes(extra[at + 2 : at + 4], "little")
        found.setdefault(extra[at : at + 2], extra[at + 4 : at + 4 + size])
        at += 4 + size
    return found


def _descriptor(archive: Bytes, at: int, room: int, entry: zipfile.ZipInfo) -> int:
    """The size of the data descriptor after a member, 0 if what is there is none."""
    wanted = entry.CRC, entry.compress_size, entry.file_size
    for signature, form in _DESCRIPTORS:
        size = len(signature) + struct.calcsize(form)
        if size <= room:
            data = archive.little(at, size)
            if data.startswith(signature) and struct.unpack(form, data[len(signature) :]) == wanted:
                return size
    return 0
