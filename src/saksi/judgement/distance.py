"""How far two records are apart, beyond the first Update that differs.

Rules: it is told and proves nothing. What is no arithmetic (samples, generators, hyper-parameters) is equal in an
Update or not; losses and gradient norms are so far apart, each beside its own size.

Known weakness: a small act is as near as rounding is; what rounding does in a training grows with every Step.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal, TypeAlias

import msgspec

from saksi.judgement.paired_views import NeverAgreed, pairs
from saksi.judgement.update_views import UpdateView
from saksi.words.frame import Number

__all__ = ["Distance", "KindApart", "KindLine", "NumbersApart", "Spread", "distance_of", "relative"]

KindApart: TypeAlias = Literal["program", "hyper_parameters", "data", "random_numbers", "code"]
"""What is no arithmetic of the machine's, and so may be equal where losses are not."""


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of a document: every field is always there."""


class KindLine(_Document, frozen=True, kw_only=True):
    """In how many of the Updates that both have one kind is `equal`, and the first in which it is not."""

    kind: KindApart
    equal: int
    first_step: int | None


class NumbersApart(_Document, frozen=True, kw_only=True):
    """How far losses, or gradient norms, are apart: `compared` of them, `equal` to the last bit.

    `apart` is the largest difference, each beside the larger of the two, and `step` where that was; null where there is
    none. Of `unlike` of them one alone is a finite number, or one alone is there.
    """

    compared: int
    equal: int
    unlike: int
    apart: float | None
    step: int | None


class Spread(_Document, frozen=True, kw_only=True):
    """How far two replays on one machine are apart, in what of `Distance` is numbers.

    The second one had so many `threads`; null where it had as many as the first.
    """

    threads: int | None
    loss: NumbersApart
    gradient_norm: NumbersApart


class Distance(_Document, frozen=True, kw_only=True):
    """How far two records are apart over all `updates` that both have. It decides nothing.

    `spread` is null where no two replays are at hand.
    """

    updates: int
    kinds: tuple[KindLine, ...]
    loss: NumbersApart
    gradient_norm: NumbersApart
    spread: Spread | None = None


_KINDS: Final[dict[KindApart, tuple[str, ...]]] = {
    "program": ("optimizers", "modules", "losses"),
    "hyper_parameters": ("groups", "groups_omitted"),
    "data": ("batches", "batches_omitted", "latest"),
    "random_numbers": ("seeded", "rng"),
    "code": ("inventory",),
}

_OF_THE_MACHINE: Final = "threads="
"""A flag of an inventory that says what else differs already, and is nothing that somebody put there."""


class _Kind:
    """Of one kind: in how many Updates it was equal, and the first in which it was not."""

    def __init__(self) -> None:
        self.equal = 0
        self.first: int | None = None

    def take(self, update: int, *, same: bool) -> None:
        self.equal += same
        if not same:
            self.first = update if self.first is None else min(self.first, update)


class _Numbers:
    """Of one kind of number: how many were compared, and the two that lie furthest apart."""

    def __init__(self) -> None:
        self.compared = self.equal = self.unlike = 0
        self.furthest: tuple[float, int] | None = None

    def take(self, update: int, a: Number | None, b: Number | None) -> None:
        if a is None and b is None:
            return
        self.compared += 1
        apart = None if a is None or b is None else relative(a, b)
        if apart is None:
            self.unlike += 1
            return
        self.equal += apart == 0
        if self.furthest is None or apart > self.furthest[0]:
            self.furthest = (apart, update)

    def told(self) -> NumbersApart:
        apart, step = self.furthest or (None, None)
        return NumbersApart(compared=self.compared, equal=self.equal, unlike=self.unlike, apart=apart, step=step)


def relative(a: Number, b: Number) -> float | None:
    """How far two numbers are apart, beside the larger of them; 0 for the same one. `None` if only one is finite."""
    if a == b:
        return 0.0
    if isinstance(a, str) or isinstance(b, str):
        return None
    return abs(a - b) / max(abs(a), abs(b))


def distance_of(recorded: Iterator[UpdateView], replayed: Iterator[UpdateView]) -> Distance:
    """Over all Updates that both have. Raises what reading the views raises."""
    kinds = {kind: _Kind() for kind in _KINDS}
    losses, norms, updates, never_agreed = _Numbers(), _Numbers(), 0, NeverAgreed()
    for a, b in pairs(recorded, replayed):
        updates += 1
        update, lacking, never = a.key.update, a.lacking | b.lacking, never_agreed.of(a, b)
        for kind, names in _KINDS.items():
            here = [name for name in names if name not in lacking]
            kinds[kind].take(update, same=all(_of(a, name, never) == _of(b, name, never) for name in here))
        if "loss" not in lacking:
            losses.take(update, a.fields["loss"], b.fields["loss"])
        if "gradient_norm" not in lacking:
            norms.take(update, _norm(a), _norm(b))
    return Distance(
        updates=updates,
        kinds=tuple(KindLine(kind=kind, equal=each.equal, first_step=each.first) for kind, each in kinds.items()),
        loss=losses.told(),
        gradient_norm=norms.told(),
    )


def _of(view: UpdateView, name: str, never: frozenset[str]) -> Any:
    """A field, without generators that `never` agreed and flags of the machine."""
    value = view.fields.get(name)
    if name == "rng" and isinstance(value, dict):
        return {generator: state for generator, state in value.items() if generator not in never}
    if name == "inventory" and isinstance(value, dict):
        hooks = value["hooks"].items()
        return {of: [each for each in names if not each.startswith(_OF_THE_MACHINE)] for of, names in hooks}
    return value


def _norm(view: UpdateView) -> Number | None:
    norm = view.fields["gradient_norm"]
    value: Number | None = None if norm is None else norm["value"]
    return value
