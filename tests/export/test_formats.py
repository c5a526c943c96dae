"""What leaves the log is what the formats say: OCSF as its schemas have it, CSV that no spreadsheet runs, Parquet."""

import csv
import io
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from nomoat.audit.columns import write_parquet
from nomoat.audit.ocsf import KINDS, event
from nomoat.audit.tabular import COLUMNS, csv_heading, csv_lines, json_row
from nomoat.core.errors import Unavailable
from nomoat.core.operation import OPERATIONS
from nomoat.core.record import Json
from tests.architecture.tree import ROOT

CLASSES = {3002: "authentication", 3004: "entity_management", 6003: "api_activity", 6005: "datastore_activity"}
VECTORS = Path(os.environ.get("NOMOAT_TEST_VECTORS", ROOT.parent / "shared" / "vectors")) / "ocsf-1.8.0"

NAMES = st.text(max_size=20)
PERSON: Mapping[str, Json] = {
    "kind": "person", "name": "ann@acme.example", "id": "spiffe://acme.example/person/ann/device/d-1",
    "binding": "mtls", "auth_age_s": 3, "session": "s-1", "device": "d-1", "chain": ["train", "agent"],
}  # fmt: skip


@pytest.fixture(scope="module")
def schemas() -> dict[int, Draft202012Validator]:
    if not VECTORS.is_dir():
        pytest.skip(
            f"the OCSF 1.8.0 schemas are not here: put them into {VECTORS}, or name their folder's parent in NOMOAT_TEST_VECTORS"
        )
    return {
        uid: Draft202012Validator(json.loads((VECTORS / f"{name}.json").read_text())) for uid, name in CLASSES.items()
    }


def records() -> Iterator[dict[str, Json]]:
    """A record of every kind that the log makes, of every action, allowed and refused, whole and without content."""
    number = 0
    for what in sorted({*OPERATIONS, *KINDS, "SomethingNew"}):
        for decision in ("allow", "deny"):
            number += 1
            yield {
                "n": number, "at": "2026-11-22T19:31:07.412Z", "enforcer": "gateway-1", "kind": "opening", "what": what,
                "decision": decision, "who": PERSON, "policies": ["a", "b"] if decision == "allow" else [],
                "on": {"kind": "File", "id": "i", "name": "acme/digits@3f9c:data/train.parquet", "version": "3f9c",
                       "classification": "confidential", "labels": ["metrics"]},
                "snapshot": "sha256:91ab", "context": {"at": 1, "binding": "mtls", "obtained": "mtls", "auth_age": 3,
                                                       "source": "10.0.4.7"},
                "request": {"protocol": "hub", "method": "GET"},
                **({"why": "no policy permits it", "detail": "x"} if decision == "deny" else {}),
            }  # fmt: skip
        for lost in ("erased", "damaged"):
            yield {
                "n": number, "at": "2026-11-22T19:31:07.412Z", "enforcer": "gateway-1", "kind": "opening", "what": what,
                "decision": "allow", "who": {"kind": "", "pseudonym": "ab" * 16}, lost: True,
            }  # fmt: skip
        yield {
            "n": number + 1, "at": "2026-11-22T19:31:08.000Z", "enforcer": "gateway-1", "kind": "outcome", "what": what,
            "decision": "allow", "of": number, "who": PERSON, "outcome": "cut", "bytes": 12, "ms": 40,
            "facts": {"range": "0-11"}, "on": {"requested": "acme/nothing"}, "context": {"source": "::1"},
        }  # fmt: skip
    for what in ("LogOpened", "Start", "LogOutage", "Authenticate"):
        yield {
            "n": 900, "at": "2026-11-22T19:31:08.000Z", "enforcer": "gateway-1", "what": what, "decision": "",
            "kind": "coalesced" if what == "Authenticate" else "system", "count": 12, "reasons": {"TLS": 12},
            "who": {"kind": "system", "pseudonym": "cd" * 16}, "context": {"source": "other sources"},
        }  # fmt: skip


def errors(made: dict[str, Json], schemas: dict[int, Draft202012Validator]) -> list[str]:
    validator = schemas[int(str(made["class_uid"]))]
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(json.loads(json.dumps(made)))]


def test_every_record_is_an_event_as_the_schema_says(schemas: dict[int, Draft202012Validator]) -> None:
    for record in records():
        assert errors(event(record, "acme.example/log"), schemas) == [], record["what"]


def test_the_schemas_would_say_so(schemas: dict[int, Draft202012Validator]) -> None:
    made = event(next(records()), "acme.example/log")
    assert errors({**made, "invented": 1}, schemas)
    assert errors({**made, "activity_id": 77}, schemas)
    assert errors({name: value for name, value in made.items() if name != "metadata"}, schemas)


@given(name=NAMES, on=NAMES, why=NAMES, source=NAMES)
def test_whatever_a_client_wrote_the_event_is_one(
    schemas: dict[int, Draft202012Validator], name: str, on: str, why: str, source: str
) -> None:
    for record in list(records())[::7]:
        hostile = {
            **record,
            "who": {**PERSON, "name": name},
            "on": {"requested": on},
            "why": why,
            "context": {"source": source},
        }
        assert errors(event(hostile, "acme.example/log"), schemas) == []


def test_every_operation_of_today_has_a_class_of_its_own_choice() -> None:
    assert sorted(set(OPERATIONS) - set(KINDS)) == []


def test_an_event_says_who_what_and_its_records_number() -> None:
    refused = event(list(records())[1], "acme.example/log")
    metadata: Any = refused["metadata"]
    assert (metadata["uid"], metadata["sequence"]) == ("acme.example/log/2", 2)
    assert (refused["action_id"], refused["status_id"], refused["status_detail"]) == (2, 2, "no policy permits it")


FORMULAS = [
    "=1+1",
    "+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    " =1",
    "\uff1d1",
    '=HYPERLINK("http://x")',
    "=cmd|' /C calc'!A0",
]


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_name_that_is_a_formula_is_text_in_the_spreadsheet(formula: str) -> None:
    record: dict[str, Json] = {
        "n": 1,
        "who": {"kind": "person", "name": formula},
        "on": {"requested": formula},
        "why": formula,
    }
    (cells,) = csv.reader(io.StringIO(csv_lines([record]).decode(), newline=""))
    for cell in cells:
        assert not cell.strip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d"))
    assert cells.count(f"'{formula}") == 3


@given(name=st.text(), why=st.text())
def test_csv_reads_back_as_what_it_was(name: str, why: str) -> None:
    record: dict[str, Json] = {"n": 7, "who": {"kind": "person", "name": name}, "why": why}
    text = (csv_heading() + csv_lines([record])).decode()
    heading, cells = csv.reader(io.StringIO(text, newline=""))
    found = dict(zip(heading, cells, strict=True))
    escaped = name.encode("utf-8", "backslashreplace").decode()
    assert found["who"].removeprefix("'") == escaped.removeprefix("'")
    assert found["n"] == "7"


def test_parquet_has_the_same_rows(tmp_path: Path) -> None:
    made = list(records())
    write_parquet(iter([b"".join(map(json_row, made))]), tmp_path / "log.parquet")
    table = duckdb.read_parquet(str(tmp_path / "log.parquet"))
    found = table.project("n, who, what, decision, bytes, content").fetchall()
    assert len(found) == len(made)
    assert (1, "ann@acme.example", min({*OPERATIONS, *KINDS, "SomethingNew"}), "allow", None, "readable") in found
    assert table.columns == [column.name for column in COLUMNS]


def test_parquet_of_a_stream_that_is_cut_is_no_file(tmp_path: Path) -> None:
    def cut() -> Iterator[bytes]:
        yield json_row(next(records()))
        raise Unavailable("gateway", "it went away")

    with pytest.raises(Unavailable, match="went away"):
        write_parquet(cut(), tmp_path / "log.parquet")
    assert list(tmp_path.iterdir()) == []
