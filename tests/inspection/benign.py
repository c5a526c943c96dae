"""Benign artifacts, as real libraries write them: all clean but those of `FALSE_ALARMS`, which say what is not."""

import bz2
import csv
import gzip
import io
import json
import lzma
import pickle
import tarfile
import zipfile
from collections import OrderedDict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple

import gguf
import joblib
import numpy
import onnx
import onnx.helper
import onnx.numpy_helper
import pandas
import pyarrow
import pyarrow.parquet
import safetensors.numpy
from sklearn.linear_model import LogisticRegression

from nomoat.core.verdict import Verdict
from tests.inspection.building import (
    TORCH,
    Tensor,
    checkpoint,
    legacy_checkpoint,
    torch,
    torch_pickled,
    torch_zip,
    zipped,
)
from tests.inspection.templates import TEMPLATES


class Benign(NamedTuple):
    """Some bytes, and the format that they are."""

    data: bytes
    format: str
    verdict: Verdict = Verdict.CLEAN


def _dumped(value: object, compress: int | tuple[str, int] = 0) -> bytes:
    file = io.BytesIO()
    joblib.dump(value, file, compress=compress)
    return file.getvalue()


def _npz(*, compressed: bool) -> bytes:
    file = io.BytesIO()
    arrays: dict[str, Any] = {"x": numpy.zeros((50, 8)), "y": numpy.arange(50), "words": numpy.array(["a", "bc"])}
    if compressed:
        numpy.savez_compressed(file, allow_pickle=False, **arrays)
    else:
        numpy.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()


def _npy(array: "numpy.ndarray[tuple[int, ...], numpy.dtype[numpy.generic]]") -> bytes:
    file = io.BytesIO()
    numpy.save(file, array)
    return file.getvalue()


def _gguf() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "x"
        writer = gguf.GGUFWriter(path, "llama")
        writer.add_block_count(2)
        writer.add_context_length(4096)
        writer.add_tokenizer_model("llama")
        writer.add_token_list([f"token{number}" for number in range(500)])
        writer.add_token_scores([0.5] * 500)
        writer.add_chat_template(TEMPLATES["llama 3"])
        writer.add_tensor("token_embd.weight", numpy.ones((8, 32), numpy.float32))
        writer.add_tensor("blk.0.attn_q.weight", numpy.ones((3, 5), numpy.float16))
        writer.add_tensor("q", numpy.ones((2, 34), numpy.uint8), raw_dtype=gguf.GGMLQuantizationType.Q8_0)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path.read_bytes()


def _onnx(*, external: bool = False, branches: bool = False, domain: str = "") -> bytes:
    value = onnx.helper.make_tensor_value_info
    weight = onnx.numpy_helper.from_array(numpy.ones((4, 4), numpy.float32), "w")
    if external:
        weight.ClearField("raw_data")
        weight.data_location = onnx.TensorProto.EXTERNAL
        for key, text in {"location": "model.onnx_data", "offset": "0", "length": "64"}.items():
            weight.external_data.add(key=key, value=text)
    nodes = [
        onnx.helper.make_node("MatMul", ["x", "w"], ["h"]),
        onnx.helper.make_node("Relu", ["h"], ["y"], domain=domain),
    ]
    if branches:
        inner = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["h"], ["z"])], "b", [], [value("z", 1, [4, 4])])
        nodes[1] = onnx.helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
    inputs = [value("x", 1, [4, 4]), *([value("c", 9, [])] if branches else [])]
    graph = onnx.helper.make_graph(nodes, "g", inputs, [value("y", 1, [4, 4])], [weight])
    return bytes(onnx.helper.make_model(graph, producer_name="pytorch", producer_version="2.9").SerializeToString())


def _parquet(**options: object) -> bytes:
    file = io.BytesIO()
    frame = pandas.DataFrame({"a": range(1000), "b": [f"text {n}" for n in range(1000)], "c": [[1, 2]] * 1000})
    table = pyarrow.Table.from_pandas(frame)
    pyarrow.parquet.write_table(table, file, row_group_size=300, **options)
    return file.getvalue()


def _csv(rows: int) -> bytes:
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(["name", "größe", "note"])
    writer.writerows([f"n{row}", row, '=SUM(A1), "quoted"'] for row in range(rows))
    return file.getvalue().encode()


def _tar(mode: Literal["w", "w:gz"], data: bytes | None = None) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name in ("data/train.csv", "data/" + "long" * 60 + ".csv"):
            entry = tarfile.TarInfo(name)
            content = _csv(20) if data is None else data
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return file.getvalue()


def _bfloat() -> bytes:
    with torch():
        pickled = torch_pickled(
            {"w": Tensor("BFloat16Storage", "0", (4, 4)), "dtype": TORCH["float32"], "epoch": 3, "lr": 0.1}
        )
    return torch_zip(pickled, {"0": bytes(32)})


def _state(protocol: int) -> bytes:
    state = {"w": numpy.ones((3, 4)), "b": numpy.float32(2), "steps": 1 << 70, "names": {"a", "b"}, "raw": b"x" * 9000}
    return pickle.dumps(state, protocol)


CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "torch_dtype": "bfloat16"}
README = b"""---
license: apache-2.0
tags: [text-generation]
---
# A model

Use it: `from transformers import AutoModel`.

```python
import transformers
model = transformers.AutoModel.from_pretrained("a/b")
```

| a | b |
|---|---|
| {{ braces }} | <b>bold</b> |
"""

STRUCTURED: dict[str, Benign] = {
    "safetensors of NumPy": Benign(
        safetensors.numpy.save({"a": numpy.ones((3, 4), numpy.float32), "b": numpy.arange(5)}, {"format": "pt"}),
        "safetensors",
    ),
    "safetensors of nothing": Benign(safetensors.numpy.save({}), "safetensors"),
    "safetensors of scalars and empty tensors": Benign(
        safetensors.numpy.save({"a": numpy.array(1.0), "b": numpy.ones((0, 4)), "c": numpy.ones(3, bool)}),
        "safetensors",
    ),
    "GGUF of its own library": Benign(_gguf(), "gguf"),
    "ONNX": Benign(_onnx(), "onnx"),
    "ONNX with data beside it": Benign(_onnx(external=True), "onnx"),
    "ONNX with branches": Benign(_onnx(branches=True), "onnx"),
    "ONNX with operators of its runtime": Benign(_onnx(domain="com.microsoft"), "onnx"),
    "Parquet of pandas": Benign(_parquet(), "parquet"),
    "Parquet, compressed and with dictionaries": Benign(_parquet(compression="zstd", use_dictionary=True), "parquet"),
    "Parquet of the second version": Benign(_parquet(version="2.6", data_page_version="2.0"), "parquet"),
    "a configuration": Benign(json.dumps(CONFIG, indent=2).encode(), "json"),
    "an index of shards": Benign(
        json.dumps({"metadata": {"total_size": 1}, "weight_map": {"a.b": "model-1.safetensors"}}).encode(), "json"
    ),
    "a list in JSON": Benign(b'[{"a": 1}, {"a": 2}]\n', "json"),
    **{
        f"a tokenizer's configuration with the template of {name}": Benign(
            json.dumps({"tokenizer_class": "X", "bos_token": "<s>", "chat_template": text}).encode(), "json"
        )
        for name, text in TEMPLATES.items()
    },
    "a template as a file": Benign(TEMPLATES["llama 3"].encode(), "jinja"),
    "several templates": Benign(
        json.dumps({"chat_template": [{"name": name, "template": text} for name, text in TEMPLATES.items()]}).encode(),
        "json",
    ),
    "NPY of numbers": Benign(_npy(numpy.ones((4, 5))), "npy"),
    "NPY of texts": Benign(_npy(numpy.array(["a", "bcd"])), "npy"),
    "NPY of records": Benign(_npy(numpy.zeros(3, [("a", "<f8"), ("b", "<i4", (2, 2)), ("c", "<M8[ns]")])), "npy"),
    "NPZ": Benign(_npz(compressed=False), "npz"),
    "NPZ, compressed": Benign(_npz(compressed=True), "npz"),
    "a card": Benign(README, "text"),
    "what git ignores, of folders that begin like an opcode": Benign(b"cache/\n*.tmp\nconfig/\n.env\n", "text"),
    "CSV": Benign(_csv(2000), "text"),
    "CSV in Latin-1": Benign(_csv(200).decode().encode("latin-1"), "text"),
    "CSV in UTF-16": Benign(_csv(200).decode().encode("utf-16"), "text"),
    "lines of JSON": Benign(b'{"text": "a"}\n{"text": "b"}\n' * 50, "text"),
    "one column named category": Benign(b"category\nfood\nalcohol\ncos\nbread\n", "text"),
    "YAML": Benign(b"model:\n  layers: 3\n  names: [a, b]\n", "text"),
    "PMML": Benign(b'<?xml version="1.0"?><PMML version="4.4"><Header/></PMML>', "markup"),
    "vocabulary": Benign("the\nĠof\n##ing\n<s>\n".encode(), "text"),
    "words that Python knows": Benign(b"the\nof\nopen\neval\n__init__\nexec\n", "text"),
    "YAML that parses as Python": Benign(b"mode: eval\ntask: compile\nrate: 0.1\n", "text"),
    "requirements": Benign(b"numpy==2.4\nscipy>=1.17\n", "text"),
    "merges": Benign("#version: 0.2\nĠ t\nh e\n".encode(), "text"),
    "nothing": Benign(b"", "text"),
    "a zip of CSVs": Benign(zipped({"a.csv": _csv(50), "b/c.csv": _csv(9)}, zipfile.ZIP_DEFLATED), "zip"),
    "a tar of CSVs": Benign(_tar("w"), "tar"),
    "a tar with a zip": Benign(_tar("w", zipped({"a.csv": _csv(5)})), "tar"),
    "a tar of CSVs in gzip": Benign(_tar("w:gz"), "gzip"),
    "CSV in gzip": Benign(gzip.compress(_csv(500)), "gzip"),
    "CSV in bzip2": Benign(bz2.compress(_csv(500)), "bzip2"),
    "CSV in xz": Benign(lzma.compress(_csv(500)), "xz"),
}

PICKLED: dict[str, Benign] = {
    "a checkpoint of torch": Benign(checkpoint(), "torch-zip"),
    "a checkpoint in bfloat16 with settings": Benign(_bfloat(), "torch-zip"),
    "a legacy checkpoint of torch": Benign(legacy_checkpoint(), "torch-legacy"),
    **{f"a dictionary of arrays, protocol {protocol}": Benign(_state(protocol), "pickle") for protocol in (0, 2, 4, 5)},
    "ordered dictionaries": Benign(pickle.dumps(OrderedDict(a=OrderedDict(b=1))), "pickle"),
    "arrays of joblib": Benign(_dumped({"x": numpy.ones((30, 4)), "y": numpy.arange(7), "z": [1, "a"]}), "joblib"),
    "arrays of joblib, compressed": Benign(_dumped({"x": numpy.ones((30, 4))}, 3), "zlib"),
    "arrays of joblib in xz": Benign(_dumped({"x": numpy.ones((30, 4))}, ("xz", 3)), "xz"),
    "an array of objects of joblib": Benign(_dumped(numpy.array([{"a": 1}, [2]], dtype=object)), "joblib"),
    "records of joblib": Benign(_dumped(numpy.zeros(4, [("a", "<f8"), ("b", "<i4")])), "joblib"),
}

# Benign, and not clean: what is loaded imports code that is not on the list.
FALSE_ALARMS: dict[str, Benign] = {
    "an estimator of scikit-learn": Benign(pickle.dumps(LogisticRegression()), "pickle", Verdict.QUARANTINED),
    "an estimator of scikit-learn by joblib": Benign(
        _dumped(LogisticRegression().fit([[0.0], [1.0]], [0, 1])), "joblib", Verdict.QUARANTINED
    ),
    "a frame of pandas": Benign(pickle.dumps(pandas.DataFrame({"a": [1]})), "pickle", Verdict.QUARANTINED),
    "a path": Benign(pickle.dumps({"path": Path("x")}), "pickle", Verdict.QUARANTINED),
    "an array of objects of NumPy": Benign(_npy(numpy.array([None, 1], dtype=object)), "npy", Verdict.CONTAINS_CODE),
}

BENIGN: dict[str, Benign] = STRUCTURED | PICKLED
