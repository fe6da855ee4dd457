"""How far two records are apart, beyond the first Update that differs.

Rules: it is told and proves nothing. What is no arithmetic (samples, generators, hyper-parameters) is equal in an
Update or not; losses and gradient norms are so far apart, each beside its own size. What one of the two lacks, or what
neither has, is not compared, and counts as nothing.

Known weakness: a small act is as near as rounding is; what rounding does in a training grows with every Step.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal, TypeAlias

import msgspec

from saksi.judgement.paired_views import NeverAgreed, pairs
from saksi.judgement.update_views import UpdateView
from saksi.words.frame import Number

__all__ = [
    "KINDS", "OTHERWISE", "BetweenReplays", "Distance", "KindApart", "KindLine", "NumbersApart", "Where",
    "distance_of", "relative", "without_threads",
]  # fmt: skip

KindApart: TypeAlias = Literal["program", "hyper_parameters", "data", "randomness", "code"]
"""What is no arithmetic of the machine's, by the stage of a Step that it belongs to."""

KINDS: Final[dict[KindApart, tuple[str, ...]]] = {
    "program": ("optimizers", "modules", "losses"),
    "hyper_parameters": ("groups", "groups_omitted"),
    "data": ("batches", "batches_omitted"),
    "randomness": ("seeded", "rng"),
    "code": ("inventory",),
}
OTHERWISE: Final = ("setting", "loaded", "skipped", "loss", "gradient_norm", "fingerprints", "root")
"""Fields of no kind: the machine's or the stack's, files, and what arithmetic makes."""

_THREADS: Final = "threads="
"""A flag of an inventory that says how many torch has: the machine's, and nothing that somebody put there."""


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of a document: every field is always there."""


class Where(_Document, frozen=True, kw_only=True):
    """An Update: of optimizer 0, it is a Step."""

    rank: int
    optimizer: int
    update: int


class KindLine(_Document, frozen=True, kw_only=True):
    """In how many of the Updates that were `compared` in it one kind is `equal`, and the `first` where it is not."""

    kind: KindApart
    compared: int
    equal: int
    first: Where | None


class NumbersApart(_Document, frozen=True, kw_only=True):
    """How far losses, or gradient norms, are apart: `compared` of them, `equal` ones.

    `apart` is the largest difference, each beside the larger of the two, and `at` where that was; null where all are
    equal. `unlike` are those of which one is missing or is no finite number, and the other is not the same.
    """

    compared: int
    equal: int
    unlike: int
    apart: float | None
    at: Where | None


class BetweenReplays(_Document, frozen=True, kw_only=True):
    """How far two replays on one machine are apart, in the `updates` that both made.

    `threads` are how many torch had in either as the first update returned; null where that is not known.
    """

    updates: int
    threads: tuple[int | None, int | None]
    loss: NumbersApart
    gradient_norm: NumbersApart


class Distance(_Document, frozen=True, kw_only=True):
    """How far two records are apart over all `updates` that both have. It decides nothing.

    `between_replays` is null where the program was not replayed twice; `reason` is why not where that was asked for.
    `threads` are how many torch had in either as the first Update returned.
    """

    updates: int
    threads: tuple[int | None, int | None]
    kinds: tuple[KindLine, ...]
    loss: NumbersApart
    gradient_norm: NumbersApart
    between_replays: BetweenReplays | None
    reason: str | None


class _Kind:
    """Of one kind: in how many Updates it was compared and equal, and the first in which it was not."""

    def __init__(self) -> None:
        self.compared = self.equal = 0
        self.first: Where | None = None

    def take(self, view: UpdateView, a: list[Any], b: list[Any]) -> None:
        if not any(a) and not any(b):
            return
        self.compared += 1
        self.equal += a == b
        if a != b and (self.first is None or view.key.update < self.first.update):
            self.first = _where(view)


class _Numbers:
    """Of one kind of number: how many were compared, and the two that lie furthest apart."""

    def __init__(self) -> None:
        self.compared = self.equal = self.unlike = 0
        self.furthest: tuple[float, Where] | None = None

    def take(self, view: UpdateView, a: Number | None, b: Number | None) -> None:
        if a is None and b is None:
            return
        self.compared += 1
        apart = None if a is None or b is None else relative(a, b)
        if apart is None:
            self.unlike += 1
        elif apart == 0:
            self.equal += 1
        elif self.furthest is None or apart > self.furthest[0]:
            self.furthest = (apart, _where(view))

    def told(self) -> NumbersApart:
        apart, at = self.furthest or (None, None)
        return NumbersApart(compared=self.compared, equal=self.equal, unlike=self.unlike, apart=apart, at=at)


def relative(a: Number, b: Number) -> float | None:
    """How far two numbers are apart, beside the larger of them; 0 for the same one. `None` if one is not finite."""
    if a == b:
        return 0.0
    if isinstance(a, str) or isinstance(b, str):
        return None
    size = max(abs(a), abs(b))
    return abs(a / size - b / size)  # divided first: their difference may be no finite number


def distance_of(a: Iterator[UpdateView], b: Iterator[UpdateView]) -> Distance:
    """Over all Updates that both have. Raises what reading the views raises."""
    kinds = {kind: _Kind() for kind in KINDS}
    losses, norms, never_agreed = _Numbers(), _Numbers(), NeverAgreed()
    updates, threads = 0, None
    for one, other in pairs(a, b):
        updates += 1
        threads = threads or (_threads(one), _threads(other))
        lacking, never = one.lacking | other.lacking, never_agreed.of(one, other)
        for kind, names in KINDS.items():
            if lacking.isdisjoint(names):
                kinds[kind].take(one, *_sides(one, other, names, never))
        if "loss" not in lacking:
            losses.take(one, one.fields["loss"], other.fields["loss"])
        if "gradient_norm" not in lacking:
            norms.take(one, _norm(one), _norm(other))
    return Distance(
        updates=updates,
        threads=threads or (None, None),
        kinds=tuple(
            KindLine(kind=kind, compared=each.compared, equal=each.equal, first=each.first)
            for kind, each in kinds.items()
        ),
        loss=losses.told(),
        gradient_norm=norms.told(),
        between_replays=None,
        reason=None,
    )


def _sides(
    one: UpdateView, other: UpdateView, names: tuple[str, ...], never: frozenset[str]
) -> tuple[list[Any], list[Any]]:
    """The fields of both: generators without those that `never` agreed, and an inventory without flags of the machine.

    Where either does not say what is in its inventory, the digests are compared.
    """
    sides = [[view.fields.get(name) for name in names] for view in (one, other)]
    if "rng" in names:
        for side, view in zip(sides, (one, other), strict=True):
            states = view.fields["rng"].items()
            side[names.index("rng")] = {name: state for name, state in states if name not in never}
    if "inventory" in names:
        said = [view.fields["inventory"] for view in (one, other)]
        if all(isinstance(each, dict) for each in said):
            sides = [[without_threads(each["hooks"])] for each in said]
        else:
            sides = [[each["digest"] if isinstance(each, dict) else each] for each in said]
    return sides[0], sides[1]


def without_threads(hooks: dict[str, list[str]]) -> dict[str, list[str]]:
    """The hooks of an inventory without the flag that says how many threads torch has, which is the machine's."""
    kept = {of: [each for each in names if not each.startswith(_THREADS)] for of, names in hooks.items()}
    return kept or {"": []}  # nothing in force is something that was looked at


def _threads(view: UpdateView) -> int | None:
    said = view.fields["inventory"]
    flags = said["hooks"].get("flags", ()) if isinstance(said, dict) else ()
    numbers = [each.removeprefix(_THREADS) for each in flags if each.startswith(_THREADS)]
    return int(numbers[0]) if numbers and numbers[0].isascii() and numbers[0].isdigit() else None


def _norm(view: UpdateView) -> Number | None:
    norm = view.fields["gradient_norm"]
    value: Number | None = None if norm is None else norm["value"]
    return value


def _where(view: UpdateView) -> Where:
    return Where(rank=view.key.rank, optimizer=view.key.optimizer, update=view.key.update)
