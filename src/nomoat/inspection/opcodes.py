"""The operations of a pickle, read one by one: where each begins, what it is, and its argument.

Rules: every opcode of protocols 0 to 5 (`pickletools.opcodes`) and no other; frames are held to: they end within
the content, and no operation reaches over the end of one. Long arguments are passed over, not held.
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from nomoat.inspection.content import BLOCK, Bytes, Exhausted, Malformed

HELD: Final = 4096  # bytes of an argument that are kept
_LONGEST_TEXT: Final = 64 << 20  # that a line holds
_FIGURES: Final = b"0123456789+-_ \t\r\v\f."  # that a number may be drawn out with
_OCTAL: Final = re.compile(rb"\s*[+-]?0[0-7]+\s*")


@dataclass(frozen=True, slots=True)
class Long:
    """A text, bytes or number that is too long to be kept. `of` is its type."""

    of: type
    size: int


class Operation(NamedTuple):
    """One operation: its opcode, where it begins, and its argument."""

    code: int
    at: int
    argument: object


_FIXED: Final = {
    ord("K"): (1, False), ord("M"): (2, False), ord("J"): (4, True), ord("h"): (1, False), ord("j"): (4, False),
    ord("q"): (1, False), ord("r"): (4, False), 0x80: (1, False), 0x82: (1, False), 0x83: (2, False),
    0x84: (4, True), 0x95: (8, False),
}  # fmt: skip
# The length of the length, whether it is signed, and the type.
_COUNTED: Final[dict[int, tuple[int, bool, type]]] = {
    ord("T"): (4, True, bytes), ord("U"): (1, False, bytes), ord("B"): (4, False, bytes), ord("C"): (1, False, bytes),
    0x8E: (8, False, bytes), 0x96: (8, False, bytearray), ord("X"): (4, False, str), 0x8C: (1, False, str),
    0x8D: (8, False, str), 0x8A: (1, False, int), 0x8B: (4, True, int),
}  # fmt: skip
_LINES: Final = b"ILSVFgpPci"
_BARE: Final = b"N])}(.0a1bdloRest2u\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94\x97\x98Q"


class Reader:
    """Reads operations from bytes, from a place on."""

    def __init__(self, content: Bytes, at: int = 0) -> None:
        self.at = at
        self._content = content
        self._begin = 0
        self._block = b""
        self._frame = -1  # where the frame ends, -1 outside of one

    def __iter__(self) -> Iterator[Operation]:
        """Every operation up to and including STOP. Raises `Malformed`."""
        while True:
            operation = self.next()
            yield operation
            if operation.code == 0x2E:
                return

    def next(self) -> Operation:
        """The next operation. Raises `Malformed`."""
        begun = self.at
        code = self._take(1)[0]
        if code in _BARE:
            argument: object = None
        elif code in _FIXED:
            size, signed = _FIXED[code]
            argument = int.from_bytes(self._take(size), "little", signed=signed)
            if code == 0x95:
                self._enter(argument)
                return Operation(code, begun, argument)
        elif code in _COUNTED:
            argument = self._counted(*_COUNTED[code])
            if code in b"TU":
                argument = _of_python_2(argument)
        elif code in _LINES:
            argument = self._lines(code)
        elif code == 0x47:  # BINFLOAT
            self._take(8)
            argument = 0.0
        else:
            raise Malformed(f"no opcode 0x{code:02x} at byte {begun}")
        if 0 <= self._frame <= self.at:
            if self.at > self._frame:
                raise Malformed(f"an operation at byte {begun} reaches over the end of its frame")
            self._frame = -1
        return Operation(code, begun, argument)

    def pass_over(self, count: int) -> None:
        """Leave out bytes that are no operations."""
        if count < 0 or self.at + count > self._content.size:
            raise Malformed(f"{count} bytes of data at byte {self.at} of {self._content.size}")
        self.at += count

    def _enter(self, size: int) -> None:
        if self._frame >= 0 or self.at + size > self._content.size:
            raise Malformed(f"a frame of {size} bytes at byte {self.at}")
        self._frame = self.at + size if size else -1

    def _take(self, count: int) -> bytes:
        offset = self.at - self._begin
        if offset < 0 or offset + count > len(self._block):
            self._begin = self.at
            wanted = max(count, min(BLOCK, self._content.size - self.at))
            self._block = self._content.at(self.at, wanted)
            offset = 0
        self.at += count
        return self._block[offset : offset + count]

    def _counted(self, length: int, signed: bool, of: type) -> object:
        size = int.from_bytes(self._take(length), "little", signed=signed)
        if size < 0 or self.at + size > self._content.size:
            raise Malformed(f"{size} bytes at byte {self.at} of {self._content.size}")
        if size > HELD:
            self.at += size
            return Long(of, size)
        data = self._take(size)
        if of is str:
            return _decoded(data, "utf-8")
        return int.from_bytes(data, "little", signed=True) if of is int else data

    def _line(self, longest: int) -> bytes:
        """Everything up to a line feed; longer ones cut to `HELD` bytes and one. Raises for one longer than allowed."""
        begun, parts, held = self.at, list[bytes](), 0
        while True:
            if self.at - begun > longest and longest == _LONGEST_TEXT:
                raise Exhausted(f"a text of endless length at byte {begun}")
            if self.at >= self._content.size or self.at - begun > longest:
                raise Malformed(f"a line at byte {begun} without an end")
            offset = self.at - self._begin
            if not 0 <= offset < len(self._block):
                self._begin = self.at
                self._block = self._content.at(self.at, min(BLOCK, self._content.size - self.at))
                offset = 0
            end = self._block.find(b"\n", offset)
            part = self._block[offset : end if end >= 0 else len(self._block)]
            if held <= HELD:
                parts.append(part[: HELD + 1 - held])
                held += len(parts[-1])
            self.at += len(part) + (end >= 0)
            if end >= 0:
                return b"".join(parts)

    def _lines(self, code: int) -> object:
        if code in b"ci":  # GLOBAL, INST
            return self._name(), self._name()
        if code in b"SVP":  # STRING, UNICODE, PERSID
            return self._text(code)
        return self._figures(code)

    def _figures(self, code: int) -> object:
        """A number in figures, as the C unpickler takes it: of any length, and up to a NUL."""
        begun = self.at
        head = self._content.at(begun, min(HELD + 1, self._content.size - begun))
        if b"\n" not in head and head.strip(_FIGURES):
            raise Malformed(f"no number at byte {begun}")
        line = self._line(_LONGEST_TEXT)
        if len(line) > HELD:
            if code in b"gp":
                raise Exhausted(f"a number of endless digits at byte {begun}")
            return Long(int, len(line))
        line = line.partition(b"\0")[0]
        if code == 0x46:  # FLOAT
            return _float(line)
        if code == 0x49:  # INT: False and True, too
            return line == b"01" if line in {b"00", b"01"} else _number(line or b"0", 0)
        return _number(line.removesuffix(b"L"), 0) if code == 0x4C else _number(line, 10)

    def _text(self, code: int) -> object:
        """A text of any length."""
        line = self._line(_LONGEST_TEXT)
        if len(line) > HELD:
            return Long(str, len(line))
        if code == 0x53:
            return _quoted(line)
        return _decoded(line, "raw-unicode-escape" if code == 0x56 else "ascii")

    def _name(self) -> str:
        line = self._line(HELD)
        if len(line) > HELD:
            raise Malformed("a global with an endless name")
        return _decoded(line, "utf-8")


def _decoded(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding, "surrogatepass" if encoding == "utf-8" else "strict")
    except UnicodeDecodeError as error:
        raise Malformed(f"a text that is not {encoding}: {error.reason}") from None


def _number(line: bytes, base: int) -> int:
    try:
        # In base 0, C takes a leading zero for octal; so a number is written in Python 2.
        return int(line, 8 if base == 0 and _OCTAL.fullmatch(line) else base)
    except ValueError:
        raise Malformed(f"no number: {line[:40]!r}") from None


def _float(line: bytes) -> float:
    try:
        return float(line[:HELD])
    except ValueError:
        raise Malformed(f"no number: {line[:40]!r}") from None


def _quoted(line: bytes) -> str:
    """STRING: the text of a quoted literal of Python 2, which may hold its own quotes."""
    line = line.strip()
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in {b"'", b'"'}:
        raise Malformed("a text without its quotes")
    try:
        return codecs.escape_decode(line[1:-1])[0].decode("latin-1")
    except ValueError:
        raise Malformed("a text with a wrong escape") from None


def _of_python_2(argument: object) -> object:
    """STRING of Python 2: a text, whatever the encoding it is loaded by."""
    if isinstance(argument, bytes):
        return argument.decode("latin-1")
    return Long(str, argument.size) if isinstance(argument, Long) else argument
