"""Whose weights are in a file: its tensors held against the state roots of runs, tensor by tensor. Pure.

Rules: a tensor is the same where type, shape, bytes and name are; a file may have one prefix of its own for all names,
or hold a part of a model without its prefix. Small tensors and those of one value are the same in many models, so they
decide nothing alone. Only roots count whose record holds the digest of each tensor. What is not the same is named; why
it is not, no record says.

Known weaknesses: a file that was converted to another type, averaged, quantised, or cut otherwise into tensors has
nothing in common with any root; a state between two roots has none; an optimizer's state has no names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

import msgspec

from saksi.judgement.checks.ckpt_roots import Layouts, Root
from saksi.judgement.checks.spoken import Speakers
from saksi.judgement.continuation.side import Leaves, Lines
from saksi.judgement.items import Item
from saksi.words.frames import LayoutFrame, RootFrame
from saksi.words.tensors import FileTensor

__all__ = ["CommittedState", "WeightOrigin", "Weights", "states_in"]

MAX_NAMES: Final = 8
_TRIED: Final = 3
"""Names of a file by which it is found out what stands before all of them."""
_PARAMETER: Final = re.compile(r"\d+/\d+/\d+")
_BUFFER: Final = re.compile(r"buffer/(\d+)/")
_BESIDE: Final = re.compile(r"beside/(\d+)/")
_WRAPPED: Final = frozenset({"module", "_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module"})
"""What torch puts into the names of a model that it wraps."""


Form = tuple[str, tuple[int, ...], bytes]


class CommittedState(NamedTuple):
    """The tensors of one model at one moment that a run's record holds the digests of; `parameters` are parameters.

    `beside`: no optimizer updates it; it is an average, for instance. `at` has those that stand under a name in a
    module, by that name: several where several modules have it.
    """

    run: str
    attempt: int
    rank: int
    step: int
    entry: int
    wall_ns: int
    forms: frozenset[Form] = frozenset()
    at: Mapping[str, frozenset[Form]] = MappingProxyType({})
    parameters: int = 0
    beside: bool = False


class WeightOrigin(msgspec.Struct, frozen=True, kw_only=True):
    """The state that a file has most in common with: `same` of its `tensors`, and names of some that are not.

    `step` is the Step behind which it was (-1: before the first), `last_step` that of the last state in the record of
    that attempt and rank; `parameters` how many the state has. `renamed` of the tensors are in it, and not under their
    names; `others` are not in it. `ambiguous`: it has several tensors under one of these names. `beside`: it is of a
    model that no optimizer updates, an average for instance.
    """

    run: str
    attempt: int
    rank: int
    step: int
    last_step: int
    entry: int
    tensors: int
    same: int
    renamed: int
    parameters: int
    others: tuple[str, ...]
    others_omitted: int = 0
    ambiguous: bool = False
    beside: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether every tensor of the file is there under its name, after a Step of that run."""
        return self.same == self.tensors and not self.ambiguous and self.step >= 0


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
                of, step = said.process.attempt, said.frame.step
                moment = CommittedState(run, of, said.rank, step, said.entry, item.record.wall_ns)
                yield from _states(moment, *found)


def _states(moment: CommittedState, lines: Lines, leaves: Leaves) -> Iterator[CommittedState]:
    """What is trained, and each model beside it: an average has the names of what it follows."""
    beside = {found[1] for key, *_ in lines if (found := _BESIDE.match(key)) is not None}
    models: dict[str | None, Lines] = {None: []}
    for line in lines:
        found = _BESIDE.match(line[0]) or _BUFFER.match(line[0])
        number = None if found is None or found[1] not in beside else found[1]
        models.setdefault(number, []).append(line)
    for number, model in models.items():
        yield _with(moment._replace(beside=number is not None), model, leaves)


def _with(moment: CommittedState, lines: Lines, leaves: Leaves) -> CommittedState:
    forms: list[Form] = []
    at: dict[str, frozenset[Form]] = {}
    parameters = 0
    for key, alias, dtype, shape in lines:
        form = dtype, tuple(shape), leaves[key]
        forms.append(form)
        parameters += _PARAMETER.fullmatch(key) is not None or _BESIDE.match(key) is not None
        buffer = _BUFFER.match(key)
        name = alias if buffer is None else key[buffer.end() :]
        if name is not None:
            name = ".".join(part for part in name.split(".") if part not in _WRAPPED)
            at[name] = at.get(name, frozenset()) | {form}
    return moment._replace(forms=frozenset(forms), at=at, parameters=parameters)


class _Match(NamedTuple):
    """A file beside a state, the best last: tensors that tell models apart under their names, all, and by bytes."""

    telling: int
    same: int
    present: int
    is_trained: bool


class Weights:
    """The tensors of one file, and the state that they have most in common with, of those that were shown."""

    def __init__(self, tensors: Sequence[FileTensor]) -> None:
        self._tensors = tuple(tensors)
        self._telling = tuple(each for each in tensors if each.tells)
        self._names = [_parts(each.name) for each in tensors]
        self._best: CommittedState | None = None
        self._match = _Match(0, 0, 0, is_trained=False)
        self._since = 0
        self._last: dict[tuple[str, int, int], int] = {}

    @property
    def can_tell(self) -> bool:
        """Whether there is a tensor by which models can be told apart."""
        return bool(self._telling)

    def take(self, state: CommittedState) -> None:
        """Compare with one more state; of several that have as much in common, the first that was recorded.

        Of the states of one attempt and rank it is the latest Step.
        """
        place = state.run, state.attempt, state.rank
        self._last[place] = max(self._last.get(place, -1), state.step)
        present = sum(_form(each) in state.forms for each in self._telling)
        if 2 * present < len(self._telling) or not present:
            return
        same = self._same(state)
        match = _Match(sum(each.tells for each in same), len(same), present, is_trained=state.step >= 0)
        best = self._best
        goes_on = best is not None and (best.run, best.attempt, best.rank) == place
        if match > self._match or (match == self._match and not goes_on and state.wall_ns < self._since):
            self._best, self._match, self._since = state, match, state.wall_ns
        elif match == self._match and goes_on and best is not None and state.step > best.step:
            self._best = state

    def origin(self) -> WeightOrigin | None:
        """The best one, if at least half of what tells models apart is the same there."""
        best = self._best
        if best is None:
            return None
        same = self._same(best)
        names = {each.name for each in same}
        others = [each.name for each in self._tensors if _form(each) not in best.forms]
        return WeightOrigin(
            run=best.run,
            attempt=best.attempt,
            rank=best.rank,
            step=best.step,
            last_step=self._last[best.run, best.attempt, best.rank],
            entry=best.entry,
            tensors=len(self._tensors),
            same=len(same),
            renamed=sum(each.name not in names and _form(each) in best.forms for each in self._tensors),
            parameters=best.parameters,
            others=tuple(others[:MAX_NAMES]),
            others_omitted=max(0, len(others) - MAX_NAMES),
            ambiguous=any(len(self._found(each, best)) > 1 for each in same),
            beside=best.beside,
        )

    def _same(self, state: CommittedState) -> list[FileTensor]:
        """The tensors that the state has under their names, with the prefixes by which most of them are."""
        return max((self._under(state, *each) for each in self._prefixes(state)), key=len, default=[])

    def _prefixes(self, state: CommittedState) -> Iterator[tuple[int, str]]:
        """How many parts to take from the front of every name, and what to put there instead."""
        shared = min((len(each) - 1 for each in self._names), default=0)
        while shared and len({tuple(each[:shared]) for each in self._names}) > 1:
            shared -= 1
        for count in range(shared + 1):
            ends = {"." + ".".join(each[count:]) for each in self._names[:_TRIED]}
            yield from {
                (count, name.removesuffix(end[1:])) for name in state.at for end in ends if ("." + name).endswith(end)
            }

    def _under(self, state: CommittedState, count: int, prefix: str) -> list[FileTensor]:
        """Those that stand in the state under their names with that prefix; weights that are tied stand there once."""
        names = [prefix + ".".join(parts[count:]) for parts in self._names]
        named = list(zip(self._tensors, names, strict=True))
        there = {_form(each) for each, name in named if _form(each) in state.at.get(name, ())}
        return [each for each, name in named if _form(each) in state.at.get(name, there)]

    def _found(self, tensor: FileTensor, state: CommittedState) -> frozenset[Form]:
        """The largest number of tensors that stand under one name with this one."""
        return max((forms for forms in state.at.values() if _form(tensor) in forms), key=len, default=frozenset())


def _parts(name: str) -> list[str]:
    return [part for part in name.split(".") if part not in _WRAPPED] or [name]


def _form(tensor: FileTensor) -> Form:
    return tensor.dtype, tensor.shape, tensor.digest
