"""Entries say little, boxes open only for whom and beside what they were made."""

import asyncio
import json
import os
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomoat.audit.entries import MissingKey, Pseudonyms, SealedRecord, Sealer, open_box
from nomoat.audit.leaf import parse_leaf
from nomoat.core.errors import Corrupt, Malformed, Misuse
from nomoat.core.record import Json, Record, RecordKind
from tests.audit.world import ORIGIN, MemoryKeys

AT = "2026-11-22T19:31:07.412Z"
PSEUDONYMS = Pseudonyms(bytes(range(32)))
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


def sealer(*subjects: str) -> tuple[Sealer, MemoryKeys]:
    keys = MemoryKeys()
    for subject in subjects:
        asyncio.run(keys.create(PSEUDONYMS.subject(subject)))
    return Sealer(ORIGIN, "gateway-1", PSEUDONYMS, keys), keys


def fields(sealed: SealedRecord) -> Mapping[str, object]:
    return parse_leaf(sealed.entry).fields


SEALER, KEYS = sealer("person:ann", "person:bob")


def seal(content: Mapping[str, Json], index: int = 7, subject: str = "person:ann") -> SealedRecord:
    record = Record(RecordKind.OPENING, subject, "ReadFile", "acme/digits", "allow", content)
    return SEALER.seal(SEALER.draft(record), index, AT)


def key(sealed: SealedRecord) -> bytes:
    return KEYS.keys[str(fields(sealed)["who"])]


@given(st.dictionaries(TEXT, JSON, max_size=5))
def test_what_is_sealed_opens(content: dict[str, Json]) -> None:
    sealed = seal(content)
    assert open_box(ORIGIN, fields(sealed), sealed.box, key(sealed)) == content


def test_nothing_readable_leaves_the_box() -> None:
    canaries = ["canary-person", "canary/digits", "canary-file.parquet", "canary-session", "canary-why"]
    keys = MemoryKeys()
    asyncio.run(keys.create(PSEUDONYMS.subject("person:canary-person")))
    record = Record(
        RecordKind.OPENING,
        "person:canary-person",
        "ReadFile",
        "canary/digits:canary-file.parquet",
        "deny",
        {"who": {"name": "canary-person", "session": "canary-session"}, "why": "canary-why"},
    )
    made = Sealer(ORIGIN, "gateway-1", PSEUDONYMS, keys)
    sealed = made.seal(made.draft(record), 1, AT)
    for canary in canaries:
        assert canary.encode() not in sealed.entry + sealed.box


def test_a_box_opens_only_beside_its_own_entry() -> None:
    first, second = seal({"a": 1}, 7), seal({"a": 1}, 8)
    with pytest.raises(Corrupt):
        open_box(ORIGIN, fields(first), second.box, key(first))
    with pytest.raises(Corrupt):
        open_box("another.example/log", fields(first), first.box, key(first))
    with pytest.raises(Corrupt):
        open_box(ORIGIN, fields(first), first.box, os.urandom(32))
    with pytest.raises(Corrupt):
        open_box(ORIGIN, fields(first), b"", key(first))
    changes = {"n": 9, "at": AT.replace("19", "20"), "kind": "system", "what": "Revoke", "decision": "deny", "of": 3}
    changes |= dict.fromkeys(("who", "on", "session", "enforcer", "commitment"), "00")
    for name, value in changes.items():
        with pytest.raises(Corrupt):
            open_box(ORIGIN, {**fields(first), name: value}, first.box, key(first))


def test_the_same_content_never_looks_the_same() -> None:
    sealed = [seal({"a": 1}, index) for index in range(1000)]
    assert len({one.box[:12] for one in sealed}) == 1000
    assert len({fields(one)["commitment"] for one in sealed}) == 1000
    again = seal({"a": 1}, 5)  # a number that is used again after a write that was never kept
    assert again.box[:12] != sealed[5].box[:12]


def test_pseudonyms_are_stable_and_keyed() -> None:
    names = Pseudonyms(bytes(range(32)))
    assert names.subject("person:ann") == PSEUDONYMS.subject("person:ann")
    assert names.subject("person:ann") != Pseudonyms(bytes(32)).subject("person:ann")
    assert len({names.subject("x"), names.thing("x"), names.session("x")}) == 3
    with pytest.raises(Misuse):
        Pseudonyms(b"short")


def test_a_subject_without_a_key() -> None:
    with pytest.raises(MissingKey) as missing:
        seal({}, subject="person:eve")
    assert missing.value.pseudonym == PSEUDONYMS.subject("person:eve")


@pytest.mark.parametrize(
    "change",
    [
        lambda entry: entry.replace(b'"n":7', b'"n": 7'),
        lambda entry: entry.replace(b'"n":7', b'"n":7.0'),
        lambda entry: entry.replace(b'"n":7', b'"n":true'),
        lambda entry: entry.replace(b'"n":7', b'"n":-7'),
        lambda entry: entry.replace(b'"n":7', b'"n":7,"n":8'),
        lambda entry: entry.replace(b"Z", b"+00:00"),
        lambda entry: json.dumps(json.loads(entry) | {"extra": 1}, separators=(",", ":"), sort_keys=True).encode(),
        lambda entry: entry[:-1],
        lambda _: b"[]",
        lambda _: b"\xff",
    ],
)
def test_an_entry_has_one_form(change: Callable[[bytes], bytes]) -> None:
    with pytest.raises(Malformed):
        parse_leaf(change(seal({}).entry))
