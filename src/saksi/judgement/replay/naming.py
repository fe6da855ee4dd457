"""Where two traces of one Step part, and which function is there in one of them alone.

One trace is of the program as it is found today, the other of the sealed one: the first operation that differs is where
what was tampered with acts, and the innermost function on the stack that the other trace does not have is what did it.

Rules: a value that is not known ("?") differs from nothing; what follows the first difference is not compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Final, Literal, NamedTuple, TypeAlias

from saksi.judgement.replay.trace import UNKNOWN, Function, Operation, Tensor, Trace

__all__ = ["Kind", "Parting", "parting_of"]

Kind: TypeAlias = Literal["arguments", "extra", "missing", "other", "inputs", "result"]
"""How the first operation that differs does.

`arguments`: the same operation with other numbers. `extra`: one that the sealed program does not run there, `missing`
one that it alone runs; `other`: another one. `inputs`: equal but for what it reads, though all before it gave the same:
no operation of this thread changed that. `result`: another result from equal inputs.
"""
AHEAD: Final = 64
"""Operations that may have been put in, or left out, in one place."""


class Parting(NamedTuple):
    """The first operation that differs. `function` is in the found trace alone, `lacking` in the sealed one alone.

    `sure` is whether `function` was on the stack of that operation, and not only somewhere in that Step.
    """

    kind: Kind
    position: int
    found: Operation | None
    sealed: Operation | None
    function: Function | None
    line: int
    sure: bool
    lacking: Function | None

    @property
    def operation(self) -> str:
        """Its name: of the one that is there, else of the one that is missing."""
        one = self.sealed if self.kind == "missing" or self.found is None else self.found
        return "" if one is None else one.op

    @property
    def module(self) -> str:
        """The module that was called, "" where none was."""
        one = self.sealed if self.kind == "missing" or self.found is None else self.found
        return "" if one is None else one.module

    @property
    def tensor(self) -> str | None:
        """The first parameter among what differs, else among what the operation reads."""
        if self.found is None or self.sealed is None:
            return None
        pairs = [*zip(self.found.ins, self.sealed.ins, strict=False)]
        pairs += [*zip(self.found.outs, self.sealed.outs, strict=False)]
        differing = [a[0] for a, b in pairs if not _is_same_tensor(a, b)]
        return next((name for name in (*differing, *(each[0] for each in self.found.ins)) if name), None)

    @property
    def arguments(self) -> tuple[str, str] | None:
        """The first argument that differs, in the found trace and in the sealed one."""
        if self.kind != "arguments" or self.found is None or self.sealed is None:
            return None
        pairs = zip_longest(self.found.args, self.sealed.args, fillvalue="nothing")
        return next(((a, b) for a, b in pairs if a != b), None)


def parting_of(found: Trace, sealed: Trace) -> Parting | None:
    """Where they part; `None` where they do not, as far as both go."""
    for position, (one, other) in enumerate(zip_longest(found.operations, sealed.operations)):
        if (one is None and found.stopped is not None) or (other is None and sealed.stopped is not None):
            return None
        if one is not None and other is not None and _is_same(one, other):
            continue
        kind = _kind(position, one, other, found.operations, sealed.operations)
        aligned = kind in {"arguments", "inputs", "result"}
        function, line, sure = _foreign(one, other if aligned else None, position, found, sealed)
        lacking, _ = _only_here(sealed, other, _known(found, found.operations))
        return Parting(
            kind=kind,
            position=position,
            found=one,
            sealed=other,
            function=function,
            line=line,
            sure=sure,
            lacking=None if aligned else lacking,
        )
    return None


def _is_same(one: Operation, other: Operation) -> bool:
    return (
        one.op == other.op
        and one.args == other.args
        and _are_same(one.ins, other.ins)
        and _are_same(one.outs, other.outs)
    )


def _are_same(ones: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    return len(ones) == len(others) and all(map(_is_same_tensor, ones, others))


def _is_same_tensor(one: Tensor, other: Tensor) -> bool:
    return one[1] == other[1] and (one[2] == other[2] or UNKNOWN in {one[2], other[2]})


def _kind(
    position: int,
    one: Operation | None,
    other: Operation | None,
    found: Sequence[Operation],
    sealed: Sequence[Operation],
) -> Kind:
    if one is None:
        return "missing"
    if other is None:
        return "extra"
    if one.op == other.op:
        return "arguments" if one.args != other.args else "result" if _are_same(one.ins, other.ins) else "inputs"
    put_in = _next(found, position, other)
    left_out = _next(sealed, position, one)
    if put_in is None and left_out is None:
        return "other"
    return "extra" if left_out is None or (put_in is not None and put_in <= left_out) else "missing"


def _next(operations: Sequence[Operation], position: int, wanted: Operation) -> int | None:
    """How much later the wanted one comes: the same operation on tensors of the same form."""
    forms = [each[1] for each in wanted.ins]
    for ahead, each in enumerate(operations[position + 1 : position + 1 + AHEAD]):
        if each.op == wanted.op and [one[1] for one in each.ins] == forms:
            return ahead
    return None


def _foreign(
    one: Operation | None, other: Operation | None, position: int, found: Trace, sealed: Trace
) -> tuple[Function | None, int, bool]:
    """The innermost function that the sealed program does not run there, the line it was at, and whether surely."""
    everywhere = _known(sealed, sealed.operations)
    function, line = _only_here(found, one, everywhere)
    if function is None and other is not None:
        function, line = _only_here(found, one, _known(sealed, [other]))
    if function is not None:
        return function, line, True
    for distance in range(len(found.operations)):  # a function that has returned by then may have done it
        for at in (position - distance, position + distance):
            if 0 <= at < len(found.operations):
                function, line = _only_here(found, found.operations[at], everywhere)
                if function is not None:
                    return function, line, False
    return None, 0, False


def _only_here(trace: Trace, one: Operation | None, known: set[tuple[str, str, str]]) -> tuple[Function | None, int]:
    for number, line in () if one is None else one.stack:
        if trace.functions[number].identity not in known:
            return trace.functions[number], line
    return None, 0


def _known(trace: Trace, operations: Iterable[Operation]) -> set[tuple[str, str, str]]:
    numbers = {number for each in operations for number, _ in each.stack}
    return {trace.functions[number].identity for number in numbers}
