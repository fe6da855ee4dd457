"""Digests of a few single samples of each batch: of the same ids in every epoch, which this process's key draws.

Rules: a sample is one row of every tensor and array whose first dimension counts the batch's ids; nothing is read but
what the batch's digest is made of, and of large rows few.

Known weakness: a function that puts a batch together in another order gives rows the ids of others.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Optional

from . import memory, session

FEW = 4  # of each batch, as the draw has it
MOST = 8
MAX_BYTES = 256 * 1024  # of all rows of a batch; one that is larger stands alone
MAX_ROW = 1024 * 1024
_MASK = 2**64 - 1

_factors: list[Any] = [b"", 0, 0]


def of(ids: list[int], found: list[tuple[str, str, tuple[int, ...], Any]]) -> Optional[dict[str, Any]]:
    """The form of a sample, and id and digest of those that are drawn; None where a batch is not put together of them.

    `found`: path, kind, shape and memory of each tensor.
    """
    count = len(ids)
    whole = [one for one in found if one[2] and one[2][0] == count]
    held = [memory.hold(tensor) for _, _, _, tensor in whole if tensor.is_contiguous()]
    size = sum(one.nbytes // count for one in held) if count else 0
    if not size or size > MAX_ROW or len(held) < len(whole):
        return None
    form = json.dumps([[path, kind, list(shape[1:])] for path, kind, shape, _ in whole], separators=(",", ":"))
    named = hashlib.sha256(form.encode("ascii")).hexdigest()[:32]
    out = []
    for place in _drawn(ids)[: max(1, MAX_BYTES // size)]:
        digest = hashlib.sha256(named.encode("ascii"))
        for one in held:
            each = one.nbytes // count
            digest.update(one.view[place * each : (place + 1) * each])
        out.append([ids[place], digest.hexdigest()[:32]])
    return {"form": named, "rows": out} if out else None


def _drawn(ids: list[int]) -> list[int]:
    """The places of those ids that the key draws: an id is drawn in every batch of this size, or in none."""
    if _factors[0] != session.key:
        stream = hashlib.sha256(session.key + b"saksi.rows/v1").digest()
        _factors[:] = [session.key, int.from_bytes(stream[:8], "little") | 1, int.from_bytes(stream[8:16], "little")]
    _, factor, offset = _factors
    limit = FEW * 2**64 // len(ids)
    numbers = ((_mixed((factor * one + offset) & _MASK), place) for place, one in enumerate(ids))
    return [place for _, place in sorted(each for each in numbers if each[0] < limit)[:MOST]]


def _mixed(number: int) -> int:
    """The last step of SplitMix64 (Steele, Lea and Flood 2014, constants of Stafford's variant 13).

    Ids that follow each other are numbers in a row until then: of few of them one key in some hundreds drew none.
    """
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & _MASK
    return number ^ (number >> 31)
