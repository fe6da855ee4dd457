"""The record beside one replay of it: the first Step that differs, in which stage, and whether that proves anything.

Rules: what a replay cannot be held against (another stack, a file or data that may have changed since) is
`not_checkable`, never a mismatch; what follows a first difference is compared with nothing, since it follows from it.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final, NamedTuple

import msgspec

from saksi.judgement.diff import Difference, FieldDifference, FirstDifference
from saksi.judgement.replay.recorded import Recorded
from saksi.judgement.replay.values import Stage

__all__ = ["Extent", "before_step", "extent_of", "is_as_in", "is_of_root_alone", "stage_of", "why_no_proof"]

_STAGES: Final[dict[str, Stage]] = {
    "setting": "setting",
    "groups": "hyper_parameters",
    "groups_omitted": "hyper_parameters",
    "seeded": "randomness",
    "optimizers": "program",
    "modules": "program",
    "loaded": "checkpoint",
    "batches": "data",
    "batches_omitted": "data",
    "rng": "randomness",
    "inventory": "code",
    "loss": "forward",
    "losses": "program",
    "skipped": "scaler",
    "gradient_norm": "gradient",
    "fingerprints": "update",
    "root": "state",
}
_STACK: Final = ("torch", "python", "threads", "world_size")


class Extent(NamedTuple):
    """How many Steps and segments of the record a replay was compared in, up to a first difference."""

    replayed: int
    match: int
    segments: int


def before_step(apart: Difference, step: int) -> Difference:
    """The difference as if neither had gone on at that Step. An update of another optimizer is numbered otherwise."""
    first = apart.first
    is_behind = first is not None and first.optimizer == 0 and first.update >= step
    made = (
        msgspec.structs.replace(each, a=min(each.a, step), b=min(each.b, step)) if each.optimizer == 0 else each
        for each in apart.lengths
    )
    lengths = tuple(each for each in made if each.a != each.b)
    return msgspec.structs.replace(apart, first=None if is_behind else first, lengths=lengths)


def stage_of(first: FirstDifference) -> Stage:
    """Where in its Step the first difference is, causes before effects."""
    fields = [each for each in first.fields if not _is_update(each)]
    lead = (fields or list(first.fields))[0]
    stage = _STAGES[_head(lead.field)]
    if stage == "update" and any(each.field.endswith(".start") for each in first.fields):
        return "between_steps"
    if _began_otherwise(first) and stage in {"forward", "gradient"}:
        return "between_steps"
    return stage


def is_of_root_alone(first: FirstDifference) -> bool:
    """Whether nothing but the state root differs."""
    return all(_head(each.field) == "root" for each in first.fields)


def _is_update(field: FieldDifference) -> bool:
    return _head(field.field) in {"fingerprints", "root"}


def _began_otherwise(first: FirstDifference) -> bool:
    return any(_head(each.field) == "fingerprints" and each.field.endswith(".start") for each in first.fields)


def _head(field: str) -> str:
    return field.partition(".")[0].partition("[")[0]


def why_no_proof(first: FirstDifference, *, data_unchanged: bool) -> str | None:
    """Why a first difference is none between what ran and what should have; `None` where it is."""
    stage = stage_of(first)
    if stage == "setting":
        of_setting = (each.field.partition(".")[2] for each in first.fields if _head(each.field) == "setting")
        apart = [name for name in of_setting if name in _STACK]
        if apart:
            return f"this is another stack than the run had: {', '.join(apart)}"
    if stage == "checkpoint":
        return "the program loaded other bytes than in the run: a file has changed since, or was not there"
    if stage == "data" and not data_unchanged and not _other_samples(first):
        return (
            "batches have other content under the same sample ids: data that changed since looks the same "
            "(--data-unchanged says that it did not)"
        )
    return None


def _other_samples(first: FirstDifference) -> bool:
    """Whether other samples came, or other numbers of them: what no change of their content explains."""
    data = [each.field for each in first.fields if _STAGES[_head(each.field)] == "data"]
    return any(not field.endswith(".digest") for field in data)


def extent_of(recorded: Recorded, replayed: Recorded, first: FirstDifference | None) -> Extent:
    """How far the comparison went. Steps are of optimizer 0; those before a first difference agree."""
    common = {rank: min(count, replayed.steps.get(rank, 0)) for rank, count in recorded.steps.items()}
    both = {place for place, root in recorded.roots.items() if replayed.roots.get(place) == root}
    compared = sum(common.values())
    if first is not None:
        agree = sum(min(count, max(0, first.update)) for count in common.values())
        both = {(rank, step) for rank, step in both if step < first.update}
        compared_to = sum(min(count, max(0, first.update) + 1) for count in common.values())
        return Extent(replayed=compared_to, match=agree, segments=_stretches(recorded, both))
    return Extent(replayed=compared, match=compared, segments=_stretches(recorded, both))


def _stretches(recorded: Recorded, equal: set[tuple[int, int]]) -> int:
    """Segments whose roots agree at both ends."""
    count = 0
    for rank in {rank for rank, _ in recorded.roots}:
        steps = sorted(step for one, step in recorded.roots if one == rank)
        count += sum((rank, before) in equal and (rank, after) in equal for before, after in pairwise(steps))
    return count


def is_as_in(one: Difference, first: FirstDifference) -> bool:
    """Whether two replays, of which `one` is the difference, agree up to and in the Step of `first`.

    Both have to have come that far: one that ended before says nothing of that Step.
    """
    for each in one.lengths:
        is_there = (each.rank, each.optimizer) == (first.rank, first.optimizer)
        if is_there and min(each.a, each.b) <= first.update:
            return False
    return one.first is None or (one.first.attempt, one.first.update) > (first.attempt, first.update)
