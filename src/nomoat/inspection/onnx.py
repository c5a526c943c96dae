"""ONNX: a protobuf message, walked without its schema but for the fields that matter.

Source: onnx.proto (IR version 3 to 13); protobuf's wire format. Tensors' data is passed over. A message that occurs
twice counts each time, as a parser that merges them would have it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from nomoat.inspection.content import Bytes, Inspection, Malformed, leads_outside

_DEEPEST: Final = 32  # graphs in nodes in graphs
_MOST_FIELDS: Final = 5_000_000
_LONGEST_TEXT: Final = 1 << 16
_DOMAINS: Final = frozenset(
    {"", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview.training", "ai.onnx.preview", "com.microsoft"}
)
_PYTHON: Final = frozenset({"PythonOp", "PythonOpGrad", "PyOp", "PyCustomOp", "PyFunc", "ATen"})
_COMPILED: Final = frozenset(
    {"EPContext"}
)  # a graph as somebody's compiler left it, in the model or in a file beside it


class _Field(NamedTuple):
    """A field: its number, its wire type, its value or the place of it, its size."""

    number: int
    wire: int
    value: int
    size: int


@dataclass(slots=True)
class _Model:
    """What was seen of a model."""

    content: Bytes
    inspection: Inspection
    fields: int = 0
    used: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    defined: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])

    def walk(self, begin: int, end: int) -> Iterator[_Field]:
        """The fields of a message. Raises `Malformed`."""
        at = begin
        while at < end:
            self.fields += 1
            if self.fields > _MOST_FIELDS:
                raise Malformed(f"more than {_MOST_FIELDS} fields")
            tag, at = self._varint(at, end)
            number, wire = tag >> 3, tag & 7
            if not 0 < number < 1 << 29:
                raise Malformed(f"field {number} at byte {at}")
            if wire == 0:
                value, at = self._varint(at, end)
                yield _Field(number, wire, value, 0)
                continue
            if wire == 2:
                size, at = self._varint(at, end)
            elif wire in {1, 5}:
                size = 8 if wire == 1 else 4
            else:
                raise Malformed(f"wire type {wire} at byte {at}")
            if at + size > end:
                raise Malformed(f"field {number} of {size} bytes at byte {at} goes past its message")
            yield _Field(number, wire, at, size)
            at += size

    def text(self, of: _Field) -> str:
        """The text of a field."""
        if of.wire != 2 or of.size > _LONGEST_TEXT:
            raise Malformed(f"field {of.number} is no text")
        return self.content.at(of.value, of.size).decode("utf-8", "replace")

    def inside(self, of: _Field) -> Iterator[_Field]:
        """The fields of the message that a field holds."""
        if of.wire != 2:
            raise Malformed(f"field {of.number} is no message")
        return self.walk(of.value, of.value + of.size)

    def judge(self) -> None:
        """Find the operators that are not the format's own, once all that the model defines are known."""
        for domain, operator in sorted(self.used):
            if operator in _PYTHON:
                self.inspection.find("onnx.python-operator", f"{domain}.{operator}")
            elif operator in _COMPILED or (domain not in _DOMAINS and (domain, operator) not in self.defined):
                self.inspection.find("onnx.custom-domain", f"{domain}.{operator}")

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        data = self.content.at(at, min(10, end - at))
        value = 0
        for place, byte in enumerate(data):
            value |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                return value, at + place + 1
        raise Malformed(f"a number without an end at byte {at}")


def is_onnx(content: Bytes, head: bytes) -> bool:
    """Whether a content is a message with a model's fields: a graph and what it is written in."""
    if not head or head[0] not in {0x08, 0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42}:
        return False
    seen: dict[int, int] = {}
    try:
        for each in _Model(content, Inspection()).walk(0, content.size):
            seen[each.number] = each.wire
            if len(seen) > 24:
                return False
    except Malformed:
        # One that goes wrong after it began as a model is a broken model.
        return head[0] == 0x08 and len(head) > 2 and head[1] < 0x20 and head[2] in {0x12, 0x3A} and seen.get(1) == 0
    return seen.get(7) == 2 and seen.get(8) == 2 and set(seen) <= {1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26}


def inspect_onnx(content: Bytes, inspection: Inspection) -> None:
    """Check the structure, where external data lies, and which operators are used. Raises `Malformed`."""
    model = _Model(content, inspection)
    graphs = 0
    for each in model.walk(0, content.size):
        if each.number == 7:
            graphs += 1
            _graph(model, each, 0)
        elif each.number == 20:
            for training in model.inside(each):
                if training.number in {1, 2}:
                    _graph(model, training, 0)
        elif each.number == 25:
            _function(model, each)
    if graphs != 1:
        raise Malformed(f"{graphs} graphs")
    model.judge()


def _graph(model: _Model, graph: _Field, depth: int) -> None:
    if depth > _DEEPEST:
        raise Malformed(f"more than {_DEEPEST} graphs within each other")
    for each in model.inside(graph):
        if each.number == 1:
            _node(model, each, depth)
        elif each.number == 5:
            _tensor(model, each)
        elif each.number == 15:
            _sparse(model, each)


def _function(model: _Model, function: _Field) -> None:
    name = domain = ""
    for each in model.inside(function):
        if each.number == 1:
            name = model.text(each)
        elif each.number == 10:
            domain = model.text(each)
        elif each.number == 7:
            _node(model, each, 0)
        elif each.number == 11:
            _attribute(model, each, 0)
    model.defined.add((domain, name))


def _node(model: _Model, node: _Field, depth: int) -> None:
    operator = domain = ""
    for each in model.inside(node):
        if each.number == 4:
            operator = model.text(each)
        elif each.number == 7:
            domain = model.text(each)
        elif each.number == 5:
            _attribute(model, each, depth)
    model.used.add((domain, operator))


def _attribute(model: _Model, attribute: _Field, depth: int) -> None:
    for each in model.inside(attribute):
        if each.number in {5, 10}:
            _tensor(model, each)
        elif each.number in {6, 11}:
            _graph(model, each, depth + 1)
        elif each.number in {22, 23}:
            _sparse(model, each)


def _sparse(model: _Model, sparse: _Field) -> None:
    for each in model.inside(sparse):
        if each.number in {1, 2}:
            _tensor(model, each)


def _tensor(model: _Model, tensor: _Field) -> None:
    for each in model.inside(tensor):
        if each.number == 13:  # external_data: pairs of key and value
            key = value = ""
            for part in model.inside(each):
                if part.number == 1:
                    key = model.text(part)
                elif part.number == 2:
                    value = model.text(part)
            if key == "location" and (leads_outside(value) or not value):
                model.inspection.find("onnx.external-path", value)
