"""Statements and bundles, parsed strictly: each departure from the formats by name."""

import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest

from nomoat.attestation.bundle import BUNDLE_LIMIT, MEDIA_TYPE, Bundle, parse_bundle
from nomoat.attestation.dsse import Envelope
from nomoat.attestation.fields import Fields, encode_time, parse_object
from nomoat.attestation.statement import STATEMENT_LIMIT, Resource, Statement, parse_statement
from nomoat.core.errors import Malformed, TooLarge

DIGEST = {"sha256": "ab" * 32}
STATEMENT = Statement((Resource("a", digest=DIGEST),), "https://example.com/p", {"x": [1, "y"]})


def changed(document: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    value = json.loads(document)
    change(value)
    return json.dumps(value).encode()


def test_a_statement_is_read_as_it_was_written() -> None:
    assert parse_statement(STATEMENT.encode()) == STATEMENT
    assert json.loads(STATEMENT.encode())["_type"] == "https://in-toto.io/Statement/v1"


def test_what_a_later_minor_version_adds_is_passed_over() -> None:
    def add(value: dict[str, Any]) -> None:
        value["extension"] = {}
        value["subject"][0]["annotations"] = {"a": "b"}

    assert parse_statement(changed(STATEMENT.encode(), add)) == STATEMENT


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value.update(_type="https://in-toto.io/Statement/v0.1"),
        lambda value: value.update(_type="https://in-toto.io/Statement/v2"),
        lambda value: value.pop("_type"),
        lambda value: value.update(subject=[]),
        lambda value: value.update(subject="a"),
        lambda value: value.update(subject=[{"name": "a"}]),
        lambda value: value.update(subject=[{"name": "a", "digest": {}}]),
        lambda value: value.update(subject=[{"name": "a", "digest": {"sha256": "AB" * 32}}]),
        lambda value: value.update(subject=[{"name": "a", "digest": {"sha256": "ab" * 8}}]),
        lambda value: value.update(subject=[{"name": "a", "digest": {"sha 256": "ab" * 32}}]),
        lambda value: value.update(subject=[{"name": "a\u202e", "digest": DIGEST}]),
        lambda value: value.update(subject=[{"name": "\ud800", "digest": DIGEST}]),
        lambda value: value.update(predicate=None),
        lambda value: value.update(predicate=[]),
        lambda value: value.update(predicateType=""),
        lambda value: value.pop("predicateType"),
        lambda value: value.update(predicate={"x": 1.5}),
    ],
)
def test_what_is_no_statement_is_refused(change: Callable[[dict[str, Any]], object]) -> None:
    with pytest.raises(Malformed):
        parse_statement(changed(STATEMENT.encode(), change))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b'{"a":1,"a":1}',
        b'{"a":{"b":1,"b":2}}',
        b'{"a":"x","\\u0061":"y"}',
        b'{"a":NaN}',
        b'{"a":1}\x00',
        b'{"a":1} {}',
        b"\xef\xbb\xbf{}",
        '{"a":1}'.encode("utf-16"),
        b'{"a":"\xff"}',
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=lambda data: repr(data[:20]),
)
def test_what_is_no_object_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        parse_object(data, "it", 1 << 20)


def test_sizes_are_limited() -> None:
    with pytest.raises(TooLarge):
        parse_statement(b" " * (STATEMENT_LIMIT + 1))
    with pytest.raises(TooLarge):
        parse_bundle(b" " * (BUNDLE_LIMIT + 1))
    with pytest.raises(TooLarge, match="subject has at most"):
        parse_statement(
            changed(STATEMENT.encode(), lambda value: value.update(subject=[{"name": "a", "digest": DIGEST}] * 1025))
        )


@pytest.mark.parametrize("text", ["2026-11-22T19:31:00Z", "2026-11-22T19:31:00.123456789Z"])
def test_times_are_read(text: str) -> None:
    assert encode_time(Fields({"t": text}, "it").time("t")) == "2026-11-22T19:31:00Z"


@pytest.mark.parametrize(
    "text", ["2026-11-22", "2026-11-22T19:31:00", "2026-11-22T19:31:00+01:00", "2026-13-22T19:31:00Z", "1790000000", 5]
)
def test_what_is_no_time_is_refused(text: object) -> None:
    with pytest.raises(Malformed, match="t is not a time"):
        Fields({"t": text}, "it").time("t")


BUNDLE = Bundle(Envelope(b"{}", b"s"), key_id="k").encode()
CERTIFICATE = {"rawBytes": b64encode(b"c").decode()}


def test_a_bundle_is_read_as_it_was_written() -> None:
    assert parse_bundle(BUNDLE) == Bundle(Envelope(b"{}", b"s"), key_id="k")
    chained = Bundle(Envelope(b"{}", b"s"), certificates=(b"c", b"d"))
    assert parse_bundle(chained.encode()) == chained
    single = changed(BUNDLE, lambda value: value.update(verificationMaterial={"certificate": CERTIFICATE}))
    assert parse_bundle(single).certificates == (b"c",)


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value.update(mediaType=MEDIA_TYPE.replace("0.3", "0.2")),
        lambda value: value.update(mediaType=MEDIA_TYPE.replace("0.3", "0.4")),
        lambda value: value.pop("mediaType"),
        lambda value: value.update(messageSignature={}),
        lambda value: value.pop("dsseEnvelope"),
        lambda value: value.pop("verificationMaterial"),
        lambda value: value["verificationMaterial"].pop("publicKey"),
        lambda value: value["verificationMaterial"].update(certificate=CERTIFICATE),
        lambda value: value["verificationMaterial"].update(tlogEntries=[{"logIndex": "1"}]),
        lambda value: value["verificationMaterial"].update(timestampVerificationData={"rfc3161Timestamps": [{}]}),
        lambda value: value["verificationMaterial"].update(more=1),
        lambda value: value["verificationMaterial"].update(publicKey={}),
        lambda value: value["verificationMaterial"].update(publicKey={"hint": "k", "rawBytes": "AA=="}),
        lambda value: value.update(verificationMaterial={"x509CertificateChain": {"certificates": []}}),
        lambda value: value.update(verificationMaterial={"x509CertificateChain": {"certificates": [CERTIFICATE] * 9}}),
        lambda value: value.update(verificationMaterial={"certificate": {"rawBytes": "====", "more": 1}}),
        lambda value: value.update(
            verificationMaterial={"certificate": {"rawBytes": b64encode(bytes(16385)).decode()}}
        ),
    ],
)
def test_what_is_no_bundle_is_refused(change: Callable[[dict[str, Any]], object]) -> None:
    with pytest.raises((Malformed, TooLarge)):
        parse_bundle(changed(BUNDLE, change))
