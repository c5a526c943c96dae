"""GGUF: counts, keys with typed values, tensors with their places; then the tensors' data.

Source: the format's specification (ggml, docs/gguf.md), versions 2 and 3, little endian. Of the content only what
lies before the data is read.
"""

import struct
from typing import Final

from nomoat.inspection.content import BLOCK, Bytes, Inspection, Malformed
from nomoat.inspection.templates import inspect_template, is_template

_MOST_KEYS: Final = 65_536
_MOST_TENSORS: Final = 1_000_000
_MOST_ITEMS: Final = 8_000_000  # of all arrays together
_LARGEST_HEADER: Final = 256 << 20
_SCALARS: Final = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING: Final = 8
_ARRAY: Final = 9
# Of each type of tensor: items in a block, bytes of it (ggml, `GGML_QUANT_SIZES`).
TYPES: Final = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 40), 10: (256, 84),
    11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292), 16: (256, 66), 17: (256, 74),
    18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2),
    26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17),
    40: (64, 36), 41: (128, 18),
}  # fmt: skip


class _Header:
    """Reads what lies before the data, in blocks."""

    def __init__(self, content: Bytes) -> None:
        self.at = 0
        self.items = 0
        self._content = content
        self._begin = 0
        self._block = b""

    def take(self, count: int) -> bytes:
        """The next bytes."""
        offset = self.at - self._begin
        if offset + count > len(self._block):
            if self.at + count > min(self._content.size, _LARGEST_HEADER):
                raise Malformed(f"the header goes on past byte {self.at}")
            self._begin, offset = self.at, 0
            self._block = self._content.at(self.at, max(count, min(BLOCK, self._content.size - self.at)))
        self.at += count
        return self._block[offset : offset + count]

    def number(self, size: int) -> int:
        """The next number without a sign."""
        return int.from_bytes(self.take(size), "little")

    def text(self) -> bytes:
        """The next string."""
        return self.take(self.number(8))

    def name(self) -> str:
        """The next string, which is a name."""
        try:
            return self.text().decode("utf-8")
        except UnicodeDecodeError:
            raise Malformed(f"a name before byte {self.at} that is no text") from None


def inspect_gguf(content: Bytes, inspection: Inspection) -> None:
    """Check counts, keys, templates and places. Raises `Malformed`."""
    header = _Header(content)
    header.take(4)
    version, tensors, keys = header.number(4), header.number(8), header.number(8)
    if version not in {2, 3} or tensors > _MOST_TENSORS or keys > _MOST_KEYS:
        raise Malformed(f"version {version}, {tensors} tensors, {keys} keys")
    alignment, seen = 32, set[str]()
    for _ in range(keys):
        key = header.name()
        if key in seen:
            inspection.find("gguf.duplicate", key)
        seen.add(key)
        kind = header.number(4)
        value = _value(header, kind)
        if key == "general.alignment":
            if kind != 4 or not isinstance(value, int) or value == 0 or value % 8 or value > 1 << 20:
                raise Malformed("an alignment that is none")
            alignment = value
        elif isinstance(value, bytes):
            _text(key, value, inspection)
    places = [_tensor(header, inspection, seen_tensors) for seen_tensors in [set[str]()] for _ in range(tensors)]
    _lay(places, alignment, -header.at % alignment + header.at, content.size, inspection)


def _text(key: str, value: bytes, inspection: Inspection) -> None:
    text = value.decode("utf-8", "replace")
    if "chat_template" in key or is_template(text):
        inspect_template(text, inspection, key)


def _value(header: _Header, kind: int) -> object:
    """The next value; of an array, nothing."""
    if kind in _SCALARS:
        return header.number(_SCALARS[kind])
    if kind == _STRING:
        return header.text()
    if kind != _ARRAY:
        raise Malformed(f"a value of type {kind} at byte {header.at}")
    of, count = header.number(4), header.number(8)
    header.items += count
    if header.items > _MOST_ITEMS:
        raise Malformed(f"more than {_MOST_ITEMS} items in arrays")
    if of in _SCALARS:
        header.take(_SCALARS[of] * count)
    elif of == _STRING:
        for _ in range(count):
            header.text()
    else:
        raise Malformed(f"an array of type {of} at byte {header.at}")
    return None


def _tensor(header: _Header, inspection: Inspection, seen: set[str]) -> tuple[int, int, str]:
    """The place, size and name of the next tensor."""
    name = header.name()
    if name in seen or len(name) > 256:
        inspection.find("gguf.duplicate", name)
    seen.add(name)
    dimensions = header.number(4)
    if dimensions > 4:
        raise Malformed(f"{name!r:.60} has {dimensions} dimensions")
    shape = struct.unpack(f"<{dimensions}Q", header.take(8 * dimensions))
    kind, offset = header.number(4), header.number(8)
    if kind not in TYPES:
        raise Malformed(f"{name!r:.60} is of type {kind}")
    items, (block, size) = 1, TYPES[kind]
    for length in shape:
        items *= length
    if (shape and shape[0] % block) or items >= 1 << 63:
        raise Malformed(f"{name!r:.60} has a shape that its type does not allow")
    return offset, items // block * size, name


def _lay(places: list[tuple[int, int, str]], alignment: int, begin: int, size: int, inspection: Inspection) -> None:
    """The data: one tensor after the other, each where its alignment puts it, and nothing else."""
    end = 0
    for offset, count, name in sorted(places):
        if offset % alignment or begin + offset + count > size:
            raise Malformed(f"{name!r:.60} lies at byte {offset} of the data, which has {size - begin}")
        if not 0 <= offset - end < alignment:
            inspection.find("gguf.layout", f"{name} begins at byte {offset}, after byte {end}")
        end = max(end, offset + count)
    if size - begin not in {end, end + -end % alignment} and (places or size > begin):
        inspection.find("gguf.layout", f"{size - begin - end} bytes after the last tensor")
