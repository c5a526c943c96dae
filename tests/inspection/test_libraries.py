"""Our readers against the formats' own libraries: what we find clean, they read, and their tables are ours."""

import io
from typing import Any

import gguf
import onnx
import pytest
import safetensors
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from nomoat.core.verdict import Verdict
from nomoat.inspection.gguf import TYPES
from nomoat.inspection.inspect import inspect
from tests.inspection.benign import STRUCTURED


def of(form: str) -> list[bytes]:
    return [each.data for each in STRUCTURED.values() if each.format == form]


def changed(draw: st.DrawFn, data: bytes, within: int) -> bytes:
    """Some bytes changed, near the beginning or the end."""
    made = bytearray(data)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, min(within, len(made)) - 1))
        made[-1 - at if draw(st.booleans()) else at] = draw(st.integers(0, 255))
    return bytes(made[: draw(st.sampled_from([None, None, len(made) - 3]))])


@st.composite
def files(draw: st.DrawFn, form: str, within: int) -> bytes:
    """One of a form, changed."""
    data = of(form)
    return changed(draw, data[draw(st.integers(0, len(data) - 1))], within)


def is_clean(data: bytes, form: str) -> bool:
    report = inspect(io.BytesIO(data), len(data))
    return (report.verdict, report.format) == (Verdict.CLEAN, form)


@settings(max_examples=400, deadline=None)
@given(files("safetensors", 200))
def test_what_is_clean_safetensors_reads(data: bytes) -> None:
    if is_clean(data, "safetensors"):
        safetensors.deserialize(data)


@settings(max_examples=300, deadline=None)
@given(files("onnx", 400))
def test_what_is_clean_onnx_reads_with_the_same_operators(data: bytes) -> None:
    """Texts apart: protobuf refuses those that are not UTF-8, which nothing here depends on."""
    if is_clean(data, "onnx"):
        try:
            model: Any = onnx.load_model_from_string(data)
        except DecodeError:
            return
        assert {node.domain for node in model.graph.node} <= {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}


def test_the_types_of_tensors_are_those_of_ggml() -> None:
    assert {int(kind): size for kind, size in gguf.GGML_QUANT_SIZES.items()} == TYPES


@pytest.mark.parametrize("form", ["safetensors", "gguf", "onnx", "parquet"])
def test_no_beginning_of_a_file_is_clean(form: str) -> None:
    for data in of(form):
        for end in {1, 7, 8, 9, 12, len(data) // 4, len(data) // 2, len(data) - 40, len(data) - 8, len(data) - 1}:
            if 0 < end < len(data):
                report = inspect(io.BytesIO(data[:end]), end)
                assert report.verdict is not Verdict.CLEAN or report.format == "text", (form, end, report)
