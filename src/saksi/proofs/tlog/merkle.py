"""The Merkle tree of RFC 6962, section 2.1, over SHA-256: roots, proofs and their verification.

Rules kept here:

- every function takes plain integers and bytes; nothing knows where hashes are stored;
- a hash is 32 bytes, a leaf and a node are hashed under different prefixes;
- a verifier returns nothing and raises `ProofRefused`, so that a forgotten result cannot pass for a yes.

`read_hash(level, index)` names the root of the complete subtree over the leaves
`[index * 2**level, (index + 1) * 2**level)`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from saksi.proofs.canonical import MAX_UINT63
from saksi.words.errors import SaksiError

__all__ = [
    "EMPTY_ROOT",
    "HASH_SIZE",
    "CompactRange",
    "HashReader",
    "ProofRefused",
    "consistency_proof",
    "hash_reader",
    "inclusion_proof",
    "leaf_hash",
    "leaf_hashes",
    "node_hash",
    "root_of",
    "verify_consistency",
    "verify_inclusion",
]

HASH_SIZE: Final = 32
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()

HashReader = Callable[[int, int], bytes]


class ProofRefused(SaksiError):
    """The proof does not show what it is offered for."""

    exit_code = 1


def leaf_hash(entry: bytes) -> bytes:
    """The hash of one entry: SHA-256(0x00 || entry)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def leaf_hashes(entries: Iterable[bytes]) -> list[bytes]:
    """`leaf_hash` of every entry, for bulk work."""
    sha256 = hashlib.sha256  # a local name: the loop body is little more than this call
    return [sha256(b"\x00" + entry).digest() for entry in entries]


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node: SHA-256(0x01 || left || right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The tree head over leaf hashes, level by level (RFC 6962, section 2.1)."""
    if not leaves:
        return EMPTY_ROOT
    level = leaves
    while len(level) > 1:
        level = _level_above(level, keep_odd=True)
    return level[0]


def hash_reader(leaves: Sequence[bytes]) -> HashReader:
    """A `HashReader` over leaf hashes held in memory. The reader raises `LookupError` outside the tree."""
    levels = [leaves]
    while len(levels[-1]) > 1:
        levels.append(_level_above(levels[-1], keep_odd=False))

    def read_hash(level: int, index: int) -> bytes:
        return levels[level][index]

    return read_hash


def _level_above(level: Sequence[bytes], *, keep_odd: bool) -> list[bytes]:
    sha256 = hashlib.sha256
    pairs = iter(level)
    above = [sha256(b"\x01" + left + right).digest() for left, right in zip(pairs, pairs, strict=False)]
    if keep_odd and len(level) % 2:  # without a sibling a hash moves up unchanged
        above.append(level[-1])
    return above


class CompactRange:
    """The right edge of a growing tree: enough to append leaves and to know the root at every size.

    Memory is one hash per level. `hashes` are the roots of the complete subtrees, the largest first, one
    for each one-bit of `size`; a range is resumed by passing both back in.
    """

    __slots__ = ("_hashes", "_size")

    def __init__(self, size: int = 0, hashes: Iterable[bytes] = ()) -> None:
        self._size = size
        self._hashes = list(hashes)
        if not 0 <= size <= MAX_UINT63 or len(self._hashes) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves has no right edge of {len(self._hashes)} hashes")

    @classmethod
    def read(cls, size: int, read_hash: HashReader) -> CompactRange:
        """The right edge of a stored tree of `size` leaves."""
        return cls(size, (read_hash(level, index) for level, index in _complete_subtrees(0, size)))

    @property
    def size(self) -> int:
        """The number of leaves."""
        return self._size

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """The roots of the complete subtrees, the largest first."""
        return tuple(self._hashes)

    def append(self, leaf: bytes) -> None:
        """Adds one leaf hash at the right."""
        carry = self._size
        while carry & 1:
            leaf = node_hash(self._hashes.pop(), leaf)
            carry >>= 1
        self._hashes.append(leaf)
        self._size += 1

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Adds leaf hashes in order."""
        for leaf in leaves:
            self.append(leaf)

    def root(self) -> bytes:
        """The tree head at the present size."""
        return _fold(self._hashes) if self._hashes else EMPTY_ROOT


def inclusion_proof(*, index: int, size: int, read_hash: HashReader) -> list[bytes]:
    """The audit path of leaf `index` in the tree of `size` leaves (RFC 6962, section 2.1.1).

    Raises `ValueError` unless `0 <= index < size`, and whatever `read_hash` raises.
    """
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size} leaves")
    start, end = 0, size
    siblings = []
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            siblings.append((middle, end))
            end = middle
        else:
            siblings.append((start, middle))
            start = middle
    return [_subtree_root(a, b, read_hash) for a, b in reversed(siblings)]


def consistency_proof(*, old_size: int, new_size: int, read_hash: HashReader) -> list[bytes]:
    """The proof that the first `old_size` leaves are unchanged in `new_size` (RFC 6962, section 2.1.2).

    Raises `ValueError` unless `1 <= old_size <= new_size`, and whatever `read_hash` raises.
    """
    if not 1 <= old_size <= new_size:
        raise ValueError(f"no consistency proof leads from {old_size} to {new_size} leaves")
    start, end = 0, new_size
    parts = []
    while end != old_size:
        middle = start + _split(end - start)
        if old_size <= middle:
            parts.append((middle, end))
            end = middle
        else:
            parts.append((start, middle))
            start = middle
    if start:  # otherwise the remaining subtree is the old root, which the verifier holds
        parts.append((start, end))
    return [_subtree_root(a, b, read_hash) for a, b in reversed(parts)]


def verify_inclusion(*, index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Returns if `proof` shows `leaf` at `index` under `root` (RFC 9162, section 2.1.3.2).

    Raises `ProofRefused` otherwise.
    """
    if not 0 <= index < size <= MAX_UINT63:
        raise ProofRefused(f"leaf {index} cannot be in a tree of {size} leaves")
    _require_hashes((leaf, root, *proof))
    fn, sn, found = index, size - 1, leaf
    for sibling in proof:
        if sn == 0:
            raise ProofRefused(f"the inclusion proof has more hashes than a tree of {size} leaves needs")
        if fn & 1 or fn == sn:
            found = node_hash(sibling, found)
            fn, sn = _climb(fn, sn)
        else:
            found = node_hash(found, sibling)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0:
        raise ProofRefused(f"the inclusion proof has fewer hashes than a tree of {size} leaves needs")
    if found != root:
        raise ProofRefused(f"the inclusion proof of leaf {index} leads to another root")


def verify_consistency(
    *, old_size: int, new_size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Returns if `proof` shows that the new tree begins with the old one (RFC 9162, section 2.1.4.2).

    A proof from the empty tree shows nothing, so `old_size` 0 is refused: who accepts a first log
    checkpoint decides so in another place. Raises `ProofRefused`.
    """
    if not 1 <= old_size <= new_size <= MAX_UINT63:
        raise ProofRefused(f"no consistency proof leads from {old_size} to {new_size} leaves")
    if old_size == new_size:
        # Nothing is hashed here, so nothing depends on the length of the roots; the published cases agree.
        if proof:
            raise ProofRefused("a consistency proof between equal sizes has no hashes")
        if old_root != new_root:
            raise ProofRefused(f"two roots are offered for {old_size} leaves")
        return
    _require_hashes((old_root, new_root, *proof))
    if old_size & (old_size - 1) == 0:  # a complete old tree is itself the first hash of the path
        proof = (old_root, *proof)
    found_old, found_new = _climb_both(old_size, new_size, proof)
    if found_old != old_root:
        raise ProofRefused(f"the consistency proof leads to another root of {old_size} leaves")
    if found_new != new_root:
        raise ProofRefused(f"the consistency proof leads to another root of {new_size} leaves")


def _climb_both(old_size: int, new_size: int, proof: Sequence[bytes]) -> tuple[bytes, bytes]:
    """The two roots a consistency proof leads to."""
    if not proof:
        raise ProofRefused("the consistency proof has no hashes")
    fn, sn = old_size - 1, new_size - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    found_old = found_new = proof[0]
    for sibling in proof[1:]:
        if sn == 0:
            raise ProofRefused("the consistency proof has more hashes than its sizes need")
        if fn & 1 or fn == sn:
            found_old = node_hash(sibling, found_old)
            found_new = node_hash(sibling, found_new)
            fn, sn = _climb(fn, sn)
        else:
            found_new = node_hash(found_new, sibling)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0:
        raise ProofRefused("the consistency proof has fewer hashes than its sizes need")
    return found_old, found_new


def _climb(fn: int, sn: int) -> tuple[int, int]:
    """Skips the levels at which a node at the right edge has no sibling."""
    while fn and not fn & 1:
        fn, sn = fn >> 1, sn >> 1
    return fn, sn


def _require_hashes(hashes: Iterable[bytes]) -> None:
    if any(len(each) != HASH_SIZE for each in hashes):
        raise ProofRefused(f"every hash of a proof is {HASH_SIZE} bytes long")


def _split(count: int) -> int:
    """The largest power of two below `count`: where RFC 6962 divides a tree."""
    return 1 << ((count - 1).bit_length() - 1)


def _complete_subtrees(start: int, end: int) -> Iterator[tuple[int, int]]:
    """The complete subtrees, the largest first, of a range whose start RFC 6962 divides at."""
    while start < end:
        level = (end - start).bit_length() - 1
        yield level, start >> level
        start += 1 << level


def _subtree_root(start: int, end: int, read_hash: HashReader) -> bytes:
    return _fold([read_hash(level, index) for level, index in _complete_subtrees(start, end)])


def _fold(hashes: Sequence[bytes]) -> bytes:
    found = hashes[-1]
    for left in reversed(hashes[:-1]):
        found = node_hash(left, found)
    return found
