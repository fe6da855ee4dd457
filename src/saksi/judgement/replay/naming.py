"""Where two transcripts of one Step part, and which function is there in one of them alone.

One is of the program as it is found today, the other of the sealed one: the first operation that differs is where what
was tampered with acts, and the innermost function on the stack that the sealed one does not have there is what did it;
one that is none of an installed package goes before those, since what is installed was verified.

Rules: a value that is not known ("?") differs from nothing; what follows the first difference is not compared. What
differs between two transcripts of the sealed program itself is made unknown first (`without_noise`): memory that no
operation filled, results that are not ready yet, names of files in temporary folders.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec

from saksi.judgement.replay.transcript import UNKNOWN, Function, Operation, Tensor, Transcript

__all__ = ["Kind", "Parting", "parting_of", "without_noise"]

Kind: TypeAlias = Literal["arguments", "extra", "missing", "other", "inputs", "result"]
"""How the first operation that differs does.

`arguments`: the same operation with other numbers. `extra`: one that the sealed program does not run there, `missing`
one that it alone runs; `other`: another one. `inputs`: equal but for what it reads, though all before it gave the same:
another tensor, or one that something else than an operation of this thread changed. `result`: another result from equal
inputs.
"""
_ALIGNED: Final = frozenset({"arguments", "inputs", "result"})
"""Kinds in which both run the same operation there."""
_INSTALLED: Final = re.compile(r"/(?:site|dist)-packages/|/lib/python3\.\d+/")
AHEAD: Final = 64
"""Operations that may have been put in, or left out, in one place."""


class Parting(NamedTuple):
    """The first operation that differs. `function` is there in the found transcript alone, `lacking` in the sealed one.

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
    def told(self) -> Operation | None:
        """The operation that is there in one of them alone, or otherwise; of the sealed one where that alone has it."""
        return self.sealed if self.kind == "missing" or self.found is None else self.found

    @property
    def may_be_noise(self) -> bool:
        """Whether two transcripts of one program could part so as well."""
        arguments = self.arguments
        return self.kind in {"inputs", "result"} or (arguments is not None and "'" in "".join(arguments))

    @property
    def tensor(self) -> str | None:
        """The first parameter among what differs, else among what the operation reads."""
        pairs: list[tuple[Tensor, Tensor]] = []
        if self.kind in _ALIGNED and self.found is not None and self.sealed is not None:
            pairs += zip(self.found.ins, self.sealed.ins, strict=False)
            pairs += zip(self.found.outs, self.sealed.outs, strict=False)
        differing = [a[0] for a, b in pairs if not _is_same_tensor(a, b)]
        read = () if self.told is None else (each[0] for each in self.told.ins)
        return next((name for name in (*differing, *read) if name), None)

    @property
    def arguments(self) -> tuple[str, str] | None:
        """The first argument that differs, in the found transcript and in the sealed one."""
        if self.kind != "arguments" or self.found is None or self.sealed is None:
            return None
        pairs = zip_longest(self.found.args, self.sealed.args, fillvalue="nothing")
        return next(((a, b) for a, b in pairs if not _is_same_argument(a, b)), None)


def without_noise(one: Transcript, other: Transcript) -> Transcript:
    """The first of two transcripts of the same program, without what differs in the other; up to another operation."""
    operations: list[Operation] = []
    for a, b in zip_longest(one.operations, other.operations):
        if a is None or b is None or (a.op, len(a.args), len(a.ins), len(a.outs)) != (
            b.op, len(b.args), len(b.ins), len(b.outs),
        ):  # fmt: skip
            stopped = "the sealed program does not repeat its operations from there on"
            return msgspec.structs.replace(one, operations=tuple(operations), stopped=one.stopped or stopped)
        args = tuple(x if x == y else UNKNOWN for x, y in zip(a.args, b.args, strict=True))
        ins, outs = (
            tuple(
                x if x == y else (x[0], x[1] if x[1] == y[1] else UNKNOWN, UNKNOWN) for x, y in zip(xs, ys, strict=True)
            )
            for xs, ys in ((a.ins, b.ins), (a.outs, b.outs))
        )
        operations.append(msgspec.structs.replace(a, args=args, ins=ins, outs=outs))
    return msgspec.structs.replace(one, operations=tuple(operations))


def parting_of(found: Transcript, sealed: Transcript) -> Parting | None:
    """Where they part; `None` where they do not, as far as both go."""
    for position, (one, other) in enumerate(zip_longest(found.operations, sealed.operations)):
        if (one is None and found.stopped is not None) or (other is None and sealed.stopped is not None):
            return None
        if one is not None and other is not None and _is_same(one, other):
            continue
        kind = _kind(position, one, other, found.operations, sealed.operations)
        aligned = kind in _ALIGNED
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
        and _have_same(one.args, other.args)
        and _are_same(one.ins, other.ins)
        and _are_same(one.outs, other.outs)
    )


def _have_same(ones: Sequence[str], others: Sequence[str]) -> bool:
    return len(ones) == len(others) and all(map(_is_same_argument, ones, others))


def _is_same_argument(one: str, other: str) -> bool:
    return one == other or UNKNOWN in {one, other}


def _are_same(ones: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    return len(ones) == len(others) and all(map(_is_same_tensor, ones, others))


def _is_same_tensor(one: Tensor, other: Tensor) -> bool:
    forms, digests = {one[1], other[1]}, {one[2], other[2]}
    return (len(forms) == 1 or UNKNOWN in forms) and (len(digests) == 1 or UNKNOWN in digests)


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
        return (
            "arguments"
            if not _have_same(one.args, other.args)
            else "result"
            if _are_same(one.ins, other.ins)
            else "inputs"
        )
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
    one: Operation | None, other: Operation | None, position: int, found: Transcript, sealed: Transcript
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


def _only_here(
    transcript: Transcript, one: Operation | None, known: set[tuple[str, str, str]]
) -> tuple[Function | None, int]:
    """The innermost one that is not known, of the program's own if there is one: what is installed was verified."""
    stack = () if one is None else one.stack
    called = ((transcript.functions[number], line) for number, line in stack)
    foreign = [each for each in called if known.isdisjoint(each[0].identities)]
    own = [each for each in foreign if _INSTALLED.search(each[0].file) is None]
    return next(iter(own or foreign), (None, 0))


def _known(transcript: Transcript, operations: Iterable[Operation]) -> set[tuple[str, str, str]]:
    numbers = {number for each in operations for number, _ in each.stack}
    return {identity for number in numbers for identity in transcript.functions[number].identities}
