"""Parquet: the footer, which says where each column chunk lies, and the metadata that readers act on.

Source: parquet.thrift and Thrift's compact protocol. Pages are not decoded: they hold values, no code.
"""

import base64
import binascii
from typing import Final, cast

from nomoat.inspection.checkpoints import seems_pickle
from nomoat.inspection.content import Bytes, Held, Inspection, Malformed

_MOST_FOOTER: Final = 64 << 20
_MOST_VALUES: Final = 3_000_000
_DEEPEST: Final = 24
_ARROW: Final = "ARROW:schema"
_UNPICKLED: Final = b"arrow.py_extension_type"  # pyarrow before 15 unpickles its metadata

Struct = dict[int, object]


class _Thrift:
    """Reads structs of the compact protocol as {field id: value}."""

    def __init__(self, data: bytes) -> None:
        self.at = 0
        self._data = data
        self._values = 0

    def struct(self, depth: int = 0) -> Struct:
        """The next struct. Raises `Malformed`."""
        found: Struct = {}
        last = 0
        while True:
            head = self._byte()
            if head == 0:
                return found
            delta, kind = head >> 4, head & 15
            last = last + delta if delta else self._signed()
            if last in found:
                raise Malformed(f"field {last} stands twice")
            found[last] = kind == 1 if kind in {1, 2} else self._value(kind, depth + 1)

    def _value(self, kind: int, depth: int) -> object:
        self._values += 1
        if self._values > _MOST_VALUES or depth > _DEEPEST:
            raise Malformed(f"more than {_MOST_VALUES} values, or too deep")
        if kind in {1, 2, 3}:
            return self._byte()
        if kind in {4, 5, 6}:
            return self._signed()
        if kind == 7:
            return self._take(8)
        if kind == 8:
            return self._take(self._varint())
        if kind in {9, 10}:
            head = self._byte()
            size = head >> 4 if head >> 4 != 15 else self._varint()
            if size > len(self._data):
                raise Malformed(f"a list of {size}")
            return [self._value(head & 15, depth + 1) for _ in range(size)]
        if kind == 12:
            return self.struct(depth)
        raise Malformed(f"a value of type {kind}")

    def _take(self, count: int) -> bytes:
        self.at += count
        if self.at > len(self._data):
            raise Malformed("the footer ends early")
        return self._data[self.at - count : self.at]

    def _byte(self) -> int:
        return self._take(1)[0]

    def _varint(self) -> int:
        value = shift = 0
        while shift < 70:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
        raise Malformed("a number without an end")

    def _signed(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)


def inspect_parquet(content: Bytes, inspection: Inspection) -> None:
    """Check the footer, where the chunks lie, and the metadata. Raises `Malformed`."""
    tail = content.at(content.size - 8, 8)
    if tail[4:] == b"PARE" or content.at(0, 4) == b"PARE":
        inspection.find("parquet.encrypted")
        return
    size = int.from_bytes(tail[:4], "little")
    if tail[4:] != b"PAR1" or size > min(_MOST_FOOTER, content.size - 12):
        raise Malformed(f"a footer of {size} bytes in {content.size}")
    reader = _Thrift(content.at(content.size - 8 - size, size))
    footer = reader.struct()
    _number(footer, 1)
    if reader.at != size and 9 not in footer:  # 9: a signature follows a signed footer
        raise Malformed(f"{size - reader.at} bytes after the footer")
    leaves = _leaves(_structs(footer, 2))
    groups = _structs(footer, 4)
    if sum(_number(group, 3) for group in groups) != _number(footer, 3):
        raise Malformed("row groups do not have the rows that the footer says")
    end = 4
    for begin, count in sorted(place for group in groups for place in _chunks(group, leaves, inspection)):
        if begin < end or begin + count > content.size - 8 - size:
            inspection.find("parquet.layout", f"{count} bytes at byte {begin}")
        end = max(end, begin + count)
    for pair in _structs(footer, 5) if 5 in footer else []:
        _metadata(_text(pair, 1), pair.get(2), inspection)


def _leaves(schema: list[Struct]) -> int:
    """The columns of a schema: its elements stand in depth-first order with how many children each has."""
    if not schema:
        raise Malformed("no schema")
    leaves, open_ = 0, 1
    for element in schema:
        if open_ <= 0:
            raise Malformed("a schema with more elements than children")
        children = _number(element, 5) if 5 in element else 0
        if not 0 <= children <= len(schema):
            raise Malformed(f"an element with {children} children")
        open_ += children - 1
        leaves += children == 0
        _text(element, 4)
    if open_:
        raise Malformed("a schema with fewer elements than children")
    return 0 if len(schema) == 1 else leaves


def _chunks(group: Struct, leaves: int, inspection: Inspection) -> list[tuple[int, int]]:
    """Where the column chunks of a row group lie."""
    chunks = _structs(group, 1)
    _number(group, 2)
    if len(chunks) != leaves:
        raise Malformed(f"{len(chunks)} chunks of {leaves} columns")
    places: list[tuple[int, int]] = []
    for chunk in chunks:
        if 1 in chunk:  # file_path: in another file
            inspection.find("parquet.layout", "a chunk in another file")
        held = chunk.get(3)
        if not isinstance(held, dict):
            raise Malformed("a chunk without its metadata")
        held = cast("Struct", held)
        _number(chunk, 2)
        for number in (1, 4, 5, 6, 7, 9):  # what parquet.thrift requires
            _number(held, number)
        begins = [begin for number in (9, 11) if number in held and (begin := _number(held, number)) > 0]
        if not begins or _number(held, 7) < 0:
            raise Malformed("a chunk without a place")
        places.append((min(begins), _number(held, 7)))
    return places


def _metadata(key: str, value: object, inspection: Inspection) -> None:
    """A key and its value. Readers of Arrow make types of their schema, and unpickled some."""
    data = value if isinstance(value, bytes) else b""
    if key == _ARROW:
        try:
            data = base64.b64decode(data, validate=True)
        except binascii.Error:
            raise Malformed("a schema of Arrow that is not base64") from None
        if _UNPICKLED in data:
            inspection.find("parquet.pickle", _UNPICKLED.decode())
    elif seems_pickle(Held(data), inspection):
        inspection.find("parquet.pickle", key)


def _structs(of: Struct, number: int) -> list[Struct]:
    value = of.get(number)
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in cast("list[object]", value)):
        raise Malformed(f"field {number} is no list of structs")
    return cast("list[Struct]", value)


def _number(of: Struct, number: int) -> int:
    value = of.get(number)
    if not isinstance(value, int) or isinstance(value, bool):
        raise Malformed(f"field {number} is no number")
    return value


def _text(of: Struct, number: int) -> str:
    value = of.get(number)
    if not isinstance(value, bytes):
        raise Malformed(f"field {number} is no text")
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed(f"field {number} is no text") from None
