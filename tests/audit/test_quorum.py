"""A quorum: K different ones of N witnesses, whatever else stands under a checkpoint."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomoat.audit.checkpoint import WITNESS_KEY, Checkpoint, NoteSigner, add_signatures, parse_checkpoint
from nomoat.audit.checkpoint import sign_checkpoint as sign
from nomoat.audit.quorum import NOBODY, WITNESS_LIMIT, Quorum
from nomoat.audit.receipt import Receipt, encode_receipt, verify_receipt
from nomoat.audit.tree import Head, leaf_hash
from nomoat.core.errors import Corrupt, Malformed

LOG = NoteSigner("acme.example/log", bytes(range(32)))
SIGNERS = [NoteSigner(f"w{n}.example", bytes([n]) * 32, WITNESS_KEY) for n in range(1, 19)]
KEYS = tuple(signer.key for signer in SIGNERS)
ENTRY = (
    b'{"at":"2026-11-22T19:31:00.000Z","commitment":"","decision":"allow","enforcer":"g","kind":"opening","n":0,'
    b'"on":"","sealed":"","session":"","what":"ReadFile","who":""}'
)
NOTE = sign(LOG, Head(1, leaf_hash(ENTRY)))


def cosigned(*lines: bytes) -> Checkpoint:
    return add_signatures(parse_checkpoint(NOTE), b"".join(lines))


def line(signer: NoteSigner, at: int = 1_795_000_000) -> bytes:
    return signer.cosign(parse_checkpoint(NOTE).text, at)


def broken(signer: NoteSigner, at: int = 1) -> bytes:
    """A signature under the name and id of a witness, over something else."""
    return signer.cosign(b"something else\n", at)


@pytest.mark.parametrize(
    ("witnesses", "needed"),
    [
        (KEYS[:3], 0),
        (KEYS[:3], 4),
        (KEYS[:3], -1),
        ((), 1),
        ((), -1),
        ((*KEYS[:2], KEYS[0]), 2),
        ((KEYS[0], NoteSigner("other.example", bytes([1]) * 32, WITNESS_KEY).key), 1),
        ((KEYS[0], NoteSigner("w1.example", bytes([99]) * 32, WITNESS_KEY).key), 1),
        (KEYS[: WITNESS_LIMIT + 1], 1),
    ],
)
def test_what_is_no_quorum(witnesses: tuple[object, ...], needed: int) -> None:
    with pytest.raises(Malformed):
        Quorum(witnesses, needed)  # type: ignore[arg-type]


def test_without_witnesses_nothing_is_witnessed() -> None:
    assert not NOBODY.met_by(cosigned(line(SIGNERS[0])))
    assert NOBODY.cosignatures(cosigned(line(SIGNERS[0]))) == ()


SIGNATURE = st.tuples(st.integers(0, 7), st.booleans(), st.integers(0, 3))


@given(
    known=st.integers(1, 6),
    needed=st.integers(1, 6),
    signatures=st.lists(SIGNATURE, max_size=24),
)
def test_only_different_known_witnesses_count(known: int, needed: int, signatures: list[tuple[int, bool, int]]) -> None:
    needed = min(needed, known)
    checkpoint = cosigned(*[(line if good else broken)(SIGNERS[who], at) for who, good, at in signatures])
    quorum = Quorum(KEYS[:known], needed)
    said = {who: [good for other, good, _ in signatures if other == who] for who in range(known)}
    expected = [f"w{who + 1}.example" for who in range(known) if said[who] and all(said[who])]
    assert [name for name, _ in quorum.cosignatures(checkpoint)] == expected
    assert quorum.met_by(checkpoint) is (len(expected) >= needed)
    # A receipt under this checkpoint is judged alike.
    receipt = encode_receipt(Receipt(0, (), checkpoint.note, ENTRY))
    if len(expected) >= needed:
        assert [name for name, _ in verify_receipt(receipt, LOG.key, quorum).witnesses] == expected
    else:
        with pytest.raises(Corrupt, match=re.escape(f"{len(expected)} of the witnesses cosigned, where {needed} have")):
            verify_receipt(receipt, LOG.key, quorum)


def test_who_bears_a_witness_s_name_or_key_alone_does_not_count() -> None:
    quorum = Quorum(KEYS[:2], 2)
    namesake = NoteSigner("w2.example", bytes([77]) * 32, WITNESS_KEY)
    renamed = NoteSigner("w9.example", bytes([2]) * 32, WITNESS_KEY)
    assert not quorum.met_by(cosigned(line(SIGNERS[0]), line(SIGNERS[0], 5), line(namesake), line(renamed), line(LOG)))
    assert quorum.met_by(cosigned(line(SIGNERS[0]), line(SIGNERS[1])))


def test_the_newest_time_of_a_witness_is_told() -> None:
    checkpoint = cosigned(line(SIGNERS[0], 5), line(SIGNERS[0], 9), line(SIGNERS[0], 7))
    assert Quorum(KEYS[:1], 1).cosignatures(checkpoint) == (("w1.example", 9),)
