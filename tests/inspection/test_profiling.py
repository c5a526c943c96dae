"""Profiles of data files, worked out in the confined process: what is counted, and what is said where nothing can be."""

import asyncio
import base64
import io
import json
import random
import string
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any, cast

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nomoat.core.profile import BANDS, MOST_SIGNED, Profile, described, length_of, parse_profile, step_of
from nomoat.core.verdict import Scannable
from nomoat.inspection.profiling.minhash import bands_of
from nomoat.inspection.profiling.profile import connect, profile
from nomoat.server.profiling import MODULE, Profiler
from nomoat.server.scanning import ScannerProcess

KEY = bytes(range(32))


@pytest.fixture(scope="module")
def process() -> Generator[ScannerProcess]:
    made = ScannerProcess(MODULE)
    yield made
    made.end()


def profiled(process: ScannerProcess, content: bytes) -> Profile:
    def read(offset: int, length: int) -> bytes:
        return content[offset : offset + length]

    return asyncio.run(Profiler(process, KEY).profile(Scannable(len(content), read)))


def parquet(path: Path, select: str) -> bytes:
    duckdb.sql(f"COPY ({select}) TO '{path / 'made.parquet'}' (FORMAT parquet, COMPRESSION zstd)")
    return (path / "made.parquet").read_bytes()


def test_the_rows_of_a_parquet_file_are_counted_and_its_columns_known(process: ScannerProcess, tmp_path: Path) -> None:
    content = parquet(
        tmp_path, "SELECT range AS n, 'text ' || range AS text, range % 3 AS label, [1, range] AS l FROM range(3000)"
    )
    found = profiled(process, content)
    assert (found.format, found.rows, found.looked, found.why) == ("parquet", 3000, 3000, "")
    assert {name: column.type for name, column in found.columns.items()} == {
        "n": "BIGINT",
        "text": "VARCHAR",
        "label": "BIGINT",
        "l": "BIGINT[]",
    }
    assert found.columns["label"].values == {"0": 1000, "1": 1000, "2": 1000}
    assert found.columns["n"].values is None
    assert sum(found.columns["text"].lengths.values()) == 3000
    signed = list(found.signed())
    assert len(signed) == MOST_SIGNED
    assert len({each.row for each in signed}) == MOST_SIGNED
    assert all(len(each.bands) == BANDS and each.row < 3000 for each in signed)


def test_one_thread_reads_the_content(tmp_path: Path) -> None:
    """Several would move its place under each other, and read what they did not ask for."""
    readers: set[int] = set()

    class Watched(io.BytesIO):
        def readinto(self, buffer: Any, /) -> int:
            readers.add(threading.get_ident())
            return super().readinto(buffer)

    content = parquet(tmp_path, "SELECT range AS n, range % 2 AS label FROM range(500000)")
    with connect() as database:
        found = profile(cast("io.RawIOBase", Watched(content)), len(content), KEY, database)
    assert (found.rows, readers) == (500_000, {threading.get_ident()})


def test_of_a_large_parquet_file_a_random_part_is_examined_and_every_row_counted(
    process: ScannerProcess, tmp_path: Path
) -> None:
    found = profiled(process, parquet(tmp_path, "SELECT range AS n, range % 2 AS label FROM range(500000)"))
    assert found.rows == 500_000
    assert 190_000 < found.looked < 210_000
    values = found.columns["label"].values
    assert values
    assert abs(values["0"] - values["1"]) < 5_000


FORMS = {
    "csv": (b"a,label\nx,1\ny,2\n", "csv", 2, {"a": "text", "label": "number"}),
    "csv without a heading": (b"1,x\n2,y\n3,z\n", "csv", 3, {"column 1": "number", "column 2": "text"}),
    "tab-separated": (b"a\tb\nx\ty\n", "csv", 1, {"a": "text", "b": "text"}),
    "quoted": (b'a,b\n"x, y",1\n"z\nz",2\n', "csv", 2, {"a": "text", "b": "number"}),
    "json lines": (b'{"a": 1}\n{"a": "x", "b": [1]}\n', "json-lines", 2, {"a": "number/text", "b": "list"}),
    "json": (b'[{"a": true}, {"a": null}]', "json", 2, {"a": "boolean"}),
    "one object": (b'{\n "a": {"b": 1}\n}', "json", 1, {"a": "object"}),
    "text": (b"a line\n\nanother\n", "text", 2, {"text": "text"}),
    "nothing": (b"", "empty", 0, {}),
}


@pytest.mark.parametrize("name", FORMS)
def test_texts_are_what_their_bytes_say(process: ScannerProcess, name: str) -> None:
    content, form, count, columns = FORMS[name]
    found = profiled(process, content)
    assert (found.format, found.rows, found.why) == (form, count, "")
    assert {column: each.type for column, each in found.columns.items()} == columns


UNPROFILED = {
    "an image": (b"\x89PNG\r\n\x1a\n" + b"\0" * 100, "is none that rows are read of"),
    "parquet that is cut": (b"PAR1" + b"\0" * 40, ""),
    "a ragged table": (b"a,b\n" + b"1,2\n" * 40 + b"3\n", "a row of 1 cells under 2 columns"),
    "json that ends early": (b'[{"a": 1}, {"a"', ""),
    "json without an end": (b"[" * 100_000, ""),
    "too many columns": (json.dumps({str(n): n for n in range(600)}).encode(), "more than 512 columns"),
    "a line without an end": (b"x" * (17 << 20), "a line of more than"),
}


@pytest.mark.parametrize("name", UNPROFILED)
def test_what_cannot_be_profiled_is_said_to_be_so(process: ScannerProcess, name: str) -> None:
    content, why = UNPROFILED[name]
    found = profiled(process, content)
    assert found.why
    assert why in found.why
    assert (found.rows, found.columns, found.signatures) == (0, {}, b"")


def test_a_value_that_would_steer_a_terminal_is_escaped(process: ScannerProcess) -> None:
    found = profiled(process, b'{"\\u001b[31m": "\\u001b]0;x"}\n{"\\u001b[31m": "b"}\n')
    assert list(found.columns) == ["\\x1b[31m"]
    assert found.columns["\\x1b[31m"].values == {"\\x1b]0;x": 1, "b": 1}


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=400))
def test_whatever_the_bytes_there_is_an_answer(process: ScannerProcess, content: bytes) -> None:
    for data in (content, b"PAR1" + content + b"PAR1", b"a,b\n" + content, b'{"a": 1}\n' + content):
        found = profiled(process, data)
        assert found.format, found.why
        assert parse_profile(described(found), found.signatures) == found


LIES: dict[str, dict[str, object]] = {
    "a count below nothing": {"rows": -1},
    "a text with an escape": {"format": "\x1b[31m"},
    "no columns": {"columns": None},
    "signatures of another size": {"signatures": base64.b64encode(b"x").decode()},
    "columns without end": {"columns": [["a", "b", 0, None, {}]] * 600},
}


@pytest.mark.parametrize("name", LIES)
def test_an_answer_that_is_none_is_refused(name: str) -> None:
    said = {**described(Profile("text")), "signatures": "", **LIES[name]}
    with pytest.raises((ValueError, TypeError, KeyError)):
        parse_profile(said, base64.b64decode(str(said["signatures"])))


def test_lengths_are_known_to_a_fifth() -> None:
    for length in (0, 1, 5, 17, 300, 10_000):
        assert abs(length_of(step_of(length)) - length) <= 0.2 * length + 1


# -- MinHash ------------------------------------------------------------------------------------------

CHANCE = random.Random(5)  # noqa: S311 - the same rows every time


def words(count: int) -> list[str]:
    return ["".join(CHANCE.choices(string.ascii_lowercase, k=6)) for _ in range(count)]


def share(one: str, other: str) -> bool:
    pairs = zip(bands_of({"text": one}, KEY), bands_of({"text": other}, KEY), strict=True)
    return any(mine == theirs for mine, theirs in pairs)


def test_texts_that_differ_in_a_word_share_a_band_and_others_do_not() -> None:
    near = far = 0
    for _ in range(100):
        text = words(40)
        near += share(" ".join(text), " ".join([*text[:20], *words(1), *text[21:]]))
        far += share(" ".join(text), " ".join([*text[:20], *words(20)]))
    assert near >= 95
    assert far <= 10


def test_signatures_of_another_key_tell_nothing() -> None:
    row = {"text": " ".join(words(20))}
    assert set(bands_of(row, KEY)).isdisjoint(bands_of(row, bytes(32)))
