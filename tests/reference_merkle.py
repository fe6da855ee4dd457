"""RFC 6962, section 2.1, written down as it stands there: slow, recursive, over entries. The tests' oracle.

Nothing here is shared with `saksi.proofs.tlog.merkle`, and nothing here is fast.
"""

from __future__ import annotations

from hashlib import sha256

Entries = list[bytes]


def mth(entries: Entries) -> bytes:
    """MTH(D[n]), section 2.1."""
    n = len(entries)
    if n == 0:
        return sha256(b"").digest()
    if n == 1:
        return sha256(b"\x00" + entries[0]).digest()
    k = _k(n)
    return sha256(b"\x01" + mth(entries[:k]) + mth(entries[k:])).digest()


def path(m: int, entries: Entries) -> list[bytes]:
    """PATH(m, D[n]), section 2.1.1."""
    n = len(entries)
    if n == 1:
        return []
    k = _k(n)
    if m < k:
        return [*path(m, entries[:k]), mth(entries[k:])]
    return [*path(m - k, entries[k:]), mth(entries[:k])]


def proof(m: int, entries: Entries) -> list[bytes]:
    """PROOF(m, D[n]) for 0 < m <= n, section 2.1.2."""
    return _subproof(m, entries, original=True)


def _subproof(m: int, entries: Entries, *, original: bool) -> list[bytes]:
    n = len(entries)
    if m == n:
        return [] if original else [mth(entries)]
    k = _k(n)
    if m <= k:
        return [*_subproof(m, entries[:k], original=original), mth(entries[k:])]
    return [*_subproof(m - k, entries[k:], original=False), mth(entries[:k])]


def _k(n: int) -> int:
    """The largest power of two smaller than n."""
    k = 1
    while k * 2 < n:
        k *= 2
    return k
