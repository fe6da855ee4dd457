"""Whether the next batch is the one that comes next.

Rules: where the earlier attempt made the same Step, its batches decide. Where it did not, only an order that has come
again the same way often enough to be known decides; a batch that was used before may be one of a new epoch, and one
that was not may be any.
"""

from __future__ import annotations

from collections.abc import Iterator

from saksi.judgement.continuation.earlier import Earlier
from saksi.judgement.continuation.later import Later
from saksi.judgement.continuation.side import batches_of
from saksi.judgement.continuation.values import Part, Sameness
from saksi.words.frames import Batch, UpdateFrame

__all__ = ["data_order"]


def data_order(earlier: Earlier, later: Later, at: UpdateFrame, rank: int) -> Iterator[Part]:
    """One part, or none if no DataLoader handed out anything on either side."""
    if not any(each.batches or each.batches_omitted for each in (at, *earlier.after[:1], *later.updates[:2])):
        return
    outcome, sentence = _order(earlier, later, max(1, earlier.width(at)))
    yield Part(name="data_order", outcome=outcome, rank=rank, sentence=sentence)


def _order(earlier: Earlier, later: Later, width: int) -> tuple[Sameness, str]:
    """The first of the later Steps whose own batches are in the record decides."""
    for number, update in enumerate(later.updates[:2]):
        used = batches_of(update, width)
        if used is None or any(each.digest is None for each in used):
            continue
        twin = next((each for each in earlier.after if each.update == earlier.step + 1 + number), None)
        expected = None if twin is None else batches_of(twin, width)
        if expected is not None:
            if [each.digest for each in expected] == [each.digest for each in used]:
                return "same", "the data goes on: the next batch is the one that came next"
            place = _seen(earlier, used[0], number)
            if place is None:
                return "differs", f"the data goes on with another batch than at step {earlier.step + 1 + number} before"
            return "differs", place
        return _unpaired(earlier, used[0], number)
    return "not_checkable", "the data order cannot be compared: the first steps have too few batches with a digest"


def _unpaired(earlier: Earlier, first: Batch, number: int) -> tuple[Sameness, str]:
    step, place = earlier.step + 1 + number, _seen(earlier, first, number)
    if place is None:
        unused = "its first batch had not been used before"
        return (
            "not_checkable",
            f"the data order cannot be compared: {unused}, and step {step} is not in the earlier record",
        )
    if earlier.period is None:
        return "not_checkable", f"{place}, and an epoch may have ended just there"
    if (step - earlier.seen[first.digest or ""]) % earlier.period:
        return "differs", place
    return "same", "the data goes on: epochs repeat their order, and this batch is the next"


def _seen(earlier: Earlier, batch: Batch, number: int) -> str | None:
    step = earlier.seen.get(batch.digest or "")
    if step is None:
        return None
    begun = 0 if earlier.first is None else earlier.first.update
    if step == begun + number:
        return "the data order starts again at the first batch"
    return f"the data goes back: its first batch was used at step {step}"
