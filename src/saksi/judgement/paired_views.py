"""The Updates of two records in turn, so that neither is read far ahead, and as pairs of the same place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from saksi.judgement.update_views import Key, UpdateView

__all__ = ["MAX_WAITING", "NeverAgreed", "of_attempt", "pairs", "side_by_side"]

MAX_WAITING: Final = 16_384
"""Updates of one record that wait for the other's: as many as a thousand ranks say in a few blocks each."""


def of_attempt(views: Iterator[UpdateView], attempt: int | None) -> Iterator[UpdateView]:
    """The views of one attempt as if it were the first, or all of them."""
    for view in views:
        if attempt is None:
            yield view
        elif view.key.attempt == attempt:
            yield msgspec.structs.replace(view, key=msgspec.structs.replace(view.key, attempt=0))


def side_by_side(a: Iterator[UpdateView], b: Iterator[UpdateView]) -> Iterator[tuple[Literal[0, 1], UpdateView]]:
    """Views of both, in turn, so that neither runs far ahead."""
    more_a = more_b = True
    while more_a or more_b:
        if more_a:
            view = next(a, None)
            more_a = view is not None
            if view is not None:
                yield 0, view
        if more_b:
            view = next(b, None)
            more_b = view is not None
            if view is not None:
                yield 1, view


def pairs(a: Iterator[UpdateView], b: Iterator[UpdateView]) -> Iterator[tuple[UpdateView, UpdateView]]:
    """Each Update that both have, as soon as both were read; roots are none.

    Of each side the latest `MAX_WAITING` wait for the other; what was given up is in no pair.
    """
    waiting: tuple[dict[Key, UpdateView], dict[Key, UpdateView]] = ({}, {})
    for side, view in side_by_side(_updates(a), _updates(b)):
        partner = waiting[1 - side].pop(view.key, None)
        if partner is not None:
            yield (view, partner) if side == 0 else (partner, view)
            continue
        waiting[side][view.key] = view
        if len(waiting[side]) > MAX_WAITING:
            del waiting[side][next(iter(waiting[side]))]


def _updates(views: Iterator[UpdateView]) -> Iterator[UpdateView]:
    return (view for view in views if "root" not in view.fields)


class NeverAgreed:
    """Generators that nobody seeded and whose states differ from a rank's first Update on, as they do in any two runs.

    The first pair of each rank decides, so pairs have to come in their order.
    """

    def __init__(self) -> None:
        self._names: dict[tuple[int, int, int], frozenset[str]] = {}

    def of(self, a: UpdateView, b: UpdateView) -> frozenset[str]:
        """Those of this pair of Updates."""
        stream = (a.key.attempt, a.key.generation, a.key.rank)
        if stream not in self._names:
            rng_a, rng_b = a.fields["rng"], b.fields["rng"]
            never = (name for name in a.unseeded & b.unseeded if rng_a.get(name) != rng_b.get(name))
            self._names[stream] = frozenset(never)
        return self._names[stream] & a.unseeded & b.unseeded

    def all(self) -> frozenset[str]:
        """Those of any rank."""
        return frozenset[str]().union(*self._names.values())
