"""Whose weights are in a file: its tensors held against the state roots of runs, tensor by tensor. Pure.

Rules: a tensor is the same where type, shape and bytes are, unless the state has another under its name; small tensors
and those of one value are the same in many models, so they decide nothing alone. Only roots count whose record holds
the digest of each tensor. What is not the same is named; why it is not, no record says.

Known weaknesses: a file that was converted to another type, averaged, quantised, or cut otherwise into tensors has
nothing in common with any root; a state between two roots has none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from saksi.judgement.checks.ckpt_roots import Layouts, Root
from saksi.judgement.checks.spoken import Speakers, Spoken
from saksi.judgement.continuation.side import Leaves, Lines
from saksi.judgement.items import Item
from saksi.words.frames import LayoutFrame, RootFrame
from saksi.words.tensors import FileTensor

__all__ = ["CommittedState", "WeightOrigin", "Weights", "states_in"]

MAX_NAMES: Final = 8
_PARAMETER: Final = re.compile(r"\d+/\d+/\d+")
_BUFFER: Final = re.compile(r"buffer/\d+/")
_WRAPPED: Final = re.compile(r"^(?:(?:module|_orig_mod)\.)+")
"""What DistributedDataParallel and torch.compile put before the names of a model."""


Form = tuple[str, tuple[int, ...], bytes]


class CommittedState(NamedTuple):
    """The tensors of one moment that a run's record holds the digests of; `parameters` of them are parameters.

    `at` has those that stand under a name in a module, by that name.
    """

    run: str
    attempt: int
    rank: int
    step: int
    entry: int
    forms: frozenset[Form]
    at: Mapping[str, frozenset[Form]]
    parameters: int

    def has(self, tensor: FileTensor) -> bool:
        """Whether a tensor of a file is in it, and no other stands under the name that it has there."""
        form, name = (tensor.dtype, tensor.shape, tensor.digest), tensor.name
        if form not in self.forms:
            return False
        while name and name not in self.at:  # a file may hold a model under a name of its own
            name = name.partition(".")[2]
        return not name or form in self.at[name]


class WeightOrigin(msgspec.Struct, frozen=True, kw_only=True):
    """The state that a file has most in common with: `same` of its `tensors`, the names of some that are not.

    `step` is the Step behind which it was (-1: before the first), `last_step` that of the last state in the record of
    that attempt and rank; `parameters` how many the state has. `others_omitted` are not named.
    """

    run: str
    attempt: int
    rank: int
    step: int
    last_step: int
    entry: int
    tensors: int
    same: int
    parameters: int
    others: tuple[str, ...]
    others_omitted: int = 0


def states_in(items: Iterable[Item], run: str) -> Iterator[CommittedState]:
    """Every state of the run whose tensors are in its record one by one, in the order of the log."""
    speakers, layouts = Speakers(), Layouts()
    for item in items:
        for said in speakers.take(item):
            if isinstance(said.frame, LayoutFrame):
                layouts.take(said.process, said.frame)
            elif isinstance(said.frame, RootFrame):
                found = layouts.leaves(Root.of(said.frame, said.entry))
                if found is None:
                    continue
                yield _state(run, said, said.frame.step, *found)


def _state(run: str, said: Spoken, step: int, lines: Lines, leaves: Leaves) -> CommittedState:
    forms: list[Form] = []
    at: dict[str, frozenset[Form]] = {}
    parameters = 0
    for key, alias, dtype, shape in lines:
        form = dtype, tuple(shape), leaves[key]
        forms.append(form)
        parameters += _PARAMETER.fullmatch(key) is not None
        buffer = _BUFFER.match(key)
        name = alias if buffer is None else key[buffer.end() :]
        if name is not None:
            name = _WRAPPED.sub("", name)
            at[name] = at.get(name, frozenset()) | {form}
    return CommittedState(
        run, said.process.attempt, said.rank, step, said.entry, frozenset(forms), at, parameters=parameters
    )


class Weights:
    """The tensors of one file, and the state that they have most in common with, of those that were shown."""

    def __init__(self, tensors: Sequence[FileTensor]) -> None:
        self._tensors = tuple(tensors)
        self._telling = tuple(each for each in tensors if each.tells)
        self._best: CommittedState | None = None
        self._count = 0
        self._last: dict[tuple[str, int, int], int] = {}

    @property
    def can_tell(self) -> bool:
        """Whether there is a tensor by which models can be told apart."""
        return bool(self._telling)

    def take(self, state: CommittedState) -> None:
        """Compare with one more state; of several that have as much in common, the attempt and rank that came first.

        Of these the latest Step.
        """
        place = state.run, state.attempt, state.rank
        self._last[place] = max(self._last.get(place, -1), state.step)
        count, best = sum(map(state.has, self._telling)), self._best
        goes_on = best is not None and (best.run, best.attempt, best.rank) == place and state.step > best.step
        if count > self._count or (count and count == self._count and goes_on):
            self._best, self._count = state, count

    def origin(self) -> WeightOrigin | None:
        """The best one, if at least half of what tells models apart is the same there."""
        best = self._best
        if best is None or 2 * self._count < len(self._telling):
            return None
        others = [each.name for each in self._tensors if not best.has(each)]
        return WeightOrigin(
            run=best.run,
            attempt=best.attempt,
            rank=best.rank,
            step=best.step,
            last_step=self._last[best.run, best.attempt, best.rank],
            entry=best.entry,
            tensors=len(self._tensors),
            same=len(self._tensors) - len(others),
            parameters=best.parameters,
            others=tuple(others[:MAX_NAMES]),
            others_omitted=max(0, len(others) - MAX_NAMES),
        )
