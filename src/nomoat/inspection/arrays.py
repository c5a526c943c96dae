"""NPY: a header that is a Python literal, then the items of the array; of objects, a pickle.

Source: numpy.lib.format, versions 1 to 3.
"""

import ast
from typing import Final, cast

from nomoat.inspection.checkpoints import inspect_pickles
from nomoat.inspection.content import Bytes, Inspection, Malformed, Part
from nomoat.inspection.values import itemsize_of, tuple_of

_LARGEST_HEADER: Final = 1 << 16
_MOST_FIELDS: Final = 4096


def inspect_npy(content: Bytes, inspection: Inspection) -> None:
    """Check that header and items agree. Raises `Malformed`."""
    major, minor = content.at(6, 2)
    if major not in {1, 2, 3} or minor:
        raise Malformed(f"version {major}.{minor}")
    width = 2 if major == 1 else 4
    size = int.from_bytes(content.at(8, width), "little")
    if size > _LARGEST_HEADER:
        raise Malformed(f"a header of {size} bytes")
    begin = 8 + width + size
    try:
        header: object = ast.literal_eval(content.at(8 + width, size).decode("utf-8" if major == 3 else "latin-1"))
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        raise Malformed("the header is no literal") from None
    held = cast("dict[object, object]", header) if isinstance(header, dict) else {}
    shape = tuple_of(held.get("shape"))
    if set(held) != {"descr", "fortran_order", "shape"} or not isinstance(held["fortran_order"], bool) or shape is None:
        raise Malformed("the header does not say what the array is")
    bytes_of = _itemsize(held["descr"], 0)
    if bytes_of is None:
        inspection.find("npy.objects")
        inspect_pickles(Part(content, begin, content.size - begin), inspection)
        return
    for length in shape:
        if not isinstance(length, int) or isinstance(length, bool) or length < 0:
            raise Malformed("the array has no shape")
        bytes_of *= length
    if begin + bytes_of != content.size:
        raise Malformed(f"the array has {content.size - begin} bytes and needs {bytes_of}")


def _itemsize(descr: object, depth: int) -> int | None:
    """The bytes of an item, None if it holds objects. Raises `Malformed`."""
    if depth > 8:
        raise Malformed("types within types within types")
    if isinstance(descr, str):
        size = itemsize_of(descr)
        if size is None:
            raise Malformed(f"items of type {descr:.40}")
        return size or (None if descr.lstrip("<>=|")[:1] == "O" else 0)
    if (shaped := tuple_of(descr)) is not None:
        return _shaped(shaped, depth)
    if not isinstance(descr, list) or len(cast("list[object]", descr)) > _MOST_FIELDS:
        raise Malformed("items of no type")
    total = 0
    for entry in cast("list[object]", descr):
        field = tuple_of(entry) or ()
        if len(field) not in {2, 3}:
            raise Malformed("items with a field of no type")
        size = _itemsize(field[1], depth + 1) if len(field) == 2 else _shaped(field[1:], depth + 1)
        if size is None:
            return None
        total += size
    return total


def _shaped(descr: tuple[object, ...], depth: int) -> int | None:
    """A type with a shape of its own: (type, shape)."""
    if len(descr) != 2:
        raise Malformed("items of no type")
    size = _itemsize(descr[0], depth + 1)
    for length in tuple_of(descr[1]) or (descr[1],):
        if not isinstance(length, int) or length < 0:
            raise Malformed("items of no shape")
        size = None if size is None else size * length
    return size
