"""Hostile artifacts, each by its name: the bytes, the verdict that they must get at least, and the rule that says why."""

import base64
import bz2
import gzip
import io
import json
import lzma
import pickle
import struct
import tarfile
import zipfile
import zlib
from typing import NamedTuple

import joblib
import numpy
import onnx
import onnx.helper
import pyarrow
import pyarrow.parquet

from nomoat.core.verdict import Verdict
from tests.inspection.building import (
    EVIL,
    MARKER,
    calls,
    checkpoint,
    f32,
    gguf,
    legacy_checkpoint,
    names,
    npy,
    safetensors,
    short,
    torch_zip,
    zipped,
)

CODE, QUARANTINED = Verdict.CONTAINS_CODE, Verdict.QUARANTINED
UNSCANNABLE, REFUSED = Verdict.UNSCANNABLE, Verdict.REFUSED


class Hostile(NamedTuple):
    """What must be found in some bytes."""

    data: bytes
    verdict: Verdict
    rule: str


def _tar(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for entry, data in entries:
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return file.getvalue()


def _entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, link
    return entry


def _patched(data: bytes, old: bytes, new: bytes, count: int = 1) -> bytes:
    assert old in data
    return data.replace(old, new, count)


def onnx_of(domain: str = "", operator: str = "Relu", location: str | None = None) -> bytes:
    tensor = onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, [2], [1.0, 2.0])
    if location is not None:
        tensor.ClearField("float_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(operator, ["x"], ["y"], domain=domain)],
        "g",
        [value("x", onnx.TensorProto.FLOAT, [2])],
        [value("y", onnx.TensorProto.FLOAT, [2])],
        [tensor],
    )
    return bytes(onnx.helper.make_model(graph, producer_name="tests").SerializeToString())


def _parquet(metadata: dict[bytes, bytes]) -> bytes:
    file = io.BytesIO()
    table = pyarrow.table({"a": [1, 2]}).replace_schema_metadata(metadata)
    pyarrow.parquet.write_table(table, file)
    return file.getvalue()


def _keras(layer: dict[str, object]) -> bytes:
    config = {"module": "keras", "class_name": "Sequential", "config": {"layers": [layer]}, "registered_name": None}
    return zipped({"metadata.json": b"{}", "config.json": json.dumps(config).encode()})


def _template(text: str) -> bytes:
    return json.dumps({"tokenizer_class": "LlamaTokenizer", "chat_template": text}).encode()


def _npy_objects(pickled: bytes) -> bytes:
    return npy("'|O'", "(1,)", pickled)


def _dotted() -> bytes:
    """`collections.OrderedDict.fromkeys.__globals__` by a qualified name of protocol 4."""
    return b"\x80\x04" + short("collections") + short("OrderedDict.fromkeys.__globals__") + b"\x93."


def _wrong_checksum(data: bytes) -> bytes:
    """Every checksum of a zip made wrong, in both of its places."""
    good = struct.pack("<L", zlib.crc32(EVIL))
    return data.replace(good, b"\x01\x02\x03\x04")


def _bomb() -> bytes:
    return zipped({"zeros.csv": bytes(300 << 20)}, zipfile.ZIP_DEFLATED)


def _nested(data: bytes, times: int) -> bytes:
    for _ in range(times):
        data = zipped({"inner.zip": data})
    return data


def _short_bomb() -> bytes:
    """A member that says it is small and is not."""
    data = bytes(1 << 20)
    return zipped({"a.csv": data}, zipfile.ZIP_DEFLATED).replace(struct.pack("<L", len(data)), struct.pack("<L", 10))


def _polyglot_safetensors() -> bytes:
    """Loads as safetensors, and as a pickle: the header's length is read as BINUNICODE."""
    header = b'{"__metadata__":{"x":"\xc2\x93'  # swallowed by the text
    inner = b"..."
    length = 0x58 | 24 << 8
    text = header.ljust(24 - 3, b" ")[: 24 - 3]
    program = b"0cposix\nsystem\n(S'" + MARKER.encode() + b"'\ntR."
    rest = (b'"}}').rjust(length - len(text) - len(program), b" ")
    return struct.pack("<Q", length) + text + program + rest + inner


PICKLES: dict[str, Hostile] = {
    "os.system, protocol 4": Hostile(EVIL, REFUSED, "pickle.dangerous-global"),
    "os.system, protocol 0": Hostile(calls("os", "system", protocol=0), REFUSED, "pickle.dangerous-global"),
    "os.system, protocol 2": Hostile(calls("os", "system", protocol=2), REFUSED, "pickle.dangerous-global"),
    "os.system by its name on Windows": Hostile(calls("nt", "system"), REFUSED, "pickle.dangerous-global"),
    "eval": Hostile(calls("builtins", "eval"), REFUSED, "pickle.dangerous-global"),
    "exec by its name in Python 2": Hostile(calls("__builtin__", "execfile", protocol=0), REFUSED, "pickle.dangerous-global"),
    "commands.getoutput of Python 2": Hostile(calls("commands", "getoutput", protocol=1), REFUSED, "pickle.dangerous-global"),
    "importlib.import_module": Hostile(calls("importlib", "import_module"), REFUSED, "pickle.dangerous-global"),
    "idlelib.run": Hostile(calls("idlelib.run", "Executive"), REFUSED, "pickle.dangerous-global"),
    "code.InteractiveInterpreter": Hostile(names("code", "InteractiveInterpreter"), REFUSED, "pickle.dangerous-global"),
    "transformers' loader of remote code": Hostile(
        calls("transformers.dynamic_module_utils", "get_class_in_module"), REFUSED, "pickle.dangerous-global"
    ),
    "torch.hub.load": Hostile(calls("torch.hub", "load"), REFUSED, "pickle.dangerous-global"),
    "runpy, pty, webbrowser": Hostile(
        b"".join(calls(*each) for each in [("runpy", "run_path"), ("pty", "spawn"), ("webbrowser", "open")]),
        REFUSED,
        "pickle.dangerous-global",
    ),
    "numpy.testing's runner": Hostile(
        calls("numpy.testing._private.utils", "runstring"), REFUSED, "pickle.dangerous-global"
    ),
    "a global nobody knows": Hostile(calls("acme.models", "Net"), QUARANTINED, "pickle.unknown-global"),
    "an estimator of scikit-learn": Hostile(
        names("sklearn.linear_model._base", "LinearRegression"), QUARANTINED, "pickle.unknown-global"
    ),
    "a name in other letters": Hostile(calls("\uff4f\uff53", "\u0455ystem"), QUARANTINED, "pickle.unknown-global"),
    "through an allowed class by a qualified name": Hostile(_dotted(), REFUSED, "pickle.dotted-name"),
    "getattr on an allowed class": Hostile(
        b"\x80\x04" + short("builtins") + short("getattr") + b"\x93" + short("collections") + short("OrderedDict")
        + b"\x93" + short("fromkeys") + b"\x86R.",
        REFUSED, "pickle.dangerous-global",
    ),
    "calls what a call returned": Hostile(
        b"\x80\x04" + short("collections") + short("OrderedDict") + b"\x93)R" + short(MARKER) + b"\x85R.",
        REFUSED, "pickle.suspicious-call",
    ),
    "__reduce__ through an allowed function with a function in it": Hostile(
        b"\x80\x04" + short("collections") + short("defaultdict") + b"\x93" + short("x") + b"\x85R.",
        REFUSED, "pickle.suspicious-call",
    ),
    "codecs.encode to another encoding": Hostile(
        b"\x80\x04" + short("_codecs") + short("encode") + b"\x93" + short("x") + short("zlib") + b"\x86R.",
        REFUSED, "pickle.suspicious-call",
    ),
    "a bytearray as large as a number says": Hostile(
        b"\x80\x04" + short("builtins") + short("bytearray") + b"\x93\x8a\x06" + (1 << 44).to_bytes(6, "little") + b"\x85R.",
        REFUSED, "pickle.suspicious-call",
    ),
    "sets the state of a class": Hostile(
        b"\x80\x04" + short("collections") + short("OrderedDict") + b"\x93}" + short("x") + b"K\x01sb.",
        REFUSED, "pickle.suspicious-call",
    ),
    "sets the class of an object": Hostile(
        b"\x80\x04" + short("collections") + short("OrderedDict") + b"\x93)R}" + short("__class__") + b"K\x01sb.",
        REFUSED, "pickle.suspicious-call",
    ),
    "sets the class of an object out of an ordered dictionary": Hostile(
        b"\x80\x04" + short("collections") + short("OrderedDict") + b"\x93\x94)R" + b"h\x00)R" + short("__class__") + b"K\x01sb.",
        REFUSED, "pickle.suspicious-call",
    ),
    "INST": Hostile(b"(S'" + MARKER.encode() + b"'\nios\nsystem\n.", REFUSED, "pickle.dangerous-global"),
    "OBJ": Hostile(b"(cos\nsystem\nS'" + MARKER.encode() + b"'\no.", REFUSED, "pickle.dangerous-global"),
    "NEWOBJ_EX": Hostile(
        b"\x80\x04" + short("subprocess") + short("Popen") + b"\x93" + short(MARKER) + b"\x85}\x92.",
        REFUSED, "pickle.dangerous-global",
    ),
    "the name comes from the memo": Hostile(
        b"\x80\x04" + short("system") + b"\x940" + short("posix") + b"h\x00\x93" + short(MARKER) + b"\x85R.",
        REFUSED, "pickle.dangerous-global",
    ),
    "the memo is overwritten before it is used": Hostile(
        b"\x80\x04" + short("safe") + b"q\x00" + short("posix") + b"q\x000" + b"h\x00" + short("system") + b"\x93.",
        REFUSED, "pickle.dangerous-global",
    ),
    "the name is made by a call": Hostile(
        b"\x80\x04" + short("posix") + b"c_codecs\nencode\n" + short("system") + short("latin1") + b"\x86R\x93.",
        UNSCANNABLE, "pickle.unresolved-global",
    ),
    "an extension code": Hostile(b"\x80\x02\x82\x01)R.", UNSCANNABLE, "pickle.extension"),
    "an out-of-band buffer": Hostile(b"\x80\x05\x97\x98.", UNSCANNABLE, "pickle.out-of-band"),
    "a reference outside of a checkpoint": Hostile(b"\x80\x02" + short("os") + b"Q.", QUARANTINED, "pickle.persistent-id"),
    "no STOP": Hostile(EVIL[:-1], REFUSED, "pickle.dangerous-global"),
    "no STOP, and nothing bad": Hostile(pickle.dumps({"a": 1})[:-1], UNSCANNABLE, "pickle.malformed"),
    "breaks off after the call": Hostile(EVIL[:-1] + b"\xff\xff", REFUSED, "pickle.dangerous-global"),
    "the second pickle is bad": Hostile(pickle.dumps([1, 2]) + EVIL, REFUSED, "pickle.dangerous-global"),
    "the third pickle is cut": Hostile(pickle.dumps(1) * 2 + pickle.dumps([1, 2])[:-2], QUARANTINED, "pickle.trailing"),
    "a pickle in a pickle": Hostile(
        b"\x80\x04" + short("pickle") + short("loads") + b"\x93C" + bytes([len(EVIL)]) + EVIL + b"\x85R.",
        REFUSED, "pickle.dangerous-global",
    ),
    "an opcode that does not exist": Hostile(b"\x80\x04K\x01\xaf.", UNSCANNABLE, "pickle.malformed"),
    "an operation over the end of a frame": Hostile(
        b"\x80\x04\x95\x02" + bytes(7) + short("posix") + b".", UNSCANNABLE, "pickle.malformed"
    ),
    "values left on the stack": Hostile(b"\x80\x04K\x01K\x02.", UNSCANNABLE, "pickle.malformed"),
    "an index of the memo that fills memory": Hostile(b"\x80\x04K\x01r\xff\xff\xff\x7f.", UNSCANNABLE, "pickle.budget"),
    "hidden in data of an array of joblib": Hostile(b"", REFUSED, "pickle.dangerous-global"),  # below
}  # fmt: skip


def _joblib_hidden() -> bytes:
    """joblib passes over the padding before an array's data; `pickle.load` runs it."""
    file = io.BytesIO()
    joblib.dump(numpy.arange(64, dtype=numpy.uint8), file)
    data = file.getvalue()
    items = data.index(bytes(range(64)))
    padding = data.rindex(b"b", 0, items) + 1  # behind BUILD
    assert data[padding] == items - padding - 1
    program = b"cposix\nsystem\n(S'" + MARKER.encode() + b"'\ntR."
    return data[:padding] + b"0" + program.ljust(ord("0"), b"\xff") + data[items:]  # its length is POP


PICKLES["hidden in data of an array of joblib"] = Hostile(_joblib_hidden(), REFUSED, "pickle.dangerous-global")

CHECKPOINTS: dict[str, Hostile] = {
    "a checkpoint that calls": Hostile(torch_zip(EVIL, {}), REFUSED, "pickle.dangerous-global"),
    "a checkpoint with a wrong checksum": Hostile(
        _wrong_checksum(torch_zip(EVIL, {})), REFUSED, "pickle.dangerous-global"
    ),
    "a second data.pkl": Hostile(checkpoint(1, more={"archive/data.pkl.": b"x", "other/data.pkl": EVIL}), REFUSED, "pickle.dangerous-global"),
    "a pickle in place of a storage": Hostile(checkpoint(1) and _patched(checkpoint(1), bytes(128), EVIL.ljust(128, b"\0")), REFUSED, "pickle.dangerous-global"),
    "a program in place of a storage": Hostile(_patched(checkpoint(1), bytes(128), b"\x7fELF".ljust(128, b"\0")), QUARANTINED, "native.executable"),
    "a storage of another size": Hostile(_patched(checkpoint(1), b"K\x20", b"K\x21"), QUARANTINED, "torch.storage"),
    "TorchScript": Hostile(
        checkpoint(1, more={"archive/code/__torch__.py": b"def forward(self):\n  pass\n", "archive/constants.pkl": b"\x80\x02)."}),
        CODE, "torch.script",
    ),
    "a reference that is no storage": Hostile(torch_zip(b"\x80\x02" + short("file:///etc") + b"Q.", {}), QUARANTINED, "pickle.persistent-id"),
    "a legacy checkpoint with more behind it": Hostile(legacy_checkpoint(tail=EVIL), QUARANTINED, "torch.legacy-layout"),
    "a member before the archive": Hostile(EVIL + checkpoint(1), REFUSED, "pickle.dangerous-global"),
    "a checkpoint behind text": Hostile(b"# readme\n" + checkpoint(1), REFUSED, "polyglot.zip"),
    "a pickle behind the archive": Hostile(checkpoint(1) + EVIL, QUARANTINED, "archive.trailing"),
}  # fmt: skip

_TWO = zipped({"a.txt": b"one", "b.txt": b"two"})

ARCHIVES: dict[str, Hostile] = {
    "a pickle in a zip in a tar": Hostile(
        _tar((_entry("deep/inner.zip"), zipped({"x/model.bin": EVIL}))), REFUSED, "pickle.dangerous-global"
    ),
    "a pickle in gzip": Hostile(gzip.compress(EVIL), REFUSED, "pickle.dangerous-global"),
    "a pickle in zlib": Hostile(zlib.compress(EVIL), REFUSED, "pickle.dangerous-global"),
    "a pickle in bzip2 in xz": Hostile(lzma.compress(bz2.compress(EVIL)), REFUSED, "pickle.dangerous-global"),
    "a pickle in the second stream of gzip": Hostile(gzip.compress(EVIL[:9]) + gzip.compress(EVIL[9:]), REFUSED, "pickle.dangerous-global"),
    "bytes behind gzip": Hostile(gzip.compress(b"text") + EVIL, QUARANTINED, "archive.trailing"),
    "gzip that breaks off": Hostile(gzip.compress(b"text " * 99)[:-6], UNSCANNABLE, "gzip.malformed"),
    "two members of one name": Hostile(_patched(_patched(_TWO, b"b.txt", b"a.txt"), b"b.txt", b"a.txt"), REFUSED, "archive.duplicate"),
    "two names of one member": Hostile(_patched(_TWO, b"a.txt", b"c.txt"), REFUSED, "archive.different-names"),
    "two sizes of one member": Hostile(
        _TWO[:18] + struct.pack("<LL", 2, 2) + _TWO[26:], REFUSED, "archive.different-names"
    ),
    "a member that no directory lists": Hostile(b"", REFUSED, "archive.hidden"),
    "a member over another": Hostile(b"", REFUSED, "archive.overlap"),
    "a zip that leads outside": Hostile(zipped({"../../.bashrc": b"x"}), REFUSED, "archive.escape"),
    "a zip that leads outside on Windows": Hostile(zipped({"C:/autoexec.txt": b"x"}), REFUSED, "archive.escape"),
    "a zip with a wrong checksum": Hostile(
        _TWO.replace(struct.pack("<L", zlib.crc32(b"two")), b"\1\2\3\4"), UNSCANNABLE, "archive.bad-checksum"
    ),
    "an encrypted member": Hostile(_TWO[:6] + b"\x01\x00" + _patched(_TWO[8:], b"\x14\x03\x14\x00\x00\x00", b"\x14\x03\x14\x00\x01\x00"), UNSCANNABLE, "archive.encrypted"),
    "a zip with a link": Hostile(b"", REFUSED, "archive.link"),
    "a zip that unpacks to 300 MiB": Hostile(_bomb(), REFUSED, "archive.bomb"),
    "a member that is larger than it says": Hostile(_short_bomb(), REFUSED, "archive.bomb"),
    "gzip that unpacks to 300 MiB": Hostile(gzip.compress(bytes(300 << 20), 9), REFUSED, "archive.bomb"),
    "seven zips within each other": Hostile(_nested(b"text", 7), UNSCANNABLE, "budget.exhausted"),
    "lzma in a zip": Hostile(zipped({"a": b"x" * 99}, zipfile.ZIP_LZMA), UNSCANNABLE, "archive.method"),
    "a tar that leads outside": Hostile(_tar((_entry("../../x"), b"x")), REFUSED, "archive.escape"),
    "a tar with a link": Hostile(_tar((_entry("x", tarfile.SYMTYPE, "/etc/passwd"), b"")), REFUSED, "archive.link"),
    "a tar with a hard link": Hostile(_tar((_entry("x", tarfile.LNKTYPE, "y"), b"")), REFUSED, "archive.link"),
    "a tar with a device": Hostile(_tar((_entry("x", tarfile.CHRTYPE), b"")), REFUSED, "archive.device"),
    "a tar that goes on behind a damaged header": Hostile(b"", UNSCANNABLE, "tar.malformed"),
    "a tar that breaks off": Hostile(_tar((_entry("x"), b"x" * 3000))[:2000], UNSCANNABLE, "tar.malformed"),
    "zstandard, which is not read here": Hostile(b"\x28\xb5\x2f\xfd" + bytes(range(64)), UNSCANNABLE, "content.unknown"),
}  # fmt: skip


def _hidden_member() -> bytes:
    """The directory lists the first and the last member; a streaming reader finds the one between."""
    data = zipped({"a.txt": b"one", "m.pkl": EVIL, "b.txt": b"two"})
    begin = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 1)
    end = data.index(b"PK\x01\x02", begin + 1)
    over = data.index(b"PK\x05\x06")
    size = struct.unpack_from("<L", data, over + 12)[0] - (end - begin)
    record = data[over : over + 8] + struct.pack("<HHL", 2, 2, size) + data[over + 16 :]
    return data[:begin] + data[end:over] + record


def _before_directory() -> bytes:
    """A pickle between the last member and the directory."""
    at = _TWO.index(b"PK\x01\x02")
    end = _TWO.index(b"PK\x05\x06")
    moved = _TWO[end : end + 16] + struct.pack("<L", at + len(EVIL)) + _TWO[end + 20 :]
    return _TWO[:at] + EVIL + _TWO[at:end] + moved


def _overlapping() -> bytes:
    """The second entry of the directory lies where the first does (as bombs are made)."""
    data = zipped({"a.txt": b"one", "b.txt": b"two"})
    second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 1)
    return data[: second + 42] + bytes(4) + data[second + 46 :]


def _linked() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        entry = zipfile.ZipInfo("link")
        entry.create_system, entry.external_attr = 3, 0o120777 << 16
        archive.writestr(entry, "/etc/passwd")
    return file.getvalue()


def _damaged_tar() -> bytes:
    data = bytearray(_tar((_entry("a"), b"x"), (_entry("b"), EVIL)))
    data[1024 + 148 : 1024 + 156] = b"zzzzzzzz"
    return bytes(data)


ARCHIVES["a member that no directory lists"] = Hostile(_hidden_member(), REFUSED, "archive.hidden")
ARCHIVES["bytes before the directory"] = Hostile(_before_directory(), REFUSED, "archive.hidden")
ARCHIVES["a member over another"] = Hostile(_overlapping(), REFUSED, "archive.overlap")
ARCHIVES["a zip with a link"] = Hostile(_linked(), REFUSED, "archive.link")
ARCHIVES["a tar that goes on behind a damaged header"] = Hostile(_damaged_tar(), UNSCANNABLE, "tar.malformed")

TENSORS: dict[str, Hostile] = {
    "safetensors that overlap": Hostile(
        safetensors({"a": f32(0, 16), "b": f32(8, 24)}, bytes(24)), QUARANTINED, "safetensors.layout"
    ),
    "safetensors with a gap": Hostile(
        safetensors({"a": f32(0, 8), "b": f32(16, 24)}, bytes(24)), QUARANTINED, "safetensors.layout"
    ),
    "safetensors with more behind": Hostile(
        safetensors({"a": f32(0, 8)}, bytes(8) + EVIL), QUARANTINED, "safetensors.layout"
    ),
    "safetensors with one name twice": Hostile(
        safetensors(None, bytes(8), raw=b'{"a":%b,"a":%b}' % ((json.dumps(f32(0, 8)).encode(),) * 2)),
        REFUSED, "safetensors.duplicate-key",
    ),
    "safetensors whose shape is another": Hostile(
        safetensors({"a": f32(0, 8, [3])}, bytes(8)), UNSCANNABLE, "safetensors.malformed"
    ),
    "safetensors that breaks off": Hostile(safetensors({"a": f32(0, 80)}, bytes(40)), QUARANTINED, "safetensors.layout"),
    "safetensors of endless header": Hostile(struct.pack("<Q", 90_000_000) + b"{" + bytes(64), UNSCANNABLE, "safetensors.malformed"),
    "safetensors of a shape that overflows": Hostile(
        safetensors({"a": {"dtype": "F32", "shape": [1 << 62, 4], "data_offsets": [0, 0]}}), UNSCANNABLE, "safetensors.malformed"
    ),
    "safetensors of a type nobody knows": Hostile(
        safetensors({"a": {"dtype": "PY", "shape": [1], "data_offsets": [0, 8]}}, bytes(8)), UNSCANNABLE, "safetensors.malformed"
    ),
    "safetensors whose metadata are no texts": Hostile(
        safetensors({"__metadata__": {"a": {"b": "c"}}}), UNSCANNABLE, "safetensors.malformed"
    ),
    "safetensors that is a pickle too": Hostile(_polyglot_safetensors(), REFUSED, "polyglot.pickle"),
    "safetensors that is a zip too": Hostile(
        safetensors({"a": f32(0, 8)}, bytes(8)) + zipped({"data.pkl": EVIL}), REFUSED, "polyglot.zip"
    ),
    "GGUF with a template that reaches for internals": Hostile(
        gguf([("tokenizer.chat_template", "{{ ''.__class__.__mro__[1].__subclasses__() }}")]), REFUSED, "template.dunder"
    ),
    "GGUF with one key twice": Hostile(gguf([("a", "1"), ("a", "2")]), REFUSED, "gguf.duplicate"),
    "GGUF whose tensors overlap": Hostile(
        gguf([], [("a", 16, 0), ("b", 16, 32)], bytes(96)), QUARANTINED, "gguf.layout"
    ),
    "GGUF with a tensor outside": Hostile(gguf([], [("a", 64, 0)], bytes(64)), UNSCANNABLE, "gguf.malformed"),
    "GGUF with more behind": Hostile(gguf([], [("a", 8, 0)], bytes(32) + EVIL), QUARANTINED, "gguf.layout"),
    "GGUF that says it has endless keys": Hostile(b"GGUF" + struct.pack("<LQQ", 3, 0, 1 << 60), UNSCANNABLE, "gguf.malformed"),
    "GGUF with endless text": Hostile(
        b"GGUF" + struct.pack("<LQQQ", 3, 0, 1, 1 << 62), UNSCANNABLE, "gguf.malformed"
    ),
    "ONNX with external data outside": Hostile(onnx_of(location="../../etc/passwd"), REFUSED, "onnx.external-path"),
    "ONNX with external data at an absolute path": Hostile(onnx_of(location="/etc/passwd"), REFUSED, "onnx.external-path"),
    "ONNX with external data outside on Windows": Hostile(onnx_of(location="..\\..\\x"), REFUSED, "onnx.external-path"),
    "ONNX with an operator of its author": Hostile(onnx_of("acme.ops", "Fused"), CODE, "onnx.custom-domain"),
    "ONNX that calls Python": Hostile(onnx_of("com.microsoft", "PythonOp"), CODE, "onnx.python-operator"),
    "ONNX that breaks off": Hostile(onnx_of()[:-9], UNSCANNABLE, "onnx.malformed"),
    "Parquet with a type that is unpickled": Hostile(
        _parquet({b"ARROW:extension:name": b"arrow.py_extension_type"}), CODE, "parquet.pickle"
    ),
    "Parquet with a pickle in its metadata": Hostile(_parquet({b"model": EVIL}), CODE, "parquet.pickle"),
    "Parquet that breaks off": Hostile(_parquet({})[:-9], UNSCANNABLE, "parquet.malformed"),
    "NPY of objects that call": Hostile(_npy_objects(EVIL), REFUSED, "pickle.dangerous-global"),
    "NPY of objects": Hostile(_npy_objects(pickle.dumps([1])), CODE, "npy.objects"),
    "NPY with objects in a field": Hostile(npy("[('a','<f8'),('b','|O')]", "(1,)", EVIL), REFUSED, "pickle.dangerous-global"),
    "NPY with a call in its header": Hostile(npy("__import__('os')", "(1,)", bytes(8)), UNSCANNABLE, "npy.malformed"),
    "NPY with more behind": Hostile(npy("'<f8'", "(1,)", bytes(8) + EVIL), UNSCANNABLE, "npy.malformed"),
    "NPZ with a pickle": Hostile(
        zipped({"a.npy": npy("'<f8'", "(1,)", bytes(8)), "b.npy": _npy_objects(EVIL)}), REFUSED, "pickle.dangerous-global"
    ),
}  # fmt: skip

DOCUMENTS: dict[str, Hostile] = {
    "a configuration with code of the repository": Hostile(
        b'{"model_type": "x", "auto_map": {"AutoModel": "modeling.Net"}}', CODE, "json.auto-map"
    ),
    "the same with an escape in the key": Hostile(
        b'{"\\u0061uto_map": {"AutoModel": "modeling.Net"}}', CODE, "json.auto-map"
    ),
    "a configuration that trusts remote code": Hostile(b'{"trust_remote_code": true}', CODE, "json.auto-map"),
    "one key twice": Hostile(b'{"a": 1, "a": 2}', QUARANTINED, "json.duplicate-key"),
    "JSON that breaks off": Hostile(b'{"a": [1, 2', UNSCANNABLE, "json.malformed"),
    "JSON of endless depth": Hostile(b'{"a":' + b"[" * 200_000, UNSCANNABLE, "json.malformed"),
    "a template with __globals__": Hostile(
        _template("{{ cycler.__init__.__globals__.os.popen('x').read() }}"), REFUSED, "template.dunder"
    ),
    "a template with attr()": Hostile(_template("{{ messages|attr('__cla' ~ 'ss__') }}"), CODE, "template.call"),
    "a template with a subscript": Hostile(_template("{{ messages['__class__'] }}"), REFUSED, "template.dunder"),
    "a template that calls a variable": Hostile(
        _template("{% set f = messages['po' ~ 'pen'] %}{{ f('x') }}"), CODE, "template.call"
    ),
    "a template that takes the name of a function": Hostile(
        _template("{% set range = messages['po' ~ 'pen'] %}{{ range('x') }}"), CODE, "template.call"
    ),
    "a template that renames a method": Hostile(
        _template("{% set ns = namespace() %}{% set ns.split = messages[0] %}{{ ns.split('x') }}"), CODE, "template.call"
    ),
    "a template that formats": Hostile(_template("{{ '{0.x}'.format(messages) }}"), CODE, "template.call"),
    "a template that maps an attribute": Hostile(
        _template("{{ messages|map(attribute='__class__')|list }}"), REFUSED, "template.dunder"
    ),
    "a template that includes": Hostile(_template("{% include '/etc/passwd' %}"), CODE, "template.load"),
    "a template that does not parse": Hostile(_template("{% if %}"), UNSCANNABLE, "template.malformed"),
    "a second template of several": Hostile(
        json.dumps({"chat_template": [{"name": "default", "template": "{{ x }}"}, {"name": "rag", "template": "{{ lipsum.__globals__ }}"}]}).encode(),
        REFUSED, "template.dunder",
    ),
    "a template as a file": Hostile(
        b"{% for m in messages %}{{ m.__class__ }}{% endfor %}", REFUSED, "template.dunder"
    ),
    "a Lambda layer": Hostile(
        _keras({"module": "keras.layers", "class_name": "Lambda", "config": {"function": {"class_name": "__lambda__", "config": {"code": base64.b64encode(b"x").decode()}}}}),
        REFUSED, "keras.lambda",
    ),
    "a Keras layer of os": Hostile(
        _keras({"module": "os", "class_name": "function", "config": "system", "registered_name": "function"}), REFUSED, "keras.foreign-module"
    ),
    "a Keras function that downloads": Hostile(
        _keras({"module": "keras.utils", "class_name": "function", "config": "get_file", "registered_name": "get_file"}), REFUSED, "keras.foreign-module"
    ),
    "a Keras layer of its author": Hostile(
        _keras({"module": "acme.layers", "class_name": "Mine", "config": {}, "registered_name": "acme>Mine"}), CODE, "keras.custom-object"
    ),
    "a Keras layer that reads a file": Hostile(
        _keras({"module": "keras.layers", "class_name": "StringLookup", "config": {"vocabulary": "/etc/passwd"}}), QUARANTINED, "keras.reads-file"
    ),
    "HDF5": Hostile(b"\x89HDF\r\n\x1a\n" + bytes(96), UNSCANNABLE, "hdf5.opaque"),
    "Python": Hostile(b"import os\nos.getcwd()\n", CODE, "python.source"),
    "Python in one expression": Hostile(b"[x for x in [__import__('os')]]\n", CODE, "python.source"),
    "Python behind a mark of its encoding": Hostile(b"\xef\xbb\xbfdef f():\n    pass\n", CODE, "python.source"),
    "Python of a megabyte": Hostile(b"import os\n" + b"x = [\n    1,\n]\n" * 80_000, CODE, "python.source"),
    "Python that is one call": Hostile(b"print('nomoat-marker')\n", CODE, "python.source"),
    "Python in a loop": Hostile(b"while x:\n    y = 1\n", CODE, "python.source"),
    "Python in UTF-16": Hostile("import os\n".encode("utf-16"), CODE, "python.source"),
    "a notebook": Hostile(b'{"cells": [], "nbformat": 4, "metadata": {}}', CODE, "python.source"),
    "a shell script": Hostile(b"#!/bin/sh\ntouch nomoat-marker\n", CODE, "script.shebang"),
    "compiled Python": Hostile(b"\xa7\x0d\r\n" + bytes(12) + b"\xe3" + bytes(40), QUARANTINED, "python.bytecode"),
    "a program of Linux": Hostile(b"\x7fELF\x02\x01\x01" + bytes(64), QUARANTINED, "native.executable"),
    "a program of Windows": Hostile(b"MZ\x90\x00" + bytes(128), QUARANTINED, "native.executable"),
    "a program of macOS": Hostile(b"\xcf\xfa\xed\xfe" + bytes(128), QUARANTINED, "native.executable"),
    "WebAssembly": Hostile(b"\0asm\1\0\0\0", QUARANTINED, "native.executable"),
    "YAML that makes objects": Hostile(b"a: !!python/object/apply:os.system ['x']\n", CODE, "yaml.python-tag"),
    "YAML with an escaped tag": Hostile(b"a: !!%70ython/object/apply:os.system ['x']\n", CODE, "yaml.python-tag"),
    "YAML with a tag in full": Hostile(b"a: !<tag:yaml.org,2002:python/name:os.system> ''\n", CODE, "yaml.python-tag"),
    "YAML with a tag in two pieces": Hostile(
        b"%TAG !p! tag:yaml.org,2002:pyth\n---\na: !p!on/object/apply:os.system ['x']\n", CODE, "yaml.python-tag"
    ),
    "a Keras layer whose name is a list": Hostile(
        _keras({"module": "keras.layers", "class_name": [], "config": {}}), UNSCANNABLE, "content.malformed"
    ),
    "something bad behind what breaks a parser": Hostile(
        zipped({"a.json": b'{"class_name": [], "config": {}}', "b.bin": EVIL}), REFUSED, "pickle.dangerous-global"
    ),
    "SVG with a script": Hostile(b"<svg xmlns='http://www.w3.org/2000/svg'><script>x()</script></svg>", CODE, "html.script"),
    "HTML with a handler": Hostile(b"<img src=x onerror=alert(1)>", CODE, "html.script"),
    "XML with an entity": Hostile(b"<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><a>&x;</a>", CODE, "html.script"),
    "text that goes on as something else": Hostile(b"a,b\n" * 100_000 + b"\x00\x01\x02", UNSCANNABLE, "text.malformed"),
    "bytes of no format": Hostile(bytes(range(1, 256)) * 3, UNSCANNABLE, "content.unknown"),
}  # fmt: skip

HOSTILE: dict[str, Hostile] = PICKLES | CHECKPOINTS | ARCHIVES | TENSORS | DOCUMENTS
