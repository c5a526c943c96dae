"""Contents as inspectors read them: in blocks, from any place, within a budget that all nested members share.

Rules: a read of the outermost content is a round trip to another process, so it happens in blocks, and no block is
asked for twice in a row. A read past the end is `Malformed`; what takes too much is `Exhausted`. Neither leaves
the inspection: they become findings.
"""

import codecs
import io
import re
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import BinaryIO, Final, Protocol

from nomoat.core.verdict import Finding, printable
from nomoat.inspection.rules import RULES

# Python finds a codec in a file when it is first asked for; later there are no files.
_CODECS: Final = tuple(
    codecs.lookup(name)
    for name in (
        *("ascii", "cp437", "latin-1", "raw-unicode-escape", "unicode-escape", "utf-8", "utf-8-sig"),
        *("utf-16", "utf-16-be", "utf-16-le", "utf-32", "utf-32-be", "utf-32-le"),
    )
)

BLOCK: Final = 256 << 10  # bytes of one round trip
_LITTLE: Final = 4 << 10  # bytes of the smallest read
_KEPT: Final = 8  # blocks
_MOST_AT_ONCE: Final = 16 << 20
DEEPEST: Final = 4  # contents within each other
MOST_MEMBERS: Final = 20_000
MOST_INFLATED: Final = 256 << 20  # bytes in memory that decompression made, all members together
MOST_READ: Final = 8 << 30  # bytes handed to inspectors
MOST_OPCODES: Final = 2_000_000  # of all pickles together
MOST_OF_A_RULE: Final = 32  # findings that are kept before the worst are chosen


class Malformed(Exception):
    """The content is not what its format says. Carries the sentence for the finding."""


class Exhausted(Exception):
    """A budget of the inspection is used up."""


class Bytes(Protocol):
    """Bytes that can be read from any place."""

    @property
    def size(self) -> int:
        """How many there are."""
        ...

    def at(self, offset: int, count: int) -> bytes:
        """Exactly `count` bytes from `offset` on. Raises `Malformed` past the end."""
        ...

    def little(self, offset: int, count: int) -> bytes:
        """The same, of a few bytes in a place around which little more will be read."""
        ...


@dataclass(slots=True)
class Budget:
    """What one inspection may still take; shared by everything nested in the content."""

    members: int = MOST_MEMBERS
    inflated: int = MOST_INFLATED
    read: int = MOST_READ
    opcodes: int = MOST_OPCODES

    def take_member(self) -> None:
        """Count a member. Raises `Exhausted`."""
        self.members -= 1
        if self.members < 0:
            raise Exhausted(f"more than {MOST_MEMBERS} members")

    def take_inflated(self, count: int) -> None:
        """Count bytes that decompression made. Raises `Exhausted`."""
        self.inflated -= count
        if self.inflated < 0:
            raise Exhausted(f"more than {MOST_INFLATED >> 20} MiB decompressed")

    def take_read(self, count: int) -> None:
        """Count bytes read. Raises `Exhausted`."""
        self.read -= count
        if self.read < 0:
            raise Exhausted(f"more than {MOST_READ >> 30} GiB read")


class Outermost:
    """The content itself, behind a seekable file whose every read is a round trip."""

    def __init__(self, file: BinaryIO, size: int, budget: Budget) -> None:
        self.size = size
        self._file = file
        self._budget = budget
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._small = 0, b""

    def at(self, offset: int, count: int) -> bytes:
        """Exactly `count` bytes from `offset` on. Raises `Malformed` past the end or where the file ends early."""
        _check(self.size, offset, count)
        if count > 4 * BLOCK:
            return self._read(offset, count)
        parts: list[bytes] = []
        for number in range(offset // BLOCK, (offset + max(count, 1) - 1) // BLOCK + 1):
            begin = number * BLOCK
            block = self._block(number)
            parts.append(block[max(0, offset - begin) : offset + count - begin])
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def little(self, offset: int, count: int) -> bytes:
        """The same, without the block around it unless that was read already."""
        _check(self.size, offset, count)
        first, last = offset // BLOCK, (offset + max(count, 1) - 1) // BLOCK
        if first == last and first in self._blocks:
            return self.at(offset, count)
        begin, data = self._small
        if not begin <= offset <= offset + count <= begin + len(data):
            begin, data = offset, self._read(offset, min(max(count, _LITTLE), self.size - offset))
            self._small = begin, data
        return data[offset - begin : offset - begin + count]

    def _block(self, number: int) -> bytes:
        if number in self._blocks:
            self._blocks.move_to_end(number)
            return self._blocks[number]
        begin = number * BLOCK
        block = self._read(begin, min(BLOCK, self.size - begin))
        self._blocks[number] = block
        if len(self._blocks) > _KEPT:
            self._blocks.popitem(last=False)
        return block

    def _read(self, offset: int, count: int) -> bytes:
        self._budget.take_read(count)
        self._file.seek(offset)
        parts: list[bytes] = []
        missing = count
        while missing:
            part = self._file.read(missing)
            if not part:
                raise Malformed(f"the content ends before byte {offset + count}")
            parts.append(part)
            missing -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


class Held:
    """Bytes in memory."""

    def __init__(self, data: bytes) -> None:
        self.size = len(data)
        self._data = data

    def at(self, offset: int, count: int) -> bytes:
        """Exactly `count` bytes from `offset` on. Raises `Malformed` past the end."""
        _check(self.size, offset, count)
        return self._data[offset : offset + count]

    little = at


class Part:
    """A part of other bytes, without a copy."""

    def __init__(self, of: Bytes, offset: int, size: int) -> None:
        if offset < 0 or size < 0 or offset + size > of.size:
            raise Malformed(f"a part from byte {offset} of {size} bytes does not fit into {of.size}")
        self.size = size
        self._of = of
        self._offset = offset

    def at(self, offset: int, count: int) -> bytes:
        """Exactly `count` bytes from `offset` on. Raises `Malformed` past the end."""
        _check(self.size, offset, count)
        return self._of.at(self._offset + offset, count)

    def little(self, offset: int, count: int) -> bytes:
        """The same, of a few bytes in a place around which little more will be read."""
        _check(self.size, offset, count)
        return self._of.little(self._offset + offset, count)


def _check(size: int, offset: int, count: int) -> None:
    if offset < 0 or count < 0 or offset + count > size:
        raise Malformed(f"needs bytes {offset} to {offset + count} of {size}")


class Opened(io.RawIOBase):
    """Bytes as a file, for parsers that want one."""

    def __init__(self, content: Bytes) -> None:
        super().__init__()
        self._content = content
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + (0, self._at, self._content.size)[whence]
        if self._at < 0:
            raise Malformed(f"a place before the beginning: {self._at}")
        return self._at

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes. Raises `Malformed` for more than a parser of headers has to hold."""
        left = max(0, self._content.size - self._at)
        count = left if size < 0 else min(size, left)
        if count > _MOST_AT_ONCE:
            raise Malformed(f"a header of {count} bytes")
        data = self._content.at(self._at, count) if count else b""
        self._at += count
        return data


def blocks_of(content: Bytes, block: int = BLOCK) -> list[tuple[int, int]]:
    """The places and sizes of the blocks of a content, in order."""
    return [(begin, min(block, content.size - begin)) for begin in range(0, content.size, block)]


@dataclass(slots=True)
class Inspection:
    """One inspection of a content or of a member of one: where it is, what it may take, and what was found."""

    budget: Budget = field(default_factory=Budget)
    where: str = ""
    depth: int = 0
    found: list[Finding] = field(default_factory=list[Finding])
    counts: dict[str, int] = field(default_factory=dict[str, int])

    def find(self, rule: str, what: str = "") -> None:
        """Note what was found. The rule says how bad it is; of one rule, the first of many findings are kept."""
        count = self.counts.get(rule, 0)
        self.counts[rule] = count + 1
        if count < MOST_OF_A_RULE:
            self.found.append(Finding(RULES[rule].verdict, rule, self.where, printable(what)))

    def aside(self) -> "Inspection":
        """An inspection of the same place whose findings do not count yet."""
        return Inspection(self.budget, self.where, self.depth)

    def member(self, name: str) -> "Inspection":
        """The inspection of a member. Raises `Exhausted` if it lies too deep or is one too many."""
        self.budget.take_member()
        if self.depth >= DEEPEST:
            raise Exhausted(f"more than {DEEPEST} contents within each other")
        place = printable(name)
        return Inspection(
            self.budget, f"{self.where}/{place}" if self.where else place, self.depth + 1, self.found, self.counts
        )


def words(text: str) -> frozenset[str]:
    """The words of a list that is written as text."""
    return frozenset(text.split())


_OUTSIDE: Final = re.compile(
    r"(?:^|[/\\])\.\.(?:[/\\]|$)|^[/\\~]|^[A-Za-z]:|^[A-Za-z][A-Za-z0-9+.-]*://|[\x00-\x1f\x7f]"
)


def leads_outside(path: str) -> bool:
    """Whether a path that a content names leads out of the folder it would be unpacked into, on any system."""
    return _OUTSIDE.search(path) is not None
