"""The tree against a naive reading of RFC 6962, and proofs that must not verify."""

from collections.abc import Sequence
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomoat.audit.tree import (
    EMPTY_ROOT,
    Frontier,
    Head,
    ReadHash,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    position,
    root_at,
    stored,
    verify_consistency,
    verify_inclusion,
)
from nomoat.core.errors import Corrupt, Misuse

SIZES = st.integers(0, 130)


def leaves(count: int, salt: str = "") -> list[bytes]:
    return [leaf_hash(f"{salt}{n}".encode()) for n in range(count)]


# -- The reference: RFC 6962, sections 2.1 to 2.1.2, word for word ---------------------------------------


def mth(hashes: Sequence[bytes]) -> bytes:
    if not hashes:
        return sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    k = split(len(hashes))
    return sha256(b"\x01" + mth(hashes[:k]) + mth(hashes[k:])).digest()


def path(m: int, hashes: Sequence[bytes]) -> list[bytes]:
    if len(hashes) == 1:
        return []
    k = split(len(hashes))
    if m < k:
        return [*path(m, hashes[:k]), mth(hashes[k:])]
    return [*path(m - k, hashes[k:]), mth(hashes[:k])]


def proof(m: int, hashes: Sequence[bytes]) -> list[bytes]:
    def subproof(m: int, hashes: Sequence[bytes], *, whole: bool) -> list[bytes]:
        if m == len(hashes):
            return [] if whole else [mth(hashes)]
        k = split(len(hashes))
        if m <= k:
            return [*subproof(m, hashes[:k], whole=whole), mth(hashes[k:])]
        return [*subproof(m - k, hashes[k:], whole=False), mth(hashes[:k])]

    return subproof(m, hashes, whole=True)


def split(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


# -- Growing -------------------------------------------------------------------------------------------


def grown(hashes: Sequence[bytes]) -> tuple[Frontier, ReadHash]:
    frontier = Frontier()
    storage = frontier.extend(hashes)
    assert len(storage) == stored(len(hashes))
    return frontier, lambda level, index: storage[position(level, index)]


def test_leaf_and_empty_hashes() -> None:
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    # RFC 6962's test vector of a single empty leaf (certificate-transparency, merkle_tree_test).
    assert leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"


@given(SIZES, st.integers(0, 130))
def test_the_frontier_grows_the_reference_tree(size: int, cut: int) -> None:
    hashes = leaves(size)
    frontier = Frontier()
    storage = frontier.extend(hashes[:cut])
    storage += frontier.extend(hashes[cut:])
    assert frontier.head() == Head(size, mth(hashes))
    assert root_at(min(cut, size), lambda level, index: storage[position(level, index)]) == mth(hashes[:cut])


@given(SIZES)
def test_a_frontier_of_the_wrong_shape_is_refused(size: int) -> None:
    with pytest.raises(Corrupt):
        Frontier(size, [bytes(32)] * (size.bit_count() + 1))
    with pytest.raises(Corrupt):
        Frontier(1, [bytes(31)])


# -- Proving -------------------------------------------------------------------------------------------


@given(st.data())
def test_inclusion_proofs_are_the_references(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 130))
    index = data.draw(st.integers(0, size - 1))
    hashes = leaves(size)
    frontier, read = grown(hashes)
    found = inclusion_proof(index, size, read)
    assert found == path(index, hashes)
    assert verify_inclusion(hashes[index], index, frontier.head(), found) == frontier.head()
    other = data.draw(st.integers(0, size - 1))
    if other != index:
        with pytest.raises(Corrupt):
            verify_inclusion(hashes[index], other, frontier.head(), found)
    with pytest.raises(Corrupt):
        verify_inclusion(leaf_hash(b"another"), index, frontier.head(), found)
    with pytest.raises(Corrupt):
        verify_inclusion(hashes[index], index, frontier.head(), [*found, bytes(32)])
    with pytest.raises(Misuse):
        inclusion_proof(size, size, read)


@given(st.data())
def test_consistency_proofs_are_the_references(data: st.DataObject) -> None:
    new = data.draw(SIZES)
    old = data.draw(st.integers(0, new))
    hashes = leaves(new)
    frontier, read = grown(hashes)
    before = Head(old, mth(hashes[:old]))
    found = consistency_proof(old, new, read)
    assert found == (proof(old, hashes) if old else [])
    assert len(found) <= 63
    assert verify_consistency(before, frontier.head(), found) == frontier.head()


@given(st.data())
def test_no_proof_joins_two_histories(data: st.DataObject) -> None:
    new = data.draw(st.integers(1, 130))
    old = data.draw(st.integers(1, new))
    changed = data.draw(st.integers(0, old - 1))
    hashes = leaves(new)
    rewritten = [*hashes]
    rewritten[changed] = leaf_hash(b"rewritten")
    frontier, read = grown(rewritten)
    with pytest.raises(Corrupt):
        verify_consistency(Head(old, mth(hashes[:old])), frontier.head(), consistency_proof(old, new, read))
    with pytest.raises(Corrupt):
        verify_consistency(Head(old, mth(hashes[:old])), frontier.head(), proof(old, hashes))


@given(st.data())
def test_a_changed_proof_does_not_verify(data: st.DataObject) -> None:
    new = data.draw(st.integers(2, 130))
    old = data.draw(st.integers(1, new - 1))
    hashes = leaves(new)
    frontier, read = grown(hashes)
    before, found = Head(old, mth(hashes[:old])), consistency_proof(old, new, read)
    at = data.draw(st.integers(0, len(found) - 1))
    for wrong in (
        found[:at] + found[at + 1 :],
        [*found[:at], bytes(32), *found[at + 1 :]],
        [*found, found[-1]],
        [],
    ):
        with pytest.raises(Corrupt):
            verify_consistency(before, frontier.head(), wrong)


def test_old_size_zero_proves_nothing_and_takes_nothing() -> None:
    hashes = leaves(5)
    head = Head(5, mth(hashes))
    assert verify_consistency(Head(0, EMPTY_ROOT), head, []) == head
    for old, new, steps in (
        (Head(0, EMPTY_ROOT), head, [bytes(32)]),
        (Head(0, bytes(32)), head, []),
        (Head(0, EMPTY_ROOT), Head(0, bytes(32)), []),
        (head, Head(4, mth(hashes[:4])), []),
        (head, Head(5, bytes(32)), []),
    ):
        with pytest.raises(Corrupt):
            verify_consistency(old, new, steps)
