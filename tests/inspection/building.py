"""Builds artifacts byte by byte: what libraries would not write, and checkpoints as torch writes them, without torch."""

import io
import json
import pickle
import struct
import sys
import types
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

MARKER = "touch nomoat-marker"  # the most that a hostile artifact here would do, if something ran it


def short(text: str) -> bytes:
    """SHORT_BINUNICODE."""
    return b"\x8c" + bytes([len(text.encode())]) + text.encode()


def calls(module: str, name: str, argument: str = MARKER, protocol: int = 4) -> bytes:
    """A pickle that calls a global with one text."""
    if protocol < 2:
        return f"c{module}\n{name}\n(S'{argument}'\ntR.".encode()
    if protocol < 4:
        return (
            bytes([0x80, protocol])
            + f"c{module}\n{name}\n".encode()
            + b"X"
            + struct.pack("<L", len(argument))
            + argument.encode()
            + b"\x85R."
        )
    return bytes([0x80, protocol]) + short(module) + short(name) + b"\x93" + short(argument) + b"\x85R."


def names(module: str, name: str) -> bytes:
    """A pickle that is nothing but a global."""
    return b"\x80\x04" + short(module) + short(name) + b"\x93."


EVIL = calls("posix", "system")


def zipped(members: dict[str, bytes] | list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip archive as Python writes it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members.items() if isinstance(members, dict) else members:
            archive.writestr(name, data)
    return file.getvalue()


class _Stub:
    """Stands for a class or function of torch that is named and not called."""


class Storage(_Stub):
    """A storage of torch: pickled as a reference."""

    def __init__(self, kind: str, key: str, count: int) -> None:
        self.reference = ("storage", TORCH[kind], key, "cpu", count)


def _stand_in(module: str, name: str, *, function: bool = False) -> object:
    made: type | types.FunctionType
    made = types.FunctionType((lambda *_: None).__code__, {}, name) if function else type(name, (_Stub,), {})
    made.__module__, made.__qualname__ = module, name
    setattr(sys.modules[module], name, made)
    return made


TORCH: dict[str, object] = {}


@contextmanager
def torch() -> Iterator[None]:
    """Modules that are named as those of torch while something is pickled."""
    modules = ["torch", "torch._utils", "torch.nn", "torch.nn.parameter", "torch.storage"]
    for name in modules:
        sys.modules[name] = types.ModuleType(name)
    try:
        for kind in ("FloatStorage", "HalfStorage", "LongStorage", "BFloat16Storage"):
            TORCH[kind] = _stand_in("torch", kind)
        TORCH["rebuild"] = _stand_in("torch._utils", "_rebuild_tensor_v2", function=True)
        TORCH["parameter"] = _stand_in("torch._utils", "_rebuild_parameter", function=True)
        TORCH["float32"] = _stand_in("torch", "float32")
        yield
    finally:
        for name in modules:
            del sys.modules[name]


class Tensor:
    """A tensor, pickled as torch pickles one."""

    def __init__(self, kind: str, key: str, shape: tuple[int, ...], *, parameter: bool = False) -> None:
        self.kind, self.key, self.shape, self.parameter = kind, key, shape, parameter

    def __reduce__(self) -> tuple[object, ...]:
        count = 1
        for length in self.shape:
            count *= length
        strides = (self.shape[-1], 1) if len(self.shape) == 2 else (1,) * len(self.shape)
        built: tuple[object, ...] = (Storage(self.kind, self.key, count), 0, self.shape, strides, False, OrderedDict())
        if self.parameter:
            return TORCH["parameter"], (Tensor(self.kind, self.key, self.shape), True, OrderedDict())
        return TORCH["rebuild"], built


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj: object) -> object:
        return obj.reference if isinstance(obj, Storage) else None


def torch_pickled(value: object, protocol: int = 2) -> bytes:
    """The data.pkl of a value with tensors in it."""
    file = io.BytesIO()
    _Pickler(file, protocol).dump(value)
    return file.getvalue()


def torch_zip(
    pickled: bytes, storages: dict[str, bytes], more: dict[str, bytes] | None = None, root: str = "archive"
) -> bytes:
    """A checkpoint as torch's writer (miniz) makes it: stored, aligned to 64 bytes by padding, data descriptors."""
    members = {
        f"{root}/data.pkl": pickled,
        f"{root}/.format_version": b"1",
        f"{root}/byteorder": b"little",
        **{f"{root}/data/{key}": data for key, data in storages.items()},
        f"{root}/version": b"3\n",
        f"{root}/.data/serialization_id": b"0" * 40,
        **(more or {}),
    }
    out, directory = bytearray(), bytearray()
    for name, data in members.items():
        encoded, checksum, begin = name.encode(), zlib.crc32(data), len(out)
        padding = -(begin + 30 + len(encoded) + 4) % 64
        extra = b"FB" + struct.pack("<H", padding) + b"Z" * padding
        out += (
            struct.pack("<4s5H3L2H", b"PK\x03\x04", 0, 0x0808, 0, 0, 0, 0, 0, 0, len(encoded), len(extra))
            + encoded
            + extra
        )
        out += data + b"PK\x07\x08" + struct.pack("<LLL", checksum, len(data), len(data))
        directory += struct.pack(
            "<4s6H3L5H2L", b"PK\x01\x02", 0, 0, 0x0808, 0, 0, 0, checksum, len(data), len(data), len(encoded), 0, 0, 0, 0, 0, begin
        ) + encoded  # fmt: skip
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, len(members), len(members), len(directory), len(out), 0)
    return bytes(out + directory + end)


def checkpoint(layers: int = 3, shape: tuple[int, int] = (4, 8), more: dict[str, bytes] | None = None) -> bytes:
    """A state dict of some layers."""
    with torch():
        state: OrderedDict[str, object] = OrderedDict()
        for layer in range(layers):
            state[f"layers.{layer}.weight"] = Tensor("FloatStorage", str(2 * layer), shape)
            state[f"layers.{layer}.bias"] = Tensor("FloatStorage", str(2 * layer + 1), (shape[0],), parameter=True)
        pickled = torch_pickled(state)
    sizes = {str(2 * layer): shape[0] * shape[1] * 4 for layer in range(layers)}
    sizes |= {str(2 * layer + 1): shape[0] * 4 for layer in range(layers)}
    return torch_zip(pickled, {key: bytes(size) for key, size in sizes.items()}, more)


def legacy_checkpoint(*, tail: bytes = b"") -> bytes:
    """A checkpoint as torch wrote it before 1.6."""
    with torch():
        pickled = torch_pickled({"weight": Tensor("FloatStorage", "94", (2, 2))})
    parts = [
        pickle.dumps(0x1950A86A20F9469CFC6C, 2),
        pickle.dumps(1001, 2),
        pickle.dumps({"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2}}, 2),
        pickled,
        pickle.dumps(["94"], 2),
        struct.pack("<q", 4) + bytes(16),
    ]
    return b"".join(parts) + tail


def safetensors(header: object, data: bytes = b"", *, raw: bytes | None = None) -> bytes:
    """A safetensors file with whatever header."""
    encoded = raw if raw is not None else json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + data


def f32(begin: int, end: int, shape: list[int] | None = None) -> dict[str, object]:
    """A tensor's entry in a safetensors header."""
    return {"dtype": "F32", "shape": [(end - begin) // 4] if shape is None else shape, "data_offsets": [begin, end]}


def gguf_text(text: str) -> bytes:
    """A string of GGUF."""
    return struct.pack("<Q", len(text.encode())) + text.encode()


def gguf(keys: list[tuple[str, str]], tensors: list[tuple[str, int, int]] = [], data: bytes = b"") -> bytes:  # noqa: B006
    """A GGUF file with text values and tensors (name, items of float32, offset)."""
    out = b"GGUF" + struct.pack("<LQQ", 3, len(tensors), len(keys))
    out += b"".join(gguf_text(key) + struct.pack("<L", 8) + gguf_text(value) for key, value in keys)
    out += b"".join(gguf_text(name) + struct.pack("<LQLQ", 1, items, 0, offset) for name, items, offset in tensors)
    return out + bytes(-len(out) % 32) + data


def npy(descr: str, shape: str, data: bytes) -> bytes:
    """An NPY file with whatever header."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data
