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


def tar_members(archive: Bytes, inspection: Inspection) -> Iterator[tuple[str, Bytes]]:
    """The files of a tar archive. Raises `Malformed`; links, devices and names that lead outside are found."""
    names: set[str] = set()
    end = 0
    try:
        with tarfile.open(fileobj=Opened(archive), mode="r:") as opened:
            for entry in opened:
                inspection.budget.take_member()
                end = opened.offset
                name = entry.name
                if leads_outside(name):
                    inspection.find("archive.escape", name)
                if name in names and not entry.isdir():
                    inspection.find("archive.duplicate", name)
                names.add(name)
                if entry.issym() or entry.islnk():
                    inspection.find("archive.link", name)
                elif entry.isdev():
                    inspection.find("archive.device", name)
                elif entry.issparse():
                    inspection.find("archive.method", f"{name}: sparse")
                elif entry.isreg():
                    yield name, Part(archive, entry.offset_data, entry.size)
    except (tarfile.TarError, ValueError, OverflowError, EOFError, KeyError) as error:
        raise Malformed(f"no tar archive: {error}") from None
    # tarfile takes a damaged header for the end; behind the end there is nothing but zeros.
    if archive.size - end < 1024:
        raise Malformed("the archive has no end")
    for begin, count in blocks_of(Part(archive, end, archive.size - end)):
        if archive.at(end + begin, count).strip(b"\0"):
            raise Malformed(f"bytes that are no member after byte {end}")


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
    unpacking = _UNPACKING[form]()
    begun = at
    pending = b""
    while not unpacking.eof:
        if not pending:
            if at >= stream.size:
                raise EOFError("the stream ends early")
            pending = stream.at(at, min(BLOCK, stream.size - at))
            at += len(pending)
        made = unpacking.decompress(pending, _STEP)
        data += made
        _count(len(made), len(data), stream.size, inspection)
        if isinstance(unpacking, (bz2.BZ2Decompressor, lzma.LZMADecompressor)):
            pending = b""
            while not unpacking.eof and not unpacking.needs_input:
                made = unpacking.decompress(b"", _STEP)
                data += made
                _count(len(made), len(data), stream.size, inspection)
        else:
            pending = unpacking.unconsumed_tail
    return at - begun - len(unpacking.unused_data)


def _count(made: int, total: int, packed: int, inspection: Inspection) -> None:
    try:
        inspection.budget.take_inflated(made)
    except Exhausted:
        if total > BOMB * packed:
            inspection.find("archive.bomb", f"{packed} bytes unpack to more than {total}")
        raise


_UNPACKING: Final = {
    "gzip": lambda: zlib.decompressobj(31),
    "zlib": lambda: zlib.decompressobj(15),
    "bzip2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(memlimit=256 << 20),
}
