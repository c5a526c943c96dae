"""Pickles as files: plain ones, joblib's, and the checkpoints of torch, old and new.

A checkpoint names its storages: raw numbers beside the pickle, which no loader takes for anything else. They are
looked at only as far as size and first bytes, so that a checkpoint costs what its pickle costs.
"""

import io
from collections.abc import Callable
from typing import Final, Protocol, cast

import picklescan.scanner  # pyright: ignore[reportMissingTypeStubs]

from nomoat.core.verdict import Verdict
from nomoat.inspection.content import Bytes, Exhausted, Inspection, Malformed, Part
from nomoat.inspection.opcodes import Reader
from nomoat.inspection.pickles import Followed, Interpreter, names_something
from nomoat.inspection.values import Global, tuple_of
from nomoat.inspection.zips import Member


class _Opinion(Protocol):
    """What is used of what picklescan returns."""

    issues_count: int


# picklescan states no types.
_SCAN: Final = cast("Callable[[io.BytesIO, str], _Opinion]", picklescan.scanner.scan_pickle_bytes)  # pyright: ignore[reportUnknownMemberType]
_MAGIC: Final = 0x1950A86A20F9469CFC6C  # of a legacy checkpoint (torch.serialization.MAGIC_NUMBER)
_LARGEST_OPINION: Final = 1 << 20
_ITEMSIZES: Final = {
    "Double": 8, "Float": 4, "Half": 2, "BFloat16": 2, "Long": 8, "Int": 4, "Short": 2, "Char": 1, "Byte": 1, "Bool": 1,
    "ComplexDouble": 16, "ComplexFloat": 8, "QInt8": 1, "QUInt8": 1, "QInt32": 4, "QUInt4x2": 1, "QUInt2x4": 1,
    "Untyped": 1,
}  # fmt: skip


def inspect_pickles(content: Bytes, inspection: Inspection) -> str:
    """Follow the pickles that a content consists of; returns its format. Raises `Exhausted`."""
    reader = Reader(content)
    try:
        first = Interpreter(content, inspection, reader).follow()
    except Malformed as error:
        inspection.find("pickle.malformed", str(error))
        _second_opinion(content, content.size, inspection)
        return "pickle"
    if first.value == _MAGIC:
        return _legacy(content, reader, inspection)
    joblib, begun = first.arrays, reader.at
    try:
        while reader.at < content.size:
            begun = reader.at
            joblib |= Interpreter(content, inspection, reader).follow().arrays
    except Malformed:
        inspection.find("pickle.trailing", f"{content.size - begun} bytes after byte {begun}")
    _second_opinion(content, content.size, inspection)
    return "joblib" if joblib else "pickle"


def seems_pickle(content: Bytes, inspection: Inspection) -> bool:
    """Whether a content of whatever looks would load as a pickle that does something. Raises `Exhausted`."""
    aside, reader = inspection.aside(), Reader(content)
    named = called = False
    ended = True
    try:
        while reader.at < content.size:  # loaders take one after the other: what begins with a number may go on
            interpreter = Interpreter(content, aside, reader)
            try:
                interpreter.follow()
            finally:
                named = named or bool(interpreter.followed.named)
                called = called or interpreter.followed.called > 0
            if interpreter.followed.value == _MAGIC:
                return True
            if named:
                break
    except Malformed:
        ended = False
    except Exhausted:
        if not _is_dangerous(aside):
            raise
    return (named and (ended or called)) or _is_dangerous(aside)


def _is_dangerous(inspection: Inspection) -> bool:
    return any(each.verdict is Verdict.REFUSED and names_something(each) is not False for each in inspection.found)


def _second_opinion(content: Bytes, size: int, inspection: Inspection) -> None:
    """What picklescan says of a small pickle. It can only make it worse."""
    if size > _LARGEST_OPINION:
        return
    opinion = _SCAN(io.BytesIO(content.at(0, size)), "content")
    if opinion.issues_count:
        inspection.find("pickle.second-opinion", f"{opinion.issues_count} of its globals")


def _legacy(content: Bytes, reader: Reader, inspection: Inspection) -> str:
    """A checkpoint before torch 1.6: five pickles (magic, protocol, system, object, keys), then the storages."""
    try:
        for _ in range(2):
            Interpreter(content, inspection, reader).follow()
        held = Interpreter(content, inspection, reader, persistent=True).follow()
        keys = Interpreter(content, inspection, reader).follow().value
    except Malformed as error:
        inspection.find("pickle.malformed", str(error))
        return "torch-legacy"
    sizes = _storages(held, inspection)
    at = reader.at
    _second_opinion(content, at, inspection)
    for key in cast("list[object]", keys) if isinstance(keys, list) else []:
        if not isinstance(key, str) or key not in sizes or at + 8 > content.size:
            inspection.find("torch.legacy-layout", f"storage {key!r:.40}")
            return "torch-legacy"
        count, itemsize = sizes.pop(key)
        if int.from_bytes(content.little(at, 8), "little") != count:
            inspection.find("torch.legacy-layout", f"storage {key!r:.40} of another size")
        at += 8 + count * itemsize
    if at != content.size or sizes:
        inspection.find("torch.legacy-layout", f"{content.size - at} bytes, {len(sizes)} storages")
    return "torch-legacy"


def inspect_checkpoint(pickle: Bytes, inspection: Inspection) -> dict[str, tuple[int, int]]:
    """Follow the data.pkl of a checkpoint; returns its storages: how many items of how many bytes each has."""
    reader = Reader(pickle)
    try:
        followed = Interpreter(pickle, inspection, reader, persistent=True).follow()
    except Malformed as error:
        inspection.find("pickle.malformed", str(error))
        _second_opinion(pickle, pickle.size, inspection)
        return {}
    if reader.at != pickle.size:
        inspection.find("pickle.trailing", f"{pickle.size - reader.at} bytes")
    _second_opinion(pickle, pickle.size, inspection)
    return _storages(followed, inspection)


def _storages(followed: Followed, inspection: Inspection) -> dict[str, tuple[int, int]]:
    """The storages that references name: ('storage', its type, key, device, count, view)."""
    found: dict[str, tuple[int, int]] = {}
    for reference in followed.persistent:
        match (tuple_of(reference) or ())[:5]:
            case ("storage", Global(name=name), str(key), str(), int(count)) if count >= 0:
                itemsize = _ITEMSIZES.get(name.removesuffix("Storage"))
                if itemsize is not None and found.setdefault(key, (count, itemsize)) == (count, itemsize):
                    continue
            case _:
                pass
        inspection.find("pickle.persistent-id", "a reference that is no storage")
    return found


def check_storage(archive: Bytes, member: Member, size: int, inspection: Inspection) -> None:
    """A storage of a checkpoint: as large as its checkpoint says, stored as it is, and nothing that is run."""
    if member.deflated or member.size != size:
        inspection.find("torch.storage", f"{member.size} bytes for {size}")
        return
    head = archive.little(member.begin, min(member.size, 64))
    if head.startswith((b"\x7fELF", b"#!/")):
        inspection.find("native.executable", "in place of numbers")
    if head[:1] in {b"\x80", b"c", b"("}:
        content = Part(archive, member.begin, member.size)
        if seems_pickle(content, inspection):
            inspect_pickles(content, inspection)
