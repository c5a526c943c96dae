"""Signed notes as C2SP writes them: what parses, what verifies, and what must not."""

import os
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomoat.audit.checkpoint import (
    LOG_KEY,
    NOTE_LIMIT,
    WITNESS_KEY,
    NoteSigner,
    add_signatures,
    checkpoint_text,
    parse_checkpoint,
    parse_size,
    parse_verifier_key,
    sign_checkpoint,
    verify_checkpoint,
    verify_cosignature,
)
from nomoat.audit.tree import Head
from nomoat.core.errors import Corrupt, Malformed

SEED = bytes(range(32))
HEAD = Head(20852163, bytes(range(32)))
LOG = NoteSigner("example.com/behind-the-sofa", SEED)
WITNESS = NoteSigner("witness.example.com/w1", bytes(reversed(SEED)), WITNESS_KEY)

# The example of c2sp.org/tlog-cosignature: a format that somebody else wrote.
C2SP_NOTE = """example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
""".encode()  # fmt: skip


def test_the_specifications_example_parses() -> None:
    checkpoint = parse_checkpoint(C2SP_NOTE)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert [signature.name for signature in checkpoint.signatures] == [
        "example.com/behind-the-sofa",
        "witness.example.com/w1",
    ]
    assert checkpoint.signatures[1].key_id.hex() == "8d66cf3f"


def test_what_is_signed_verifies() -> None:
    note = sign_checkpoint(LOG, HEAD)
    assert verify_checkpoint(note, LOG.key).head == HEAD
    cosigned = add_signatures(parse_checkpoint(note), WITNESS.cosign(checkpoint_text(LOG.key.name, HEAD), 1679315147))
    assert verify_checkpoint(cosigned.note, LOG.key).head == HEAD
    assert verify_cosignature(cosigned, WITNESS.key) == 1679315147


def test_verifier_keys_round_trip_and_check_their_id() -> None:
    text = str(LOG.key)
    assert parse_verifier_key(text) == LOG.key
    assert parse_verifier_key(str(WITNESS.key), WITNESS_KEY) == WITNESS.key
    name, key_id, key = text.split("+", 2)
    other = f"{int(key_id, 16) ^ 1:08x}"
    wrong_type = b64encode(b"\x02" + LOG.key.public).decode()
    for wrong in (
        "",
        name,
        f"{name}+{other}+{key}",
        f"{name}+{key_id.upper()}x+{key}",
        f"{name}+{key_id}+{key[:-4]}",
        f"{name}+{key_id}+{wrong_type}",
        f"with space+{key_id}+{key}",
        f"other.example+{key_id}+{key}",
    ):
        with pytest.raises(Malformed):
            parse_verifier_key(wrong)
    with pytest.raises(Malformed):
        parse_verifier_key(str(WITNESS.key), LOG_KEY)


def test_a_foreign_signature_is_not_ours() -> None:
    foreign = NoteSigner(LOG.key.name, os.urandom(32))
    with pytest.raises(Corrupt):
        verify_checkpoint(sign_checkpoint(foreign, HEAD), LOG.key)
    both = sign_checkpoint(foreign, HEAD) + LOG.sign(checkpoint_text(LOG.key.name, HEAD))
    assert verify_checkpoint(both, LOG.key).head == HEAD  # signatures of unknown keys are ignored


def test_a_bad_signature_of_a_known_key_rejects_the_note() -> None:
    note = sign_checkpoint(LOG, HEAD)
    bad = sign_checkpoint(LOG, Head(1, HEAD.root)).rpartition(b"\n\n")[2]
    with pytest.raises(Corrupt):
        verify_checkpoint(note + bad, LOG.key)


def test_another_origin_is_another_log() -> None:
    other = NoteSigner("example.com/other", SEED)
    with pytest.raises(Corrupt):
        verify_checkpoint(sign_checkpoint(other, HEAD), LOG.key)


@given(st.integers(0), st.integers(0, 7))
def test_any_flipped_bit_of_a_note_is_found(offset: int, bit: int) -> None:
    note = bytearray(sign_checkpoint(LOG, HEAD))
    note[offset % len(note)] ^= 1 << bit
    with pytest.raises((Malformed, Corrupt)):
        verify_checkpoint(bytes(note), LOG.key)


def test_a_cosignature_binds_its_time() -> None:
    text = checkpoint_text(LOG.key.name, HEAD)
    line = WITNESS.cosign(text, 1000)
    forged = line.replace(line.split(b" ")[2][:16], WITNESS.cosign(text, 1001).split(b" ")[2][:16])
    assert forged != line
    with pytest.raises(Corrupt):
        verify_cosignature(parse_checkpoint(sign_checkpoint(LOG, HEAD) + forged), WITNESS.key)
    with pytest.raises(Corrupt):
        verify_cosignature(parse_checkpoint(sign_checkpoint(LOG, HEAD)), WITNESS.key)


@pytest.mark.parametrize(
    "note",
    [
        b"",
        b"\xff\n1\n\n",
        C2SP_NOTE.replace(b"\n", b"\r\n"),
        C2SP_NOTE.replace(b"20852163", b"020852163"),
        C2SP_NOTE.replace(b"20852163", b"-1"),
        C2SP_NOTE.replace(b"20852163", b"9" * 19),
        C2SP_NOTE.replace("— ".encode(), b"- "),
        C2SP_NOTE[:-1],
        C2SP_NOTE.replace(b"\n\n", b"\nextension\n\n"),
        C2SP_NOTE.replace(b"CsUY", b"CsU "),
        C2SP_NOTE.replace(b"q2I=", b"q2J="),
        C2SP_NOTE + C2SP_NOTE.rpartition(b"\n\n")[2] * 20,
        C2SP_NOTE + b"x" * NOTE_LIMIT,
    ],
)  # fmt: skip
def test_what_is_not_a_checkpoint(note: bytes) -> None:
    with pytest.raises(Malformed):
        parse_checkpoint(note)


@given(st.text())
def test_sizes_are_canonical(text: str) -> None:
    try:
        size = parse_size(text)
    except Malformed:
        return
    assert str(size) == text
    assert size < 1 << 63
