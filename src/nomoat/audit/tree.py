"""The Merkle tree of the log (RFC 6962, section 2.1): growing it, proving with it, checking proofs.

Rules: pure. A tree grows by its frontier alone (the roots of its complete subtrees, largest first);
proofs read stored subtree hashes through a callable, so that memory stays flat. Old size 0 is
handled apart: the algorithms of RFC 9162, section 2.1.4.2, do not cover it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from nomoat.core.errors import Corrupt, Misuse

HASH_SIZE: Final = 32
EMPTY_ROOT: Final = sha256(b"").digest()

ReadHash = Callable[[int, int], bytes]
"""(level, index) to the hash of the complete subtree over leaves index·2^level … (index+1)·2^level - 1."""


@dataclass(frozen=True, slots=True)
class Head:
    """A tree's number of leaves and its root hash (32 bytes)."""

    size: int
    root: bytes


def leaf_hash(entry: bytes) -> bytes:
    """Hash of one leaf (RFC 6962, section 2.1)."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node (RFC 6962, section 2.1)."""
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """The roots of the complete subtrees of a tree, largest first: all that growing needs.

    `size` is the number of leaves; the frontier holds as many hashes as `size` has one bits.
    Raises `Corrupt` when it is made of anything else.
    """

    __slots__ = ("peaks", "size")

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        if size < 0 or len(peaks) != size.bit_count() or any(len(peak) != HASH_SIZE for peak in peaks):
            raise Corrupt("a Merkle frontier")
        self.size = size
        self.peaks = list(peaks)

    def copy(self) -> "Frontier":
        """Return an independent copy."""
        return Frontier(self.size, self.peaks)

    def extend(self, leaves: Iterable[bytes]) -> list[bytes]:
        """Add leaf hashes; return every hash this completed, in the order in which `position` counts."""
        completed: list[bytes] = []
        peaks, size = self.peaks, self.size
        for leaf in leaves:
            node, carry = leaf, size
            completed.append(node)
            while carry & 1:
                node = sha256(b"\x01" + peaks.pop() + node).digest()
                completed.append(node)
                carry >>= 1
            peaks.append(node)
            size += 1
        self.size = size
        return completed

    def root(self) -> bytes:
        """Return the tree's root hash (32 bytes)."""
        if not self.peaks:
            return EMPTY_ROOT
        root = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            root = node_hash(peak, root)
        return root

    def head(self) -> Head:
        """Return size and root."""
        return Head(self.size, self.root())


# -- Where the hash of a complete subtree is stored --------------------------------------------------


def stored(size: int) -> int:
    """How many complete subtrees (leaves included) a tree of `size` leaves has."""
    return 2 * size - size.bit_count()


def position(level: int, index: int) -> int:
    """Where the hash of a complete subtree stands: right after the leaf that completed it."""
    return stored(((index + 1) << level) - 1) + level


# -- Proofs -----------------------------------------------------------------------------------------


def root_at(size: int, read: ReadHash) -> bytes:
    """Return the root of the first `size` leaves."""
    return _subtree(0, size, read) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, read: ReadHash) -> list[bytes]:
    """Return the audit path of leaf `index` in a tree of `size` leaves (RFC 6962, section 2.1.1)."""
    if not 0 <= index < size:
        raise Misuse(f"leaf {index} is not in a tree of {size}")
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(_subtree(middle, end, read))
            end = middle
        else:
            path.append(_subtree(start, middle, read))
            start = middle
    return path[::-1]


def consistency_proof(old: int, new: int, read: ReadHash) -> list[bytes]:
    """Return the proof that the first `old` of `new` leaves are the old tree (RFC 6962, section 2.1.2).

    Empty for old size 0 and for equal sizes.
    """
    if not 0 <= old <= new:
        raise Misuse(f"a tree of {new} leaves has no prefix of {old}")
    path: list[bytes] = []
    if old in {0, new}:
        return path
    start, end, whole = 0, new, True
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            path.append(_subtree(middle, end, read))
            end = middle
        else:
            path.append(_subtree(start, middle, read))
            start, whole = middle, False
    if not whole:
        path.append(_subtree(start, end, read))
    return path[::-1]


def verify_inclusion(leaf: bytes, index: int, head: Head, proof: Sequence[bytes]) -> Head:
    """Check that a leaf hash is leaf `index` under `head` (RFC 9162, section 2.1.3.2); return `head`.

    Raises `Corrupt`.
    """
    if not 0 <= index < head.size:
        raise Corrupt("an inclusion proof")
    node, last, result = index, head.size - 1, leaf
    for step in proof:
        if last == 0:
            raise Corrupt("an inclusion proof")
        if node & 1 or node == last:
            result = node_hash(step, result)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            result = node_hash(result, step)
        node, last = node >> 1, last >> 1
    if last or result != head.root:
        raise Corrupt("an inclusion proof")
    return head


def verify_consistency(old: Head, new: Head, proof: Sequence[bytes]) -> Head:
    """Check that `new` extends `old` (RFC 9162, section 2.1.4.2); return `new`. Raises `Corrupt`.

    Old size 0 is a prefix of anything, with an empty proof and the empty tree's root.
    """
    if old.size in {0, new.size}:
        expected = EMPTY_ROOT if old.size == 0 else new.root
        if proof or old.root != expected or (new.size == 0 and new.root != EMPTY_ROOT):
            raise Corrupt("a consistency proof")
        return new
    if not 0 < old.size < new.size or not proof:
        raise Corrupt("a consistency proof")
    steps = list(proof) if old.size & (old.size - 1) else [old.root, *proof]
    node, last = old.size - 1, new.size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    before = after = steps[0]
    for step in steps[1:]:
        if last == 0:
            raise Corrupt("a consistency proof")
        if node & 1 or node == last:
            before, after = node_hash(step, before), node_hash(step, after)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            after = node_hash(after, step)
        node, last = node >> 1, last >> 1
    if last or before != old.root or after != new.root:
        raise Corrupt("a consistency proof")
    return new


def _split(count: int) -> int:
    """Return the largest power of two below `count` (which is at least 2)."""
    return 1 << ((count - 1).bit_length() - 1)


def _subtree(start: int, end: int, read: ReadHash) -> bytes:
    """Hash of leaves start … end-1, where `start` is a multiple of the subtree's rounded-up size."""
    count = end - start
    level = count.bit_length() - 1
    if count == 1 << level:
        return read(level, start >> level)
    middle = start + _split(count)
    return node_hash(_subtree(start, middle, read), _subtree(middle, end, read))
