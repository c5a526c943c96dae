"""Envelopes: the published example of DSSE, every kind of key, and what is no envelope."""

from base64 import b64encode
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from nomoat.attestation.dsse import Envelope, pae, parse_envelope, sign
from nomoat.attestation.errors import NotVerified, Reason
from nomoat.attestation.keys import PrivateKey, parse_public_key, require_public_key
from nomoat.core.errors import Malformed

KEYS: list[PrivateKey] = [
    ec.generate_private_key(ec.SECP256R1()),
    ec.generate_private_key(ec.SECP384R1()),
    ed25519.Ed25519PrivateKey.generate(),
]


def test_the_encoding_is_that_of_the_specification() -> None:
    """The test vector of protocol.md of secure-systems-lab/dsse."""
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


@pytest.mark.parametrize(
    "key", KEYS, ids=lambda key: type(key).__name__ + getattr(key, "curve", key).__class__.__name__
)
def test_what_a_key_signed_verifies_under_it_alone(key: PrivateKey) -> None:
    envelope = parse_envelope(dict(sign(b'{"a":1}', key).encode()))
    assert envelope.verify(require_public_key(key.public_key())) == b'{"a":1}'
    for other in KEYS:
        if other is not key:
            with pytest.raises(NotVerified, match="not by the key") as refused:
                envelope.verify(require_public_key(other.public_key()))
            assert refused.value.reason is Reason.SIGNATURE


def test_a_payload_does_not_pass_for_one_of_another_type() -> None:
    key = KEYS[0]
    signed = sign(b"{}", key)
    with pytest.raises(NotVerified):
        Envelope(b"{}", signed.signature, "text/plain").verify(require_public_key(key.public_key()))


def test_what_is_no_statement_is_refused_though_it_is_signed() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    envelope = Envelope(b"{}", key.sign(pae("text/plain", b"{}")), "text/plain")
    with pytest.raises(Malformed, match="no in-toto statement"):
        envelope.verify(key.public_key())


@pytest.mark.parametrize(
    "key",
    [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP521R1())],
    ids=["RSA", "P-521"],
)
def test_other_keys_sign_nothing(key: Any) -> None:
    with pytest.raises(Malformed, match="P-256"):
        sign(b"{}", key)
    with pytest.raises(Malformed, match="P-256"):
        require_public_key(key.public_key())


def test_what_is_no_key_is_none() -> None:
    with pytest.raises(Malformed, match="no public key"):
        parse_public_key(b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")


ONE = {"sig": b64encode(b"s").decode(), "keyid": ""}
GOOD = {"payload": b64encode(b"{}").decode(), "payloadType": "t", "signatures": [ONE]}


@pytest.mark.parametrize(
    "changed",
    [
        {"signatures": []},
        {"signatures": [ONE, ONE]},
        {"signatures": [{**ONE, "keyid": "mine"}]},
        {"signatures": [{**ONE, "cert": "x"}]},
        {"signatures": [{"sig": ""}]},
        {"signatures": {"0": ONE}},
        {"payload": "e31="},  # the last bits are not zero
        {"payload": "e30"},
        {"payload": "e30=\n"},
        {"payload": ""},
        {"payload": 1},
        {"payloadType": ""},
        {"payloadType": None},
        {"more": 1},
    ],
    ids=str,
)
def test_what_is_no_envelope_is_refused(changed: dict[str, object]) -> None:
    assert parse_envelope(GOOD).payload == b"{}"
    with pytest.raises(Malformed):
        parse_envelope({**GOOD, **changed})
