"""The inspection of a content: what it is by its bytes, and what is wrong with it.

Rules: by content, never by name. Every content is also tried as a pickle and as a zip, because a file can be two
things. Nothing raises, nothing is run, nothing is written; what was not examined whole is not clean. All imports
happen with this module: it runs in a process that can open no file any more.
"""

from typing import BinaryIO, Final

from nomoat.core.verdict import Report
from nomoat.inspection import sniffing
from nomoat.inspection.archives import decompressed, tar_members
from nomoat.inspection.arrays import inspect_npy
from nomoat.inspection.checkpoints import check_storage, inspect_checkpoint, inspect_pickles, seems_pickle
from nomoat.inspection.content import Budget, Bytes, Exhausted, Held, Inspection, Malformed, Outermost
from nomoat.inspection.gguf import inspect_gguf
from nomoat.inspection.onnx import inspect_onnx
from nomoat.inspection.parquet import inspect_parquet
from nomoat.inspection.safetensors import inspect_safetensors
from nomoat.inspection.texts import inspect_text, widened
from nomoat.inspection.zips import Member, members

_WALKERS: Final = {
    "safetensors": inspect_safetensors,
    "gguf": inspect_gguf,
    "onnx": inspect_onnx,
    "parquet": inspect_parquet,
    "npy": inspect_npy,
}
_STREAMS: Final = frozenset({"gzip", "zlib", "bzip2", "xz"})


def inspect(content: BinaryIO, size: int) -> Report:
    """Examine a content of `size` bytes behind a seekable file. Never raises."""
    budget = Budget()
    inspection = Inspection(budget)
    form = "unknown"
    try:
        form = _inspect(Outermost(content, size, budget), inspection)
    except (OSError, MemoryError) as error:
        inspection.find("content.unreadable", type(error).__name__)
    return Report.of(form, inspection.found)


def _inspect(content: Bytes, inspection: Inspection) -> str:
    """Examine a content or a member of one; returns its format."""
    form = "unknown"
    try:
        form = sniffing.format_of(content)
        if form != "pickle" and seems_pickle(content, inspection):
            if form not in {"text", "unknown"}:
                inspection.find("polyglot.pickle", form)
            inspect_pickles(content, inspection)
            form = "pickle" if form in {"text", "unknown"} else form
            if form == "pickle":
                return form
        if form not in {"zip", "tar"} and sniffing.ends_as_zip(content):  # a tar's last member may well be one
            inspection.find("polyglot.zip", form)
        form = _by_format(content, form, inspection)
    except Malformed as error:
        rule = f"{form}.malformed"
        inspection.find(rule if rule in sniffing.MALFORMED else "content.malformed", str(error))
    except Exhausted as error:
        inspection.find("budget.exhausted", str(error))
    except (OSError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001  (whatever a parser raises is a finding)
        inspection.find("content.malformed", f"{type(error).__name__}: {error}")
    return form


def _by_format(content: Bytes, form: str, inspection: Inspection) -> str:
    """Examine a content of a known format, or say that it is none; returns the format, now that more is known."""
    if form in _READERS:
        return _READERS[form](content, inspection)
    if form in _WALKERS:
        _WALKERS[form](content, inspection)
    elif form in _STREAMS:
        _inspect(decompressed(content, form, inspection), inspection.member(form))
    elif form in sniffing.JUDGED:
        inspection.find(sniffing.JUDGED[form], form)
    else:
        inspection.find("content.unknown", content.at(0, min(8, content.size)).hex(" "))
    return form


def _text(content: Bytes, inspection: Inspection) -> str:
    wide = widened(content.at(0, min(4, content.size)), content)
    return inspect_text(Held(wide) if wide is not None else content, inspection)


def _tar(content: Bytes, inspection: Inspection) -> str:
    for name, member in tar_members(content, inspection):
        _inspect(member, inspection.member(name))
    return "tar"


def _zip(archive: Bytes, inspection: Inspection) -> str:
    """Examine the members of a zip; a checkpoint's storages only as far as its pickle names them."""
    listed = members(archive, inspection)
    storages: dict[str, int] = {}
    pickles = [member for member in listed if member.name.rpartition("/")[2] == "data.pkl"]
    for member in pickles:
        inside = inspection.member(member.name)
        folder = member.name.removesuffix("data.pkl")
        named = inspect_checkpoint(member.unpacked(archive, inside), inside)
        storages |= {f"{folder}data/{key}": count * size for key, (count, size) in named.items()}
    formats: set[str] = set()
    for member in listed:
        if member in pickles:
            continue
        inside = inspection.member(member.name)
        if member.name in storages:
            check_storage(archive, member, storages.pop(member.name), inside)
            continue
        formats.add(_member(archive, member, inside))
    for name in storages:
        inspection.find("torch.storage", f"{name} is missing")
    names = {member.name for member in listed}
    if pickles:
        if any("/code/" in name or name.endswith("constants.pkl") for name in names):
            inspection.find("torch.script")
        return "torch-zip"
    if {"config.json", "metadata.json"} <= names and "keras-config" in formats:
        return "keras"
    return "npz" if formats == {"npy"} else "zip"


def _member(archive: Bytes, member: Member, inside: Inspection) -> str:
    try:
        return _inspect(member.unpacked(archive, inside), inside)
    except Malformed as error:
        inside.find("zip.malformed", str(error))
    except Exhausted as error:
        inside.find("budget.exhausted", str(error))
    return "unknown"


# What says more of the format than its first bytes do.
_READERS: Final = {"pickle": inspect_pickles, "text": _text, "zip": _zip, "tar": _tar}
