"""safetensors: a JSON header that says where each tensor lies, and the tensors, without a gap.

Rules: as the format's reference reader holds them (safetensors 0.8), and stricter: of the content only the header is
read, so that its size does not matter.
"""

import json
from typing import Final, cast

from nomoat.inspection.content import Bytes, Inspection, Malformed

LARGEST_HEADER: Final = 100_000_000  # bytes, the format's own limit
_MOST_METADATA: Final = 1 << 20
_LONGEST_NAME: Final = 4096
# Bits of an item.
_DTYPES: Final = {
    "BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32,
    "C64": 64, "F64": 64, "I64": 64, "U64": 64,
}  # fmt: skip


def is_safetensors(content: Bytes, head: bytes) -> bool:
    """Whether a content begins as one."""
    return (
        len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= max(content.size, LARGEST_HEADER)
    )


def inspect_safetensors(content: Bytes, inspection: Inspection) -> None:
    """Check the layout. Raises `Malformed`."""
    size = int.from_bytes(content.at(0, 8), "little")
    if size > LARGEST_HEADER or 8 + size > content.size:
        raise Malformed(f"a header of {size} bytes in {content.size}")
    header = _parsed(content.at(8, size), inspection)
    metadata = header.pop("__metadata__", {})
    texts = cast("dict[str, object]", metadata) if isinstance(metadata, dict) else {"": None}
    if not all(isinstance(value, str) for value in texts.values()):
        raise Malformed("__metadata__ is no mapping of texts")
    if sum(len(key) + len(str(value)) for key, value in texts.items()) > _MOST_METADATA:
        raise Malformed("__metadata__ of more than 1 MiB")
    end = 0
    for begin, over, name in sorted(_tensor(name, value) for name, value in header.items()):
        if begin != end:
            inspection.find("safetensors.layout", f"{name} begins at byte {begin}, not {end}")
        end = max(end, over)
    if end != content.size - 8 - size:
        inspection.find("safetensors.layout", f"tensors end at byte {end} of {content.size - 8 - size}")


def _parsed(data: bytes, inspection: Inspection) -> dict[str, object]:
    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        made = dict(pairs)
        if len(made) != len(pairs):
            inspection.find("safetensors.duplicate-key")
        return made

    try:
        header: object = json.loads(data.decode("utf-8"), object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"the header is no JSON: {error}") from None
    if not isinstance(header, dict):
        raise Malformed("the header is no mapping")
    return cast("dict[str, object]", header)


def _tensor(name: str, value: object) -> tuple[int, int, str]:
    """Where a tensor begins and ends. Raises `Malformed` if its type, shape and place disagree."""
    held = cast("dict[str, object]", value) if isinstance(value, dict) else {}
    dtype, shape, place = held.get("dtype"), held.get("shape"), held.get("data_offsets")
    if set(held) != {"dtype", "shape", "data_offsets"} or not isinstance(shape, list) or not isinstance(place, list):
        raise Malformed(f"{name!r:.60} is no tensor")
    if not isinstance(dtype, str) or dtype not in _DTYPES or len(name) > _LONGEST_NAME:
        raise Malformed(f"{name!r:.60} of type {dtype!r:.20}")
    match cast("list[object]", place):
        case [int(begin), int(end)] if not isinstance(begin, bool) and not isinstance(end, bool):
            pass
        case _:
            raise Malformed(f"{name!r:.60} has no place")
    bits = _DTYPES[dtype]
    for length in cast("list[object]", shape):
        if not isinstance(length, int) or isinstance(length, bool) or length < 0:
            raise Malformed(f"{name!r:.60} has no shape")
        bits *= length
        if bits >= 1 << 64:
            raise Malformed(f"{name!r:.60} is too large")
    if not 0 <= begin <= end or (end - begin) * 8 != bits:
        raise Malformed(f"{name!r:.60} lies in {end - begin} bytes and needs {bits / 8:g}")
    return begin, end, name
