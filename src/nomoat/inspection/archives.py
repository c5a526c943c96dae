"""Tar archives and compressed streams."""

import bz2
import lzma
import tarfile
import zlib
from collections.abc import Iterator
from typing import Final

from nomoat.inspection.content import (
    BLOCK,
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
from nomoat.inspection.zips import BOMB

_STEP: Final = 4 << 20  # bytes that are unpacked at once
_MOST_DICTIONARY: Final = 256 << 20  # bytes of memory that an xz stream may ask for


def tar_members(archive: Bytes, inspection: Inspection) -> Iterator[tuple[str, Bytes]]:
    """The files of a tar archive. Raises `Malformed`; links, devices and names that lead outside are found."""
    names: set[str] = set()
    end = 0
    try:
        with tarfile.open(fileobj=Opened(archive), mode="r:") as opened:
            for entry in opened:
                inspection.budget.take_member()
                end = opened.offset
                if entry.name in names and not entry.isdir():
                    inspection.find("archive.duplicate", entry.name)
                names.add(entry.name)
                if _is_file(entry, inspection):
                    yield entry.name, Part(archive, entry.offset_data, entry.size)
    except (tarfile.TarError, ValueError, OverflowError, EOFError, KeyError) as error:
        raise Malformed(f"no tar archive: {error}") from None
    # tarfile takes a damaged header for the end; behind the end there is nothing but zeros.
    if archive.size - end < 2 * tarfile.BLOCKSIZE:
        raise Malformed("the archive has no end")
    for begin, count in blocks_of(Part(archive, end, archive.size - end)):
        if archive.at(end + begin, count).strip(b"\0"):
            raise Malformed(f"bytes that are no member after byte {end}")


def _is_file(entry: tarfile.TarInfo, inspection: Inspection) -> bool:
    """Whether an entry is a file that lies where it may."""
    if leads_outside(entry.name):
        inspection.find("archive.escape", entry.name)
    if entry.issym() or entry.islnk():
        inspection.find("archive.link", entry.name)
    elif entry.isdev():
        inspection.find("archive.device", entry.name)
    elif entry.issparse():
        inspection.find("archive.method", f"{entry.name}: sparse")
    return entry.isreg() and not entry.issparse()


def decompressed(stream: Bytes, form: str, inspection: Inspection) -> Held:
    """The content of a compressed stream ('gzip', 'zlib', 'bzip2' or 'xz'), in memory.

    Raises `Malformed`, also for a wrong checksum, and `Exhausted` for what is too large.
    """
    data = bytearray()
    at = 0
    while at < stream.size:
        try:
            taken = _one(stream, at, form, data, inspection)
        except (zlib.error, lzma.LZMAError, OSError, ValueError, EOFError) as error:
            if at:
                inspection.find("archive.trailing", f"{stream.size - at} bytes")
                break
            raise Malformed(f"does not unpack: {error}") from None
        at += taken
        if form == "zlib" and at < stream.size:
            inspection.find("archive.trailing", f"{stream.size - at} bytes")
            break
    return Held(bytes(data))


def _one(stream: Bytes, at: int, form: str, data: bytearray, inspection: Inspection) -> int:
    """Unpack one stream of those that follow each other; returns the bytes that it took."""
    begun = at
    unpacking = bz2.BZ2Decompressor() if form == "bzip2" else lzma.LZMADecompressor(memlimit=_MOST_DICTIONARY)
    inflating = zlib.decompressobj(31 if form == "gzip" else 15) if form in {"gzip", "zlib"} else None
    pending = b""
    while not (inflating or unpacking).eof:
        if not pending and (inflating or unpacking.needs_input):
            if at >= stream.size:
                raise EOFError("the stream ends early")
            pending = stream.at(at, min(BLOCK, stream.size - at))
            at += len(pending)
        if inflating:
            made = inflating.decompress(pending, _STEP)
            pending = inflating.unconsumed_tail
        else:
            made = unpacking.decompress(pending, _STEP)
            pending = b""
        data += made
        _count(len(made), len(data), stream.size, inspection)
    return at - begun - len((inflating or unpacking).unused_data)


def _count(made: int, total: int, packed: int, inspection: Inspection) -> None:
    try:
        inspection.budget.take_inflated(made)
    except Exhausted:
        if total > BOMB * packed:
            inspection.find("archive.bomb", f"{packed} bytes unpack to more than {total}")
        raise
