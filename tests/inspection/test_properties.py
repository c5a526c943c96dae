"""What must never happen, whatever the bytes: an error, a clean verdict for a bad pickle, an inspection without end."""

import io
import json
import pickle
import pickletools
import struct
import time
from typing import BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nomoat.core.verdict import MOST_FINDINGS, Verdict
from nomoat.inspection.content import Held
from nomoat.inspection.inspect import inspect
from nomoat.inspection.naming import worse_by_name
from nomoat.inspection.opcodes import Reader
from tests.inspection.benign import BENIGN, PICKLED
from tests.inspection.building import EVIL, MARKER, calls, gguf, npy, safetensors, short, torch_zip, zipped
from tests.inspection.hostile import CHECKPOINTS, HOSTILE, PICKLES

ALL = [each.data for each in HOSTILE.values()] + [each.data for each in BENIGN.values()]
SMALL = [data for data in ALL if 0 < len(data) < 1 << 16]
MOST_SECONDS = 20.0  # of an inspection, on a machine that is busy


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """One of all artifacts, cut, changed, or with a part of another in it."""
    data = bytearray(draw(st.sampled_from(SMALL)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        match draw(st.integers(0, 3)):
            case 0:
                del data[at:]
            case 1:
                data[at : at + 1] = draw(st.binary(min_size=1, max_size=8))
            case 2:
                other = draw(st.sampled_from(SMALL))
                data[at:at] = other[: draw(st.integers(0, len(other)))]
            case _:
                data[at : at + 8] = struct.pack("<Q", draw(st.integers(0, 2**64 - 1)))
    return bytes(data)


@settings(max_examples=600, deadline=None)
@given(mutated() | st.binary(max_size=300), st.text(max_size=20))
def test_nothing_raises_and_every_report_is_as_bad_as_its_worst_finding(data: bytes, name: str) -> None:
    report = inspect(io.BytesIO(data), len(data))
    assert report.verdict is Verdict.worst(finding.verdict for finding in report.findings)
    assert len(report.findings) <= MOST_FINDINGS
    assert all(len(finding.what) <= 200 and finding.what.isprintable() for finding in report.findings)
    assert worse_by_name(name, report).verdict.severity >= report.verdict.severity


BAD = [each.data for each in [*PICKLES.values(), *CHECKPOINTS.values()] if b"system" in each.data]


def still_bad(data: bytes) -> bool:
    """Whether Python would still import what a pickle was made to import. Nothing is imported."""

    class Reached(Exception):
        pass

    class Looking(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> object:
            if module in {"os", "posix", "nt", "subprocess", "builtins"} and name in {"system", "Popen", "eval"}:
                raise Reached
            return str

        def persistent_load(self, pid: object) -> object:
            return pid

    try:
        Looking(io.BytesIO(data)).load()
    except Reached:
        return True
    except Exception:  # noqa: BLE001  (whatever damaged bytes raise)
        return False
    return False


@settings(max_examples=500, deadline=None)
@given(
    st.sampled_from([each for each in BAD if not each.startswith(b"PK")]), st.integers(0, 400), st.binary(max_size=3)
)
def test_a_changed_pickle_that_reaches_for_a_bad_global_is_never_clean(data: bytes, at: int, other: bytes) -> None:
    changed = data[: at % len(data)] + other + data[at % len(data) + len(other) :]
    report = inspect(io.BytesIO(changed), len(changed))
    if still_bad(changed):
        assert report.verdict is Verdict.REFUSED, report


def test_what_was_reached_for_before_too_large_a_memo_is_told() -> None:
    data = b"cos\nsystem\nrS'touch nomoat-marker'\ntR."
    assert still_bad(data)
    assert inspect(io.BytesIO(data), len(data)).verdict is Verdict.REFUSED


@pytest.mark.parametrize("data", [EVIL, calls("os", "system", protocol=0), calls("os", "system", protocol=2)])
def test_no_beginning_of_a_bad_pickle_is_clean(data: bytes) -> None:
    assert still_bad(data)
    for end in range(3, len(data)):
        report = inspect(io.BytesIO(data[:end]), end)
        if still_bad(data[:end]):
            assert report.verdict is Verdict.REFUSED


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4) | st.tuples(inner, inner) | st.sets(st.integers(), max_size=3),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(values, st.integers(0, 5))
def test_plain_values_are_clean_and_read_as_pickletools_reads_them(value: object, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    ours = [(operation.code, operation.at) for operation in Reader(Held(data))]
    assert ours == [(ord(opcode.code), at) for opcode, _, at in pickletools.genops(data)]
    report = inspect(io.BytesIO(data), len(data))
    text = protocol < 2 and report.format == "text"
    assert report.verdict is Verdict.CLEAN or (protocol < 2 and not text), (report, data)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_what_pickletools_does_not_read_is_not_read(data: bytes) -> None:
    try:
        list(pickletools.genops(data))
    except Exception:  # noqa: BLE001
        report = inspect(io.BytesIO(b"\x80\x04" + data), len(data) + 2)
        assert report.verdict is not Verdict.CLEAN


class Counting(io.BytesIO):
    """Counts what is read."""

    def __init__(self, data: bytes, size: int) -> None:
        super().__init__(data)
        self.full = size
        self.count = self.reads = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        if size is not None and len(data) < size and self.tell() < self.full:
            data += bytes(size - len(data))
            self.seek(0, io.SEEK_END)
        self.count += len(data)
        self.reads += 1
        return data


def test_of_a_large_safetensors_file_only_the_header_is_read() -> None:
    size = 10 << 30
    header = {"weight": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}
    data = safetensors(header)
    file = Counting(data, len(data) + size)
    report = inspect(file, len(data) + size)
    assert report.verdict is Verdict.CLEAN, report
    assert file.count < 1 << 20
    assert file.reads < 6


def test_a_header_that_reads_as_a_text_without_end_is_not_clean() -> None:
    size = 1 << 30
    header = {"w": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}
    data = safetensors(header, raw=json.dumps(header).encode().ljust(ord("V")))  # UNICODE
    file = Counting(data, len(data) + size)
    assert inspect(file, len(data) + size).verdict is Verdict.UNSCANNABLE
    assert file.count < 100 << 20


class Broken(io.BytesIO):
    """A content that fails while it is read."""

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        raise BrokenPipeError(offset, whence)


@pytest.mark.parametrize(
    ("file", "rule"),
    [(Broken(), "content.unreadable"), (io.BytesIO(b"short"), "content.malformed")],
    ids=["broken", "short"],
)
def test_a_content_that_cannot_be_read_is_not_clean(file: BinaryIO, rule: str) -> None:
    report = inspect(file, 1000)
    assert report.verdict is Verdict.UNSCANNABLE
    assert [finding.rule for finding in report.findings] == [rule]


def _many_members() -> bytes:
    return zipped({f"{number}": b"" for number in range(30_000)})


EXPENSIVE = {
    "many operations": b"\x80\x04" + b"K\x010" * 3_000_000 + b"N.",
    "many memo entries": b"\x80\x04N" + b"\x94" * 3_000_000 + b".",
    "many marks": b"\x80\x04" + b"(" * 3_000_000 + b"N.",
    "a deep tuple": b"\x80\x04N" + b"\x85" * 2_000_000 + b".",
    "doubling tuples": b"\x80\x04N" + b"2\x86" * 1_000_000 + b".",
    "many pickles": b"\x80\x04N." * 1_500_000,
    "many short pickles of the first protocol": b"N." * 3_000_000,
    "an endless line": b"\x80\x04I" + b"1" * 30_000_000,
    "a number of many digits": b"\x80\x04L" + b"9" * 5_000_000 + b"L\n.",
    "a long number": b"\x80\x04\x8b" + struct.pack("<l", 20_000_000) + b"\x7f" * 20_000_000 + b".",
    "many globals": b"\x80\x04" + b"".join(b"ca%d\nb\n0" % number for number in range(300_000)) + b"N.",
    "a deep list in JSON": b"[" * 3_000_000,
    "a deep list in JSON that ends": b"[" * 900 + b"]" * 900,
    "a deep object in a header": struct.pack("<Q", 3_000_000) + b'{"a":' * 600_000,
    "parentheses of Python": b"(" * 900_000 + b")" * 900_000,
    "minuses of Python": b"-" * 900_000 + b"1",
    "a template of many braces": b'{"chat_template": "' + b"{{" * 200_000 + b'"}',
    "a deep template": b'{"chat_template": "{{' + b"(" * 100_000 + b'"}',
    "tags that do not end": b"<a " + b"<a b " * 2_000_000,
    "a header of NPY": npy("(" * 30_000, "(1,)", b""),
    "GGUF with many texts": gguf([(f"k{number}", "x") for number in range(60_000)]),
    "many members": _many_members(),
    "a checkpoint of many storages": torch_zip(b"\x80\x02N.", {str(number): b"x" for number in range(15_000)}),
}


@pytest.mark.parametrize("data", EXPENSIVE.values(), ids=EXPENSIVE.keys())
def test_no_content_takes_long(data: bytes) -> None:
    begun = time.process_time()
    inspect(io.BytesIO(data), len(data))
    assert time.process_time() - begun < MOST_SECONDS


def test_operations_are_bounded() -> None:
    data = b"\x80\x04" + b"K\x010" * 3_000_000 + short(MARKER) + b"."
    report = inspect(io.BytesIO(data), len(data))
    assert report.verdict is Verdict.UNSCANNABLE
    assert "pickle.budget" in {finding.rule for finding in report.findings}


def test_every_pickle_is_followed_by_the_same_reader() -> None:
    """The joblib and torch artifacts are pickles that pickletools reads too, as far as no data lies between."""
    data = PICKLED["ordered dictionaries"].data
    assert [operation.code for operation in Reader(Held(data))] == [
        ord(each[0].code) for each in pickletools.genops(data)
    ]
