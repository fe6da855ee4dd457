"""Why do these two runs differ? Seal differences first, then the first Update that differs, field by field.

Both logs are read once and side by side. Updates are matched by attempt, rank, optimizer and counter; what has no
partner yet waits, so memory grows with how differently the two logs interleave their ranks, not with their length.
Once a difference is known only Updates at or before it are compared, the rest is counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec

from saksi.judgement import seal_differences
from saksi.judgement.continuation.values import Continuation
from saksi.judgement.distance import Distance
from saksi.judgement.items import Item
from saksi.judgement.paired_views import NeverAgreed, of_attempt, side_by_side
from saksi.judgement.seal import Seal
from saksi.judgement.update_views import FIELD_ORDER, Key, UpdateView, update_views

__all__ = [
    "MAX_FIELDS",
    "Difference",
    "FieldDifference",
    "FirstDifference",
    "Length",
    "continued",
    "diff",
    "diff_sentence",
]

MAX_FIELDS: Final = 256
"""Fields listed at one Update: the first explain it, and a change of everything needs no list."""

_MAX_ROOTS: Final = 4096
"""State roots that wait for the other run's; at different levels one run has many more of them."""

_Waiting: TypeAlias = dict[Key, UpdateView]


class FieldDifference(msgspec.Struct, frozen=True, kw_only=True):
    """One field, such as `groups[0].lr`, in both runs. `None` is "not there"."""

    field: str
    a: Any
    b: Any


class FirstDifference(msgspec.Struct, frozen=True, kw_only=True):
    """The first Update that differs, and every field that does there, causes first.

    `attempt` is 0 where single attempts were compared. `update` is -1 for the state before the first Update. `entry_a`
    and `entry_b` lead back to the logs.
    """

    attempt: int
    generation: int
    rank: int
    optimizer: int
    update: int
    entry_a: int
    entry_b: int
    fields: tuple[FieldDifference, ...]
    fields_omitted: int


class Length(msgspec.Struct, frozen=True, kw_only=True):
    """How many Updates each run made, where the numbers differ."""

    attempt: int
    generation: int
    rank: int
    optimizer: int
    a: int
    b: int


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """`saksi diff A B --json`. `same` is whether nothing that was compared differs, seals included.

    What changes with every login (group `session`) is listed and does not count.

    `unseeded` are generators that neither run seeded and whose states differ from the first Update on. That is so in
    any two runs, so it is said and not taken for the first difference.

    Where B loaded a model checkpoint that A had saved, `continuation` says whether B went on from there, and nothing
    else of the records is compared; `same` is then whether it did.

    `distance` is over all Updates that both have; null where no Update differs, and where B may continue A.
    """

    schema: Literal["saksi.diff/v1"] = "saksi.diff/v1"
    a: str
    b: str
    same: bool
    seal: tuple[seal_differences.Difference, ...]
    seals_compared: bool
    first: FirstDifference | None
    lengths: tuple[Length, ...]
    unseeded: tuple[str, ...]
    compared: int
    sentence: str
    continuation: Continuation | None = None
    distance: Distance | None = None


class _Comparison:
    """What is known so far of two logs read side by side."""

    def __init__(self) -> None:
        self.waiting: tuple[tuple[_Waiting, _Waiting], tuple[_Waiting, _Waiting]] = (({}, {}), ({}, {}))
        self.counts: tuple[dict[tuple[int, int, int, int], int], dict[tuple[int, int, int, int], int]] = ({}, {})
        self.compared = 0
        self.first: Key | None = None
        self.entries = (0, 0)
        self.fields: list[FieldDifference] = []
        self.never_agreed = NeverAgreed()

    def take(self, side: Literal[0, 1], view: UpdateView) -> None:
        key = view.key
        if "root" not in view.fields:
            stream = (key.attempt, key.generation, key.rank, key.optimizer)
            self.counts[side][stream] = self.counts[side].get(stream, 0) + 1
        if self.first is not None and _moment(key) > _moment(self.first):
            return
        roots = "root" in view.fields
        partner = self.waiting[1 - side][roots].pop(key, None)
        if partner is None:
            self._wait(self.waiting[side][roots], view, roots=roots)
        elif side == 0:
            self._compare(view, partner)
        else:
            self._compare(partner, view)

    def _wait(self, waiting: dict[Key, UpdateView], view: UpdateView, *, roots: bool) -> None:
        waiting[view.key] = view
        if roots and len(waiting) > _MAX_ROOTS:  # the other run has fewer roots: most never find a partner
            del waiting[next(iter(waiting))]

    def _compare(self, a: UpdateView, b: UpdateView) -> None:
        self.compared += "root" not in a.fields
        apart = self._apart(a, b)
        found = [
            each
            for name in FIELD_ORDER
            if name not in a.lacking | b.lacking
            for each in _differences(name, a.fields.get(name), b.fields.get(name))
            if each.field not in apart
        ]
        if not found:
            return
        update = a.key.update_key
        if self.first is None or update < self.first:
            self.first, self.entries, self.fields = update, (a.entry, b.entry), found
            self._forget()
        elif update == self.first:
            named = {each.field for each in self.fields}
            self.fields += [each for each in found if each.field not in named]

    def _apart(self, a: UpdateView, b: UpdateView) -> frozenset[str]:
        """Fields of generators that neither run seeded and that never agreed."""
        if "root" in a.fields:
            return frozenset()
        return frozenset(f"rng.{name}" for name in self.never_agreed.of(a, b))

    def _forget(self) -> None:
        """Drops what waits for a moment after the first difference."""
        for waiting in (*self.waiting[0], *self.waiting[1]):
            for key in [key for key in waiting if self.first is not None and _moment(key) > _moment(self.first)]:
                del waiting[key]


def _moment(key: Key) -> tuple[int, int, int]:
    return key.attempt, key.generation, key.update


def diff(
    *,
    a: str,
    b: str,
    items_a: Iterable[Item],
    items_b: Iterable[Item],
    seal_a: Seal | None = None,
    seal_b: Seal | None = None,
    attempts: tuple[int | None, int | None] = (None, None),
    optimized: bool = False,
) -> Difference:
    """How run `b` differs from run `a`; seals are compared if both are given. Raises what reading the items raises.

    `attempts` are single attempts to compare, each as if it were the first of its run. `optimized`: of what roots bind,
    that which optimizers hold counts alone.
    """
    comparison = _Comparison()
    views = (of_attempt(update_views(items_a), attempts[0]), of_attempt(update_views(items_b), attempts[1]))
    for side, view in side_by_side(*views):
        comparison.take(side, _optimized(view) if optimized and "root" in view.fields else view)
    seals = _seals(seal_a, seal_b)
    first = _first(comparison)
    lengths = tuple(_lengths(comparison))
    unseeded = tuple(sorted(comparison.never_agreed.all()))
    return Difference(
        a=a,
        b=b,
        same=first is None and not lengths and all(each.group == "session" for each in seals),
        seal=seals,
        seals_compared=seal_a is not None and seal_b is not None,
        first=first,
        lengths=lengths,
        unseeded=unseeded,
        compared=comparison.compared,
        sentence=diff_sentence(first, lengths, unseeded, comparison.compared),
    )


def continued(
    *, a: str, b: str, continuation: Continuation, seal_a: Seal | None = None, seal_b: Seal | None = None
) -> Difference:
    """The answer where `b` continues `a`: what differs between the seals is listed and decides nothing."""
    repeated = next((each for each in continuation.parts if each.name == "repeated_steps"), None)
    return Difference(
        a=a,
        b=b,
        same=continuation.continues is True,
        seal=_seals(seal_a, seal_b),
        seals_compared=seal_a is not None and seal_b is not None,
        first=None,
        lengths=(),
        unseeded=(),
        compared=0 if repeated is None else repeated.of,
        sentence=continuation.sentence,
        continuation=continuation,
    )


def _optimized(view: UpdateView) -> UpdateView:
    """A root's view as if nothing but what optimizers hold were under it."""
    root = {"root": view.fields["optimized"]}
    return msgspec.structs.replace(view, fields={**view.fields, "root": root})


def _seals(a: Seal | None, b: Seal | None) -> tuple[seal_differences.Difference, ...]:
    return () if a is None or b is None else seal_differences.differences(a, b)


def _differences(field: str, a: object, b: object) -> Iterator[FieldDifference]:
    """The innermost fields that differ. Numbers differ if their exact values do."""
    if isinstance(a, dict) and isinstance(b, dict):
        for name in sorted({*a, *b}):
            yield from _differences(f"{field}.{name}", a.get(name), b.get(name))
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for at, (one, other) in enumerate(zip(a, b, strict=True)):
            yield from _differences(f"{field}[{at}]", one, other)
    elif a != b or (isinstance(a, bool) != isinstance(b, bool)):
        yield FieldDifference(field=field, a=a, b=b)


def _first(comparison: _Comparison) -> FirstDifference | None:
    key = comparison.first
    if key is None:
        return None
    order = {name: at for at, name in enumerate(FIELD_ORDER)}
    fields = sorted(comparison.fields, key=lambda each: order[each.field.partition(".")[0].partition("[")[0]])
    return FirstDifference(
        attempt=key.attempt,
        generation=key.generation,
        rank=key.rank,
        optimizer=key.optimizer,
        update=key.update,
        entry_a=comparison.entries[0],
        entry_b=comparison.entries[1],
        fields=tuple(fields[:MAX_FIELDS]),
        fields_omitted=max(0, len(fields) - MAX_FIELDS),
    )


def _lengths(comparison: _Comparison) -> Iterator[Length]:
    counts_a, counts_b = comparison.counts
    for stream in sorted({*counts_a, *counts_b}):
        attempt, generation, rank, optimizer = stream
        a, b = counts_a.get(stream, 0), counts_b.get(stream, 0)
        if a != b:
            yield Length(attempt=attempt, generation=generation, rank=rank, optimizer=optimizer, a=a, b=b)


def diff_sentence(
    first: FirstDifference | None, lengths: Sequence[Length], unseeded: Sequence[str], compared: int
) -> str:
    """What a newcomer reads of the records: where they part, and in what."""
    tail = "".join(
        f" Rank {each.rank} made {each.a} updates of optimizer {each.optimizer} and {each.b}." for each in lengths[:3]
    )
    if unseeded:
        tail += f" Not seeded in either run, and so different from the start: {', '.join(unseeded)}."
    if first is None:
        if compared == 0:
            return f"No update is in both runs, so nothing could be compared.{tail}"
        return f"The records agree in all {compared} updates that both runs have.{tail}"
    where = "before the first step" if first.update < 0 else f"at step {first.update}"
    lead = first.fields[0]
    others = len(first.fields) + first.fields_omitted - 1
    more = f" ({others} other {'field differs' if others == 1 else 'fields differ'} there too)" if others else ""
    what = f"{lead.field} is {_shown(lead.a)} and {_shown(lead.b)}"
    return f"They first differ {where} of rank {first.rank}: {what}{more}.{tail}"


def _shown(value: object) -> str:
    if value is None:
        return "not there"
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004 - what fits beside another on a line
