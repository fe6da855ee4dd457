"""What tells by how an epoch of training data begins that it is not as declared: its sampler, and what that was given.

Rules: an order is shuffled where a sampler of torch's own shuffles it, since only such an order follows from a state
that is in the record; whether it was kept, the data check says. What an iterated dataset hands out has no ids.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, NamedTuple, TypeAlias

from saksi.judgement.ordering.orders import DISTRIBUTED, RANDOM, SEQUENTIAL
from saksi.judgement.plan.data import DataPlan
from saksi.words.frames import EpochFrame

__all__ = [
    "BATCH",
    "CONTENT",
    "ITEMS",
    "NOT_CHECKABLE",
    "ORDER",
    "REPEATS",
    "Cause",
    "Code",
    "begun",
    "is_counted",
    "sampler_of",
]

Code: TypeAlias = Literal[
    "data.batch_not_planned",
    "data.content_not_planned",
    "data.items_not_planned",
    "data.order_not_planned",
    "data.repeats_not_planned",
    "data.plan_not_checkable",
]
BATCH: Final = "data.batch_not_planned"
CONTENT: Final = "data.content_not_planned"
ITEMS: Final = "data.items_not_planned"
ORDER: Final = "data.order_not_planned"
REPEATS: Final = "data.repeats_not_planned"
NOT_CHECKABLE: Final = "data.plan_not_checkable"
ITERABLE: Final = "torch.utils.data.dataloader._InfiniteConstantSampler"
"""What stands for a sampler where a dataset is iterated."""
_KNOWN: Final = frozenset({SEQUENTIAL, RANDOM, DISTRIBUTED})


class Cause(NamedTuple):
    """One thing that is not as declared: `what` of one epoch, as one sentence; `which` names it among its code's."""

    code: Code
    which: str
    what: str


def begun(frame: EpochFrame, plan: DataPlan, *, is_alone: bool) -> Iterator[Cause]:
    """What is told before any sample is looked at. `is_alone`: no other process has a share of the data."""
    if frame.sampler == ITERABLE:
        yield Cause(NOT_CHECKABLE, "iterated", "its dataset is iterated, and its samples have no ids")
    else:
        yield from _order(frame, plan, is_alone=is_alone)
    yield from _items(frame, plan)
    if plan.each == "once" and _repeats(frame):
        yield Cause(REPEATS, "given", "the sampler was told to repeat samples, and each is planned once")
    if plan.drop_last is not None and frame.batch_size is not None and frame.drop_last is not plan.drop_last:
        does = "drops its last batch where that is not full" if frame.drop_last else "drops no batch"
        yield Cause(ITEMS, "last batch", f"the loader {does}, and the opposite is planned")
    if None not in (plan.batch, frame.batch_size) and frame.batch_size != plan.batch:
        yield Cause(BATCH, "given", f"the loader makes batches of {frame.batch_size:,}, and {plan.batch:,} are planned")
    if is_counted(frame, plan) and not is_alone and plan.items is not None:
        yield _unknown_share(frame)


def is_counted(frame: EpochFrame, plan: DataPlan) -> bool:
    """Whether the ids of an epoch are to be looked at: of torch's own samplers the data check knows them."""
    declares = plan.items is not None or plan.each == "once" or plan.order == "sequential"
    return declares and frame.sampler not in _KNOWN and frame.sampler != ITERABLE


def sampler_of(frame: EpochFrame) -> str:
    """The sampler's class as users write it."""
    return frame.sampler.removeprefix("torch.utils.data.sampler.").removeprefix("torch.utils.data.distributed.")


def _order(frame: EpochFrame, plan: DataPlan, *, is_alone: bool) -> Iterator[Cause]:
    given = frame.arguments
    if plan.order == "shuffled":
        shuffles = given.get("shuffle") if frame.sampler == DISTRIBUTED else not given.get("replacement", True)
        if frame.sampler not in {DISTRIBUTED, RANDOM} or not shuffles:
            what = f"{_made(frame)}, and what torch's RandomSampler or DistributedSampler shuffles is planned"
            yield Cause(ORDER, "sampler", what)
    elif plan.order == "sequential":
        if frame.sampler == RANDOM or (frame.sampler == DISTRIBUTED and given.get("shuffle")):
            yield Cause(ORDER, "sampler", "the samples are shuffled, and in turn is planned")
        elif frame.sampler not in _KNOWN and not is_alone:
            yield Cause(
                NOT_CHECKABLE, "share", f"the share that {sampler_of(frame)} gives to each process is not known"
            )


def _unknown_share(frame: EpochFrame) -> Cause:
    return Cause(NOT_CHECKABLE, "share", f"the share that {sampler_of(frame)} gives to each process is not known")


def _made(frame: EpochFrame) -> str:
    if frame.sampler in {SEQUENTIAL, DISTRIBUTED}:
        return "the samples are not shuffled"
    if frame.sampler == RANDOM:
        return "the samples are drawn with replacement"
    return f"the order is made by {sampler_of(frame)}"


def _items(frame: EpochFrame, plan: DataPlan) -> Iterator[Cause]:
    """The number of samples, of a sampler of torch's: all ranks of a DistributedSampler share one dataset."""
    length, given = frame.length, frame.arguments
    if plan.items is None or length is None or frame.sampler not in _KNOWN:
        return
    found = length if frame.sampler == DISTRIBUTED else min(given.get("num_samples", length), length)
    if found != plan.items:
        yield Cause(ITEMS, "given", f"the sampler has {found:,} samples to hand out, and {plan.items:,} are planned")


def _repeats(frame: EpochFrame) -> bool:
    given = frame.arguments
    more = given.get("num_samples", 0) > (frame.length or 0)
    return frame.sampler == RANDOM and (bool(given.get("replacement")) or more)
