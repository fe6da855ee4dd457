"""The fingerprints at both ends of an Update.

Rules: the shares turn so that the end of one Update and the start of the next cover the same tensors; what there is no
value of at either end is left out.
"""

from __future__ import annotations

from typing import Any

from . import device_sums, fingerprints, memory, optimizers
from .guard import guarded


@guarded("fingerprints", list)
def of(optimizer: Any, end: str, turn: int) -> list[dict[str, Any]]:
    """The fingerprints at one end, after `turn` updates; what a device is to deliver stands in place of a value."""
    # The rotating shares turn with the number of updates done, so that the end of one update and the start of the
    # next cover the same tensors: between those two ends nothing may change.
    turn %= fingerprints.SHARES
    with memory.quiet():
        parameters = optimizers.parameters(optimizer)
        kept = optimizers.moments(optimizer)
        counters = [one for one in kept if one.numel() == 1 and memory.lies_here(one)]
        moments = fingerprints.share(kept, turn)
        shared = fingerprints.share(parameters, turn)
        of = device_sums.shares_of(parameters)
        wanted = (
            ("sum64-4096", "parameters", (turn % of, of), parameters if of == 1 else shared),
            ("sum64-4096", "moments", (turn, fingerprints.SHARES), moments),
            ("mult64-4096", "parameters", (turn, fingerprints.SHARES), shared),
        )
        values = device_sums.ask([(tensors, name == "mult64-4096") for name, _, _, tensors in wanted])
        found = [
            _fingerprint(name, over, share, end, value)
            for (name, over, share, _), value in zip(wanted, values)  # noqa: B905  (strict= is newer than Python 3.9)
        ]
        # What does not fill a word is summed byte by byte: of so few bytes many counters have the same sum.
        found.append(_fingerprint("sha256-128", "counters", (0, 1), end, fingerprints.digest(counters)))
        return found


def _fingerprint(name: str, over: str, share: tuple[int, int], end: str, value: Any) -> dict[str, Any]:
    one = {"name": name, "over": over, "share": share[0], "of": share[1], "start": None, "end": None}
    one[end] = value
    return one


def joined(starts: list[dict[str, Any]], ends: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of both ends; what is of only one has none at the other."""
    out = []
    for one in starts + ends:
        for other in out:
            if all(one[field] == other[field] for field in ("name", "over", "share", "of")):
                other["end"] = one["end"]
                break
        else:
            out.append(dict(one))
    return [one for one in out if one["start"] is not None or one["end"] is not None]
