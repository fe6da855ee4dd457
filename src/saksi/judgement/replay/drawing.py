"""Which stretches are replayed, where not all of them are: drawn once the record stands, which nobody can foresee.

The draw is HMAC-SHA256 over the number of each stretch, keyed with a secret of the auditor's, the root of the log that
was judged and, where one is given, a public value that came later (RFC 2104 for the function; a beacon as in
`research/replay.md` of the design, section 7.4). Whoever knows the three can draw again. Stretches that something
speaks of are taken in any case, beside those that are drawn: the ends of the run, and what findings cover.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Iterable, Sequence

import msgspec

from saksi.judgement.replay.stretches import Stretch
from saksi.words.findings import Finding, is_about_coverage

__all__ = ["Draw", "drawn", "overlapping", "spoken_of"]


class Draw(msgspec.Struct, frozen=True, kw_only=True):
    """How stretches were drawn: the secret in hex, the root of the log in hex, and the public value."""

    secret: str
    log_root: str
    beacon: str | None


def drawn(draw: Draw, total: int, wanted: int, *, always: Collection[int] = ()) -> tuple[int, ...]:
    """The numbers of `wanted` stretches out of `total` that are not taken anyway, with those that are; in order.

    Raises `ValueError` if the secret or the root is not hex.
    """
    key = bytes.fromhex(draw.secret) + bytes.fromhex(draw.log_root) + (draw.beacon or "").encode()
    others = [number for number in range(total) if number not in always]
    others.sort(key=lambda number: hmac.new(key, number.to_bytes(8, "big"), hashlib.sha256).digest())
    return tuple(sorted({*(each for each in always if 0 <= each < total), *others[:wanted]}))


def spoken_of(stretches: Sequence[Stretch], findings: Iterable[Finding]) -> frozenset[int]:
    """The first and the last stretch, and those in which a finding begins."""
    found = {0, len(stretches) - 1} if stretches else set()
    for each in findings:
        if each.first_step is not None and not is_about_coverage(each):
            found |= {
                number for number, stretch in enumerate(stretches) if stretch.first <= each.first_step < stretch.behind
            }
    return frozenset(found)


def overlapping(stretches: Sequence[Stretch], first: int, last: int) -> tuple[int, ...]:
    """The numbers of those that have one of the Steps `first` to `last`."""
    return tuple(at for at, each in enumerate(stretches) if each.first <= last and first < each.behind)
